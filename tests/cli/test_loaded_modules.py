"""What a command loads: imports are a large part of short commands, so each loads only what it needs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff

ROOT = Path(__file__).resolve().parents[2]
COMMAND = """
import atexit, sys
atexit.register(lambda: print("loaded", *sys.modules))
from deepnets4eo.cli.main import main
raise SystemExit(main())
"""


def loaded_by(*words: object) -> set[str]:
    """Return the modules that a command has loaded when it ends."""
    command = [sys.executable, "-c", COMMAND, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(next(line for line in done.stdout.splitlines() if line.startswith("loaded ")).split()[1:])


def test_check_of_an_image_loads_no_tables_networks_or_compilers(tmp_path) -> None:
    image = write_geotiff(tmp_path / "a.tif", np.random.default_rng(0).integers(1, 255, (3, 64, 64)).astype(np.uint8))
    loaded = loaded_by("check", image)
    assert not loaded & {
        "scipy",
        "pandas",
        "geopandas",
        "pyarrow",
        "torch",
        "onnxruntime",
        "numba",
        "sklearn",
        "matplotlib",
    }


def test_a_flood_without_clouds_loads_nothing_of_change_detection(tmp_path) -> None:
    pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    images = []
    for name, wet in (("pre", 0), ("post", 40)):
        power = np.full((1, 128, 128), -8, np.float32) + rng.normal(0, 1, (1, 128, 128)).astype(np.float32)
        power[:, :, :wet] -= 14
        images.append(write_geotiff(tmp_path / f"{name}.tif", power, gsd=10.0))
    loaded = loaded_by("flood", *images, "--sensor", "radar", "--out", tmp_path / "out")
    assert "deepnets4eo.floods.job" in loaded
    assert "deepnets4eo.change.pair" not in loaded
