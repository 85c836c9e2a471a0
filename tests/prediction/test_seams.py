"""Borders of tiles cannot be seen: neighbours across them differ no more than neighbours elsewhere."""

import numpy as np
import pytest
import rasterio
import torch
from geotiff import write_geotiff

from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter
from deepnets4eo.tiling import Tiling
from deepnets4eo.training import load_recipe

LEGEND = Legend("three", tuple(LegendClass(k, f"class {k}", (k + 1, 0, 0)) for k in range(3)))
PLAIN = Tiling(576, 32)
NETWORKS = [
    "dual-stream", "fusenet", "fusenet-osm", "osmnet", "residual-correction", "segnet", "segnet-multi-kernel",
    "unet-distance", "unet-fusion", "unet-mobilenet", "unet-resnet18-dsm", "unet-resnet34", "v-fusenet",
]  # fmt: skip


def wide_network() -> torch.nn.Module:
    """Sees 28 px in each direction, and zeros beyond a tile: its borders are visible under a halo of 8 px."""
    torch.manual_seed(0)
    blur = torch.nn.Conv2d(6, 3, 55, padding=27, bias=False)
    with torch.no_grad():
        blur.weight.copy_(torch.randn(3, 6, 1, 1).expand_as(blur.weight) / 30)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3, padding=1, bias=False), torch.nn.Tanh(), blur)


def test_a_small_overlap_hides_borders_that_the_halo_leaves_visible(tmp_path) -> None:
    image = np.random.default_rng(0).integers(1, 255, (3, 144, 144)).astype(np.uint8)
    path = write_geotiff(tmp_path / "image.tif", image)
    inputs = InputSpec.measure([Scene.open(image=image)])
    segmenter = NetworkSegmenter({"name": "made-up"}, inputs, LEGEND, tiling=Tiling(64, 8), module=wide_network())

    def jump(overlap_px: int) -> float:
        out = tmp_path / f"{overlap_px}.tif"
        options = PredictOptions(
            probabilities=out, overlap_px=overlap_px, device="cpu", precision="float32", threads=1, overwrite=True
        )
        predict(segmenter, str(path), tmp_path / "labels.tif", options)
        with rasterio.open(out) as file:
            steps = np.abs(np.diff(file.read().astype(float), axis=2)).mean(axis=(0, 1))
        edges = {edge for start in range(0, 144, 48 - overlap_px) for edge in (start, start + 48) if 0 < edge < 144}
        across = np.isin(np.arange(1, 144), list(edges))
        return float(steps[across].mean() / steps[~across].mean())

    assert jump(0) > 2
    assert jump(16) < 1.1


@pytest.mark.parametrize("name", NETWORKS)
def test_shipped_networks_blend_at_a_tenth_more_work_at_most(name: str) -> None:
    section = load_recipe(name)[0].predict
    tiling = Tiling(section.tile_px, section.halo_px, section.overlap_px, section.scores, section.blending)
    assert tiling.overlap_px >= 16
    assert (tiling.tile_px / tiling.stride_px) ** 2 <= 1.1 * (PLAIN.tile_px / PLAIN.stride_px) ** 2
