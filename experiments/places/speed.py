"""How fast a run works on this machine: pixels of images, or of pairs, a second, on an image of random values."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import shapely

from deepnets4eo.damage.network.grader import NetworkGrader
from deepnets4eo.damage.network.pairs import in_pixels, make_scene
from deepnets4eo.prediction import predict
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.segmenters.run import load_run
from deepnets4eo.segmenters.voting import ensemble_run
from places.working_grid import metric_grid

SIDE_PX, STEP_PX, ROOF_PX = 1024, 40, 24
GSD_M = 0.5


def labelling_speed(folder: Path, side_px: int = SIDE_PX) -> dict[str, float | int]:
    """Speed of a run that labels pixels, by one view, in the best precision of the device.

    Returns
    -------
    Million pixels a second of the network alone and of the whole prediction, and the threads of torch.
    """
    run = ensemble_run([load_run(folder)], views="none")
    layers = {name: _noise(len(one.bands), side_px) for name, one in run.inputs.layers.items() if not one.optional}
    with TemporaryDirectory() as out:
        prediction = predict(run, Scene(layers), Path(out) / "labels.tif")
    pixels = side_px**2 / 1e6
    return {
        "MPix/s": pixels / prediction.seconds, "MPix/s in the network": pixels / prediction.network_s, "threads": _threads(),
    }  # fmt: skip


def grading_speed(folder: Path, side_px: int = SIDE_PX) -> dict[str, float | int]:
    """Speed of a run that grades buildings in pairs of images, with a building every 20 m.

    Returns
    -------
    Million pixels of pairs a second, buildings a second, and the threads of torch.
    """
    grader = NetworkGrader.load(folder, precision="auto")
    bands = len(next(iter(grader.run.inputs.layers.values())).bands)
    scene = make_scene(_noise(bands, side_px), _noise(bands, side_px))
    corners = np.arange(0, side_px - STEP_PX, STEP_PX)
    boxes = np.array([shapely.box(x, y, x + ROOF_PX, y + ROOF_PX) for x in corners for y in corners], dtype=object)
    started = time.perf_counter()
    grader.grade(scene, in_pixels(boxes, (side_px, side_px)))
    seconds = time.perf_counter() - started
    return {
        "MPix/s of pairs": side_px**2 / 1e6 / seconds, "buildings/s": len(boxes) / seconds, "threads": _threads(),
    }  # fmt: skip


def _noise(bands: int, side_px: int) -> Layer:
    values = np.random.default_rng(0).integers(0, 256, (bands, side_px, side_px), np.uint8)
    return Layer.open(values, grid=metric_grid((side_px, side_px), (GSD_M, GSD_M)))


def _threads() -> int:
    import torch

    return torch.get_num_threads()
