"""Ground data of a flood in addition to its images: permanent water, heights that hide or drain, and land cover."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import LabelError
from deepnets4eo.floods.layer_names import DRAINAGE, PERMANENT, POST
from deepnets4eo.floods.mask_date import MaskDate
from deepnets4eo.floods.options import FloodOptions
from deepnets4eo.floods.relief import hide_relief
from deepnets4eo.floods.water_date import WaterDate
from deepnets4eo.floods.water_masks import open_water_mask
from deepnets4eo.grid import Grid, Window
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, LayerView
from deepnets4eo.read_as import LABELS, Door
from deepnets4eo.terrain import open_further, place_further, unknown_share

PERMANENT_NAMES = ("permanent water", "water")  # classes of a map of water that count as --permanent-water
MIN_GAP = 0.01  # of the ground, to be named


def lay_in_the_ground(
    layers: dict[str, Layer], dates: dict[str, WaterDate], options: FloodOptions, grid: Grid, scratch: Path | None
) -> list[Finding]:
    """Hide relief from radar, add permanent water and heights above the drainage to the layers, and return where these data have gaps."""
    findings: list[Finding] = []
    if options.dem is not None and scratch is not None and dates[POST].side_looking:
        heights = _heights(options.dem, "--set dem", grid)
        layers[POST], hidden = hide_relief(layers[POST], heights, options, scratch)
        findings.append(hidden)
        findings += _gap_findings("no_relief", layers[POST], [heights])
    if options.permanent_water is not None:
        layers[PERMANENT] = open_water_mask(options.permanent_water, grid, "--permanent-water", PERMANENT_NAMES)
        dates[PERMANENT] = MaskDate(tuple(layers[PERMANENT].band_names))
    before = {name: layers[name] for name in dates if name != POST}
    if len(before) > 1:
        layers |= {
            name: Layer(WithGaps(layer, [other for other in before.values() if other is not layer]))
            for name, layer in before.items()
        }
    if options.above_drainage is not None:
        heights = _heights(options.above_drainage, "--set above_drainage", grid)
        layers[DRAINAGE] = Layer(WithGaps(heights, [layers[POST]]))
        findings += _gap_findings("no_drainage", layers[POST], [heights])
    return findings + _gap_findings("not_seen_before", layers[POST], list(before.values()))


class WithGaps(LayerView):
    """A layer whose gaps hide nothing: in a gap its value is NaN, and the pixel is valid if one of some other layers is valid."""

    def __init__(self, layer: Layer, others: Sequence[Layer]) -> None:
        super().__init__(layer, np.float32, None)
        self._others = others

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self.choose(bands).read(window)
        values = np.where(valid, data, np.float32(np.nan)).astype(np.float32, copy=False)
        for other in self._others:
            if valid.all():
                break
            valid = valid | other.read(window)[1]
        return values, valid


def open_cover(source: str, grid: Grid) -> Layer:
    """Open the land cover on the working grid. Errors: LabelError without a legend."""
    cover = LABELS.open(source, Door("--set cover"))
    if cover.legend is None:
        raise LabelError(
            f"--set cover={cover.source} has no legend in its tags. Give labels that `deepnets4eo predict` wrote, or write the legend "
            "into the tag LEGEND (deepnets4eo datasets --legends NAME --json -)."
        )
    cover.warn_of_legend(cover.legend)
    cover.covered_share(grid, "--set cover")
    return cover.on(grid, "nearest")


def _heights(source: str, flag: str, grid: Grid) -> Layer:
    """Open a raster of metres on the working grid. Errors: InputError, GridError."""
    return place_further(open_further(source, flag, "metres"), grid, flag)


def _gap_findings(code: str, post: Layer, others: Sequence[Layer]) -> list[Finding]:
    """Return the share of the ground shown by POST that none of some layers covers; nothing below one hundredth."""
    share = unknown_share(post, others) if others else 0.0
    return [] if share < MIN_GAP else [Finding(code, "caution", {"share": share})]
