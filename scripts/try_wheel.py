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


def main(wheel: Path, environment: Path, extra: str = "light", constraints: Path = ROOT / "constraints.txt") -> None:
    """Install and run; raises CalledProcessError where something fails."""
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
