"""Installs a wheel into an empty environment and runs it there: what a new user does first.

Usage: python scripts/try_wheel.py WHEEL ENVIRONMENT [light|all] [CONSTRAINTS]. Without networks the demo, checks and the damage job run; with
all extras (or with `deep` alone) a training, a prediction and a damage map by the network as well. The environment is made anew and kept.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAIR = ["demo/city/pre.tif", "demo/city/post.tif", "demo/city/footprints.gpkg"]
LIGHT = [
    ["check"],
    ["demo", "--size", "384", "--out", "demo"],
    ["check", *PAIR],
    ["damage", *PAIR, "--out", "damage"],
]
DEEP = [
    ["train", "unet-mobilenet", "--data", "demo/city", "--set", "data.layers={image: pre.tif, labels: labels.tif}",
     "--set", "legend=minicity", "--set", "data.tile_px=64", "--set", "train.epochs=1", "--out", "run"],
    ["predict", "run", "demo/city/post.tif", "--out", "labels.tif"],
]  # fmt: skip
LICENCES = (
    "dist-info/licenses/LICENSE",
    "dist-info/licenses/NOTICE",
    "dist-info/licenses/models/efficientnet-lite0/LICENSE",
    "deepnets4eo/models/efficientnet-lite0/LICENSE",
    "deepnets4eo/models/efficientnet-lite0/NOTICE",
    "deepnets4eo/models/eurosat/NOTICE",
)


def check_licences(wheel: Path) -> None:
    """Raise SystemExit if the wheel lacks a licence or notice of what it contains."""
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    if lacking := [end for end in LICENCES if not any(name.endswith(end) for name in names)]:
        raise SystemExit(f"{wheel.name} lacks {', '.join(lacking)}")


def main(wheel: Path, environment: Path, extra: str = "light", constraints: Path = ROOT / "constraints.txt") -> None:
    """Install and run; raises CalledProcessError if something fails, and SystemExit if a licence is missing."""
    check_licences(wheel)
    venv.create(environment, clear=True, with_pip=True)
    programs = environment.resolve() / ("Scripts" if os.name == "nt" else "bin")
    what = str(wheel.resolve()) + ("" if extra == "light" else f"[{extra}]")
    pip = [
        programs / "python",
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "-c",
        constraints.resolve(),
    ]
    subprocess.run([*pip, what], check=True)
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as folder:
        for words in LIGHT if extra == "light" else [*LIGHT, *DEEP]:
            print("deepnets4eo", *words, flush=True)
            subprocess.run([programs / "deepnets4eo", *words], cwd=folder, env=clean, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4], *map(Path, sys.argv[4:]))
