"""A made-up scene and a run of a small network that takes clicks, and was never trained, for the tests of the page of clicks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from geotiff import write_geotiff

from deepnets4eo.cards import Legend
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter
from deepnets4eo.segmenters.clicks import with_clicks
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling

HOSTILE = "<img src=x onerror=\"document.title='run'\">" + "x" * 300
NAMES = ("field", HOSTILE, "بيت")


def write_clickable(folder: Path, *, side_px: int = 96, takes_clicks: bool = True, seed: int = 0) -> tuple[Path, Path]:
    """The folder of a run, and a scene for it."""
    import torch

    image = np.kron(np.random.default_rng(seed).integers(60, 200, (3, 12, 12)), np.ones((side_px // 12, side_px // 12)))
    scene = write_geotiff(folder / "scene.tif", image.astype(np.uint8), gsd=0.5, tags={"SYNTHETIC": "YES"})
    classes = [
        {"value": value, "name": name, "color": [90 * value, 200 - 90 * value, 120]} for value, name in enumerate(NAMES)
    ]
    legend = Legend.from_dict({"name": "three", "classes": classes})
    inputs = InputSpec.measure([Scene.open(image=str(scene))])
    network = {"name": "unet", "encoder": "tu-test_resnet", "encoder_depth": 3, "decoder_channels": [8, 8, 8]}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        segmenter = NetworkSegmenter(
            network, with_clicks(inputs, legend) if takes_clicks else inputs, legend, tiling=Tiling(64, 16)
        )
    return save_run(segmenter, folder / "run"), scene
