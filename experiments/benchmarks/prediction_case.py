"""A made-up scene of any size and networks to label it with, shared by the benchmarks of prediction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from affine import Affine
from rasterio.windows import Window as RasterioWindow

from deepnets4eo.cards.legend import Legend, LegendClass
from deepnets4eo.grid import blocks
from deepnets4eo.segmenters.inputs import InputSpec, LayerInput
from deepnets4eo.segmenters.segmenter import NetworkSegmenter
from deepnets4eo.tiling import Tiling

BLOCK_PX = 512
IMAGE = LayerInput(("band_1", "band_2", "band_3"), (120.0,) * 3, (45.0,) * 3, 40, 210)
INPUTS = InputSpec({"image": IMAGE}, gsd_m=0.5)
PAIR_INPUTS = InputSpec({"image_pre": IMAGE, "image_post": IMAGE}, gsd_m=0.5)


def make_scene(path: Path, side: int, seed: int = 0) -> Path:
    """A tiled, compressed RGB GeoTIFF of side × side px, made of eight different blocks with noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (8, 3, BLOCK_PX // 16, BLOCK_PX // 16), dtype=np.uint8)
    patterns = np.kron(coarse, np.ones((1, 1, 16, 16), np.uint8))
    patterns += rng.integers(0, 12, patterns.shape, dtype=np.uint8)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": side, "width": side, "crs": "EPSG:32615"}
    layout = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "compress": "deflate", "zlevel": 1}
    with rasterio.open(
        path, "w", **profile, **layout, transform=Affine(0.5, 0, 500_000, 0, -0.5, 4_100_000), BIGTIFF="IF_SAFER"
    ) as file:
        for index, window in enumerate(blocks((side, side), BLOCK_PX)):
            pattern = patterns[index % 8, :, : window.height, : window.width]
            file.write(pattern, window=RasterioWindow(window.col, window.row, window.width, window.height))
    return path


def make_legend(num_classes: int) -> Legend:
    """Classes without meaning."""
    classes = tuple(LegendClass(k, f"class_{k}", (k + 1, 255 - k, 2 * k)) for k in range(num_classes))
    return Legend("made-up", classes)


def make_segmenter(
    name: str,
    num_classes: int,
    tiling: Tiling,
    options: Mapping[str, Any] | None = None,
    inputs: InputSpec = INPUTS,
) -> NetworkSegmenter:
    """An untrained network: "pointwise" (one 1 × 1 convolution, to see all else) or a name of `list_models()`."""
    torch.manual_seed(0)
    module = torch.nn.Conv2d(inputs.in_channels, num_classes, 1) if name == "pointwise" else None
    return NetworkSegmenter(
        {"name": name, **(options or {})}, inputs, make_legend(num_classes), tiling=tiling, module=module
    )
