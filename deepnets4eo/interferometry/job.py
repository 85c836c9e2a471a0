"""Coherence of complex images as a raster, or its drop at an event, tile by tile: one pass for the fringes, one for the windows."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from deepnets4eo.arrays import FloatImage
from deepnets4eo.cards import ShippedModel
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import Grid, Window, blocks, gsd_m
from deepnets4eo.interferometry.coherence import (
    check_fringes,
    check_window,
    has_values,
    sample_coherence,
    scan_tile,
    without_bias,
)
from deepnets4eo.interferometry.complex_image import ComplexImage
from deepnets4eo.interferometry.fringes import FringeField
from deepnets4eo.interferometry.looks import CoherenceBias, Correlation
from deepnets4eo.jobs import new_output
from deepnets4eo.outputs import check_not_inputs
from deepnets4eo.rasters import CogWriter, same_grid

TILE_PX = 512  # a multiple of the blocks of fringes
WINDOW_PX = 49  # pixels of the default window, at least
MAX_SIDE_PX = 31
COHERENCE, DROP = "coherence", "coherence_drop"
CARD = "damage-coherence"  # of the drop as evidence of damage, fitted on synthetic speckle
CARD_FILE = "drop.evidence.yaml"
ALL_OVER = 0.1  # median drop of a scene from which on it is named


@dataclass(frozen=True)
class CoherenceMap:
    """A raster of coherence, or of its drop, and what was measured.

    Parameters
    ----------
    path : the raster
    median : of its values
    void_share : share of its pixels without a value
    looks : independent looks of a window, the minimum of its pairs
    fringe_share : share of the blocks whose fringe was measured, the minimum of its pairs
    card : the evidence card of a drop, else None
    """

    path: Path
    median: float
    void_share: float
    looks: float
    fringe_share: float
    card: Path | None = None

    def lines(self) -> list[str]:
        """Return the figures in words."""
        floor = float(CoherenceBias(self.looks).mean_sample(np.zeros(1))[0])
        lines = [
            f"{self.looks:.1f} independent looks per window: without correction, no coherence would read {floor:.2f}. Fringes were measured in "
            f"{self.fringe_share:.0%} of the blocks; {self.void_share:.1%} of the pixels are void. Median {self.median:.2f}."
        ]
        if self.card is not None and self.median > ALL_OVER:
            lines.append(
                f"Half of the ground lost more than {self.median:.2f}: rain, snow, growth or a longer baseline lower coherence everywhere. The card "
                "does not know of it; damage would be overstated. Choose dates that are closer together."
            )
        return lines


def coherence_raster(
    images: Sequence[str | Path],
    out: str | Path,
    *,
    window: tuple[int, int] | None = None,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> CoherenceMap:
    """Write the coherence of two complex images on one grid, or of three its drop at the event, as a COG.

    The fringe of each block of 32 pixels, such as of the flat earth, is taken out before pixels are averaged. The bias of few looks is
    taken out after (Touzi et al. 1999), for the number of independent looks that the images themselves show. Memory: tiles of 512
    pixels and GDAL's block cache, whatever the images' size.

    Parameters
    ----------
    images
        Single-look complex images of one grid, in order of their dates: complex numbers, or real and imaginary part in two bands. Two give
        their coherence; three give the coherence of the first two minus the coherence of the last two, where the last is after the event.
    out
        The file to write, float32 with NaN for void. A drop gets an evidence card next to it, which `damage --evidence` reads; it
        was fitted on synthetic speckle.
    window : rows and columns of the moving window, odd, at most 31; None: at least 49 pixels, about square on the ground
    overwrite : whether an existing file is replaced
    progress : called with the share done, 0–1

    Returns
    -------
    CoherenceMap

    Raises
    ------
    InputError
        Fewer than two or more than three images, an image without phase, or no fringe rises above noise.
    GridError
        The images have different grids.
    OutputError
        `out` exists and is not to be overwritten.
    """
    if len(images) not in (2, 3):
        raise InputError(
            f"{len(images)} images are given, expected two for their coherence, or three for its drop: two before the event and one after."
        )
    check_not_inputs([out], images)
    dates = [ComplexImage(image) for image in images]
    grid = _common_grid(dates)
    chosen = window_of(grid) if window is None else window
    check_window(chosen)
    tiles = blocks((grid.shape[0], grid.shape[1]), TILE_PX)
    work = _Work(progress, len(tiles) * len(dates))
    card = Path(out).with_suffix(".evidence.yaml") if len(dates) == 3 else None
    with new_output(out, card, overwrite=overwrite):
        pairs = [_Pair.measure(*pair, chosen, tiles, work) for pair in pairwise(dates)]
        median = _Median()
        tags = {
            "COHERENCE_WINDOW": "{}×{}".format(*chosen),
            "COHERENCE_LOOKS": f"{min(pair.looks for pair in pairs):.2f}",
        }
        tags |= {"SYNTHETIC": "yes"} if any(date.synthetic for date in dates) else {}
        with CogWriter(
            out, grid, dtype="float32", nodata=math.nan, band_names=[COHERENCE if card is None else DROP], tags=tags
        ) as writer:
            for tile in tiles:
                values = pairs[0].read(tile)
                values = values - pairs[1].read(tile) if len(pairs) == 2 else values
                median.add(values)
                writer.write(tile, values)
                work.step()
        if card is not None:
            shutil.copyfile(ShippedModel(CARD).folder / CARD_FILE, card)
    return CoherenceMap(
        Path(out), median.value(), median.void_share, min(pair.looks for pair in pairs),
        min(pair.fringe_share for pair in pairs), card,
    )  # fmt: skip


def window_of(grid: Grid) -> tuple[int, int]:
    """Return rows and columns of a window of at least WINDOW_PX pixels that is about square on the ground.

    >>> from affine import Affine
    >>> from odc.geo.geobox import GeoBox
    >>> window_of(GeoBox((100, 100), Affine(2.3, 0, 0, 0, -14, 0), "EPSG:32633"))
    (3, 17)
    """
    down, right = gsd_m(grid)
    rows = math.sqrt(WINDOW_PX * right / down)
    height = min(MAX_SIDE_PX, max(1, 2 * round((rows - 1) / 2) + 1))
    width = min(MAX_SIDE_PX, max(1, 2 * math.ceil((WINDOW_PX / height - 1) / 2) + 1))
    return height, width


class _Work:
    """Counts steps and reports their share."""

    def __init__(self, progress: Callable[[float], None] | None, steps: int) -> None:
        self._progress, self._steps, self._done = progress, steps, 0

    def step(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(min(1.0, self._done / self._steps))


@dataclass(frozen=True)
class _Pair:
    """Two images with their fringes and looks."""

    pre: ComplexImage
    post: ComplexImage
    window: tuple[int, int]
    fringes: FringeField
    looks: float
    fringe_share: float

    @classmethod
    def measure(
        cls, pre: ComplexImage, post: ComplexImage, window: tuple[int, int], tiles: Sequence[Window], work: _Work
    ) -> _Pair:
        """Measure fringes and looks in one pass. Raises InputError if there is no fringe."""
        fringes, correlation = FringeField.empty((pre.grid.shape[0], pre.grid.shape[1])), Correlation(window)
        for tile in tiles:
            around = _whole_blocks(tile).grow(FringeField.margin_px)
            before, after = pre.read(around), post.read(around)
            block = tile.row // FringeField.block_px, tile.col // FringeField.block_px
            scan_tile(block, before, after, has_values(before) & has_values(after), fringes, correlation)
            work.step()
        check_fringes(fringes, f"{pre.name} and {post.name}")
        return cls(pre, post, window, fringes.fill(), correlation.independent_looks(), fringes.measured_share)

    def read(self, tile: Window) -> FloatImage:
        """Return the coherence (h, w) of a tile, NaN if void."""
        area = _whole_blocks(tile)
        rows, cols = (size // 2 for size in self.window)
        around = Window(area.row - rows, area.col - cols, area.height + 2 * rows, area.width + 2 * cols)
        before, after = self.pre.read(around), self.post.read(around)
        row, col, height, width = (pixels // FringeField.block_px for pixels in area)
        cycles = self.fringes.cycles[:, row : row + height, col : col + width]
        raw, share = sample_coherence(before, after, has_values(before) & has_values(after), cycles, self.window)
        return without_bias(raw, share, self.looks)[: tile.height, : tile.width]


class _Median:
    """Median of values of −1 to 1 from a histogram, and the share without a value."""

    def __init__(self) -> None:
        self._edges = np.linspace(-1, 1, 2001)
        self._counts, self._pixels = np.zeros(2000, np.int64), 0

    def add(self, values: FloatImage) -> None:
        self._counts += np.histogram(values[np.isfinite(values)], self._edges)[0]
        self._pixels += values.size

    @property
    def void_share(self) -> float:
        return 1 - float(self._counts.sum()) / self._pixels

    def value(self) -> float:
        total = np.cumsum(self._counts)
        return float(self._edges[int(np.searchsorted(total, total[-1] / 2))]) if total[-1] else math.nan


def _whole_blocks(tile: Window) -> Window:
    """Return a tile enlarged at its end to whole blocks."""
    return tile._replace(
        height=tile.height + -tile.height % FringeField.block_px, width=tile.width + -tile.width % FringeField.block_px
    )


def _common_grid(dates: Sequence[ComplexImage]) -> Grid:
    """Return the one grid of all images. Raises GridError."""
    for date in dates[1:]:
        if not same_grid(date.grid, dates[0].grid):
            raise GridError(
                f"{date.name} is on {date.grid.shape[0]} × {date.grid.shape[1]} pixels of another grid than {dates[0].name} "
                f"({dates[0].grid.shape[0]} × {dates[0].grid.shape[1]}); phase is never resampled here. Coregister all images to the first, "
                "e.g. with SNAP or ISCE."
            )
    return dates[0].grid
