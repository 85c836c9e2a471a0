"""Jobs that need no PyTorch, by the command line: `python tests/light_jobs.py OUT` prints hashes of the results as JSON.

With --hide, packages and modules that are installed here cannot be imported: those of the extra `deep`, and those that
only POSIX systems have, as far as this package imports them itself.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess  # looks for msvcrt when it is imported, so before a stand-in is there
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from importlib.abc import MetaPathFinder
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

DEEP = ("huggingface_hub", "segmentation_models_pytorch", "timm", "torch", "torchvision")
POSIX = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
SIZE_PX = 128
INSTALL = 'pip install "deepnets4eo[deep]"'
FOREST = [
    "--set", "data.layers={image: pre.tif, labels: labels.tif}", "--set", "legend=minicity",
    "--set", "data.tile_px=64",
]  # fmt: skip


class Hidden(MetaPathFinder):
    """Finds nothing, and refuses what is hidden."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        name = fullname.partition(".")[0]
        if name in DEEP or (name in POSIX and importer().startswith("deepnets4eo")):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def importer() -> str:
    """Name of the module whose import is being looked up."""
    frame: Any = sys._getframe(1)
    while frame.f_globals.get("__name__", "").startswith(("importlib", __name__)):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))


def hide() -> list[int]:
    """Hide the modules; returns a list that the stand-in for Windows' locks fills with the length of each lock."""
    assert subprocess
    for name in [name for name in sys.modules if name.partition(".")[0] in (*DEEP, *POSIX)]:
        if name != "posix":
            del sys.modules[name]
    sys.meta_path.insert(0, Hidden())
    locks: list[int] = []
    windows: Any = ModuleType("msvcrt")
    windows.LK_NBLCK, windows.locking = 2, lambda file, mode, length: locks.append(length)
    sys.modules["msvcrt"] = windows
    return locks


def run(*words: object) -> str:
    """Run one verb; returns what it printed. Raises RuntimeError where it fails."""
    status, text = run_any(*words)
    if status not in (0, 3):
        raise RuntimeError(f"{words} ended with {status}: {text}")
    return text


def run_any(*words: object) -> tuple[int, str]:
    """Run one verb; returns its exit status and all that it printed."""
    from deepnets4eo.cli.main import main

    text = StringIO()
    with redirect_stdout(text), redirect_stderr(text):
        status = main([str(word) for word in words])
    return status, text.getvalue()


def run_jobs(out: Path) -> dict[str, str]:
    """The jobs in a folder of their own; returns job → hash of its result."""
    city = out / "demo" / "city"
    with patch("deepnets4eo.damage.network.grader.shipped_folder", return_value=None):  # the network needs PyTorch
        run("demo", "--out", out / "demo", "--size", SIZE_PX)
    pre, post = city / "pre.tif", city / "post.tif"
    run("check", pre, post, city / "footprints.gpkg")
    run("change", pre, post, "--assume-registered", "--out", out / "change")
    run(
        "train",
        "baselines/random-forest",
        "--data",
        city,
        *FOREST,
        "--set",
        "estimator.trees=5",
        "--out",
        out / "forest",
    )
    run("predict", out / "forest", post, "--out", out / "labels.tif")
    run("evaluate", out / "labels.tif", city / "labels_post.tif", "--legend", "minicity", "--json", out / "scores.json")
    run("polygons", out / "labels.tif", "--out", out / "polygons.parquet")
    run("layers", "heights", city / "dsm_pre.tif", "--out", out / "heights.tif")
    run("layers", "osm", pre, city / "osm.gpkg", "--out", out / "osm.tif")
    run("objects", city / "labels.tif", "car", "--out", out / "cars.parquet")
    tables = {"demo": "demo/damage/damage.parquet", "polygons": "polygons.parquet"}
    rasters = {"predict": "labels.tif", "change": "change/score.tif", "heights": "heights.tif", "osm": "osm.tif"}
    return (
        {name: hash_of_table(out / path) for name, path in (tables | {"objects": "cars.parquet"}).items()}
        | {name: hash_of_raster(out / path) for name, path in rasters.items()}
        | {"evaluate": hash_of((out / "scores.json").read_bytes().replace(str(out).encode(), b""))}
    )


def refusals(out: Path, network_run: Path | None) -> dict[str, tuple[int, str]]:
    """Job that needs a network → exit status and message."""
    city = out / "demo" / "city"
    jobs: dict[str, list[object]] = {
        recipe: ["train", recipe, "--data", city, *FOREST, "--out", out / "refused"]
        for recipe in ("unet-mobilenet", "baselines/deep-svm", "baselines/dtmm", "baselines/patch-cnn")
    }
    if network_run is not None:
        jobs["predict"] = ["predict", network_run, city / "pre.tif", "--out", out / "refused.tif"]
        jobs["export"] = ["export", network_run, "--onnx", out / "refused.onnx"]
    return {name: run_any(*words) for name, words in jobs.items()}


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def hash_of_table(path: Path) -> str:
    import geopandas as gpd

    table = gpd.read_parquet(path)
    return hash_of(table.drop(columns="geometry").to_csv().encode() + b"".join(table.geometry.to_wkb()))


def hash_of_raster(path: Path) -> str:
    import rasterio

    with rasterio.open(path) as file:
        return hash_of(file.read().tobytes())


def modes(out: Path) -> dict[str, list[str]]:
    """Permissions of all that was written, files and folders apart."""
    found: dict[str, set[str]] = {"files": set(), "folders": set()}
    for path in out.rglob("*"):
        found["folders" if path.is_dir() else "files"].add(oct(path.stat().st_mode & 0o777))
    return {kind: sorted(each) for kind, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hide", action="store_true")
    parser.add_argument("--network-run", type=Path)
    given = parser.parse_args()
    warnings.filterwarnings(
        "error", category=EncodingWarning, module=r"deepnets4eo\."
    )  # seen with -X warn_default_encoding
    locks = hide() if given.hide else []
    os.umask(0o027)
    hashes = run_jobs(given.out)
    city = given.out / "demo" / "city"
    run(
        "damage", "-", city / "post.tif", city / "footprints.gpkg", "--set", "network=no", "--out", given.out / "damage"
    )
    assert "networks:\n  none" not in run("models")
    report = {
        "hashes": hashes, "refusals": refusals(given.out, given.network_run), "modes": modes(given.out), "locks": len(locks),
        "loaded": sorted(set(DEEP) & set(sys.modules)),
    }  # fmt: skip
    print(json.dumps(report))


if __name__ == "__main__":
    main()
