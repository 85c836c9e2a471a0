"""The one sliding window: tiles on a global lattice of a scene's grid, in one shape, stitched back without seams.

Each output pixel depends only on lattice tiles, so the result does not depend on how the work is divided."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window

Scores = Literal["probabilities", "log-probabilities", "raw"]
Blending = Literal["hann", "uniform"]
TILE_STEP_PX = 32  # networks pool five times
LARGEST_PX = 1 << 15  # a float32 tile of three bands then has 13 GB
SMALLEST_SIDE_PX, SIDE_STEP_PX = (
    256,
    32,
)  # of other tiles than those of a run; networks halve their maps up to five times
SCORES: tuple[Scores, ...] = ("probabilities", "log-probabilities", "raw")
UNIFORM: Blending = "uniform"
BLENDING: tuple[Blending, ...] = ("hann", UNIFORM)


@dataclass(frozen=True)
class Tiling:
    """Tiling of a scene for prediction; kept in the run.

    Errors: InputError for sizes that leave no core, an overlap as wide as the core, unknown scores or blending.

    Parameters
    ----------
    tile_px, halo_px : side of a tile, and context cut off on each side afterwards; the rest is the core
    overlap_px : how far neighbouring cores overlap, and are blended; 0 means that cores abut (centre crop)
    scores : the scores summed where cores overlap: "probabilities", "log-probabilities" or "raw"
    blending
        "hann" fades each core out towards its edges, and mirrors the scene where the last one reaches beyond it. "uniform"
        weighs all pixels of a core alike and moves the last one inwards, as published sliding windows do.

    Examples
    --------
    >>> Tiling(tile_px=576, halo_px=32, overlap_px=64).stride_px
    448
    """

    tile_px: int = 576
    halo_px: int = 32
    overlap_px: int = 0
    scores: Scores = "probabilities"
    blending: Blending = "hann"

    def __post_init__(self) -> None:
        if self.halo_px < 0 or self.core_px < 1:
            raise InputError(
                f"tile_px={self.tile_px} with halo_px={self.halo_px} leaves {self.core_px} pixels; "
                "the halo must be at least 0 and less than half of the tile."
            )
        if self.tile_px > LARGEST_PX:
            raise InputError(f"tile_px={self.tile_px} is more than any memory holds; expected {LARGEST_PX} at most.")
        if not 0 <= self.overlap_px < self.core_px:
            raise InputError(
                f"overlap_px={self.overlap_px} must be at least 0 and less than the {self.core_px} pixels "
                f"that halo_px={self.halo_px} leaves of tile_px={self.tile_px}."
            )
        if self.scores not in SCORES:
            raise InputError(f"scores={self.scores!r} is unknown. Choose from {', '.join(SCORES)}.")
        if self.blending not in BLENDING:
            raise InputError(f"blending={self.blending!r} is unknown. Choose from {', '.join(BLENDING)}.")

    @property
    def core_px(self) -> int:
        """Side of the part of a tile that is kept, pixels."""
        return self.tile_px - 2 * self.halo_px

    @property
    def stride_px(self) -> int:
        """Step between tiles."""
        return self.core_px - self.overlap_px

    @property
    def blends(self) -> bool:
        """Return whether scores of several cores are summed; else cores abut and are put side by side."""
        return self.overlap_px > 0 or self.blending == UNIFORM

    @property
    def most_overlap_px(self) -> int:
        """The farthest that two neighbouring cores overlap in any scene: under "uniform" the last one moves inwards."""
        return self.core_px if self.blending == UNIFORM else self.overlap_px

    def least_work(
        self, shape: tuple[int, int], sides_px: Iterable[int], count: Callable[[Tiling], int] | None = None
    ) -> Tiling:
        """Return this tiling, or the tiling with another side of tiles that computes the fewest pixels of a scene (h, w).

        Sides whose cores would not exceed the overlap are passed over. count : tiles that are computed, by default all."""
        least_px = 2 * self.halo_px + self.overlap_px
        tilings = [self, *(replace(self, tile_px=side_px) for side_px in sides_px if side_px > least_px)]
        number = count or (lambda tiling: len(Lattice(shape, tiling)))
        return min(tilings, key=lambda tiling: number(tiling) * tiling.tile_px**2)

    @property
    def similar_sides(self) -> range:
        """Return tile sides up to a quarter smaller or larger that may cut a scene with less work; empty for small tiles.

        >>> Tiling(768, 32).similar_sides, len(Tiling(128, 32).similar_sides)
        (range(576, 961, 32), 0)
        """
        if self.tile_px < SMALLEST_SIDE_PX:
            return range(0)
        reach_px = self.tile_px // 4 // SIDE_STEP_PX * SIDE_STEP_PX
        return range(self.tile_px - reach_px, self.tile_px + reach_px + 1, SIDE_STEP_PX)

    @property
    def half_sides(self) -> range:
        """Return `similar_sides` and smaller sides, down to half of the tile; empty for small tiles.

        >>> Tiling(768, 32).half_sides
        range(384, 961, 32)
        """
        similar, least_px = self.similar_sides, max(self.tile_px // 2, 2 * self.halo_px + SMALLEST_SIDE_PX // 2)
        return range(least_px - least_px % SIDE_STEP_PX, similar.stop, SIDE_STEP_PX) if similar else similar

    @property
    def small(self) -> Tiling:
        """Return this tiling with small tiles, for scenes with only a few parts to compute.

        >>> Tiling(768, 32).small.tile_px, Tiling(128, 32).small.tile_px, Tiling(768, 96).small.tile_px
        (256, 128, 384)
        """
        return replace(self, tile_px=min(self.tile_px, max(SMALLEST_SIDE_PX, 4 * self.halo_px + self.overlap_px)))

    def geometry(self) -> str:
        """In words for who uses the network elsewhere: how prediction cuts a scene into tiles, mirrors it and joins the results."""
        last = " The last core of an axis ends at the scene's end." if self.blending == UNIFORM else ""
        joined = (
            f"Where cores overlap, {self.scores} are averaged with equal weights"
            if self.blending == UNIFORM
            else f"Where cores overlap, {self.scores} are averaged with weights that rise as sin² over {self.overlap_px} px at each edge"
            if self.overlap_px
            else "Cores abut"
        )
        return (
            f"Tiles are {self.tile_px} x {self.tile_px} px: a core of {self.core_px} px with {self.halo_px} px around it on every side. "
            f"Cores begin at row and column 0 and every {self.stride_px} px, until they cover the scene.{last} Beyond its edges the prepared "
            f'scene is mirrored, the edge pixel not repeated (numpy.pad, mode="reflect", {self.halo_px} px before the first row and column). '
            f"Only the core of the result is kept. {joined}. Pixels that are not valid get no label."
        )

    def with_wider_halo(self, halo_px: int) -> Tiling:
        """Return a tiling with at least this halo and as large a core.

        It grows by 32 px, as other positions of poolings change labels."""
        more_px = -(-max(halo_px - self.halo_px, 0) // TILE_STEP_PX) * TILE_STEP_PX
        return replace(self, tile_px=self.tile_px + 2 * more_px, halo_px=self.halo_px + more_px)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as kept in a run's card."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Tiling:
        """Restore the tiling that `to_dict` described. Errors: InputError for another key, or a value of another kind."""
        if isinstance(values, dict) and (unknown := sorted(values.keys() - {field.name for field in fields(cls)})):
            raise InputError(f"a tiling has no {', '.join(unknown)}.")
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(str(part) for part in problem["loc"])
            raise InputError(f"{values!r} describes no tiling: {key} {problem['msg']}.") from error

    def core_weights(self) -> NDArray[np.float32]:
        """Blending weights (core_px,) float32 along one axis of a core: all 1 under "uniform", else `hann_weights`."""
        return np.ones(self.core_px, np.float32) if self.blending == UNIFORM else hann_weights(self)


class Tile:
    """One position of the lattice.

    Parameters
    ----------
    row, col : position on the lattice, from 0
    core : the window of the scene that the tile predicts
    halo_px : context on each side, pixels: `window` is the core with it

    Examples
    --------
    >>> Tile(1, 0, Window(48, 0, 48, 48), halo_px=8).window
    Window(row=40, col=-8, height=64, width=64)
    """

    __slots__ = ("col", "core", "row", "window")

    def __init__(self, row: int, col: int, core: Window, halo_px: int) -> None:
        self.row, self.col, self.core = row, col, core
        self.window = core.grow(halo_px)

    def __repr__(self) -> str:
        return f"Tile(row={self.row}, col={self.col}, core={tuple(self.core)})"


@dataclass(frozen=True)
class Lattice:
    """All tiles of a scene: cores start at (0, 0) and step by the stride until they cover the scene; all are distinct.

    Parameters
    ----------
    shape : (h, w) of the scene, pixels
    tiling : sizes of tiles

    Examples
    --------
    >>> lattice = Lattice((100, 70), Tiling(tile_px=64, halo_px=8))
    >>> lattice.rows, lattice.cols, lattice.tile(1, 0).window
    (3, 2, Window(row=40, col=-8, height=64, width=64))
    """

    shape: tuple[int, int]
    tiling: Tiling = Tiling()

    @property
    def rows(self) -> int:
        """Number of tiles from top to bottom."""
        return self._steps(self.shape[0])

    @property
    def cols(self) -> int:
        """Number of tiles from left to right."""
        return self._steps(self.shape[1])

    def __len__(self) -> int:
        return self.rows * self.cols

    def tile(self, row: int, col: int) -> Tile:
        """Return the tile at a position of the lattice."""
        top, left = self.start(row, self.shape[0]), self.start(col, self.shape[1])
        return Tile(row, col, Window(top, left, self.tiling.core_px, self.tiling.core_px), self.tiling.halo_px)

    def start(self, step: int, length: int) -> int:
        """First pixel of the core at a position along an axis of `length` pixels."""
        regular = step * self.tiling.stride_px
        return regular if self.tiling.blending != UNIFORM else min(regular, max(length - self.tiling.core_px, 0))

    @property
    def tiles(self) -> list[Tile]:
        """All tiles, row by row."""
        return [self.tile(row, col) for row in range(self.rows) for col in range(self.cols)]

    def number(self, tile: Tile) -> int:
        """Return the number of a tile among all, counted row by row from 0."""
        return tile.row * self.cols + tile.col

    def touching(self, start: int, stop: int, length: int) -> range:
        """Positions along one axis of the tiles whose cores reach into pixels start ≤ p < stop of `length`."""
        stride, core = self.tiling.stride_px, self.tiling.core_px
        first, steps = max(0, (start - core) // stride + 1), self._steps(length)
        reaches_last = stop > self.start(steps - 1, length)  # which may start before its place in the lattice
        return range(first, steps if reaches_last else min((stop - 1) // stride + 1, steps))

    def finished_rows(self, row: int) -> int:
        """Return the number of scene rows that no tile after lattice row `row` reaches."""
        return self.shape[0] if row == self.rows - 1 else min(self.start(row + 1, self.shape[0]), self.shape[0])

    def _steps(self, length: int) -> int:
        return max(1, math.ceil((length - self.tiling.overlap_px) / self.tiling.stride_px))

    def weight_sums(self, start: int, stop: int, length: int) -> NDArray[np.float32]:
        """Sum the weights of all tiles at the pixels start ≤ p < stop of an axis of `length` pixels, float32."""
        weights = self.tiling.core_weights()
        total = np.zeros(stop - start, np.float32)
        for step in self.touching(start, stop, length):
            at = self.start(step, length)
            first, last = max(at, start), min(at + weights.size, stop)
            total[first - start : last - start] += weights[first - at : last - at]
        return total


def hann_weights(tiling: Tiling) -> NDArray[np.float32]:
    """Hann ramps over the overlap, 1 between: weights (core_px,) float32 in (0, 1] along one axis of a core.

    The ramps of two neighbours sum to 1; where more cores overlap, or at the scene's edge, the sum is divided out."""
    position = np.arange(tiling.core_px) + 0.5
    distance = np.minimum(position, tiling.core_px - position)
    ramp = np.minimum(distance / max(tiling.overlap_px, 1), 1.0) if tiling.overlap_px else np.ones(tiling.core_px)
    return np.asarray(np.sin(0.5 * np.pi * ramp) ** 2, np.float32)


def reflect_indices(length: int, start: int, stop: int) -> NDArray[np.intp]:
    """Return indices 0 … length − 1 for positions start ≤ p < stop of an axis, mirrored beyond its ends as often as needed."""
    if length == 1:
        return np.zeros(stop - start, np.intp)
    period = 2 * (length - 1)
    position = np.arange(start, stop) % period
    return np.minimum(position, period - position).astype(np.intp)


def mirror_window(part: NDArray[Any], window: Window) -> NDArray[Any]:
    """Return a window (C, window.height, window.width) of an image (C, h, w), mirrored beyond the image's edges."""
    rows = reflect_indices(part.shape[1], window.row, window.row + window.height)
    cols = reflect_indices(part.shape[2], window.col, window.col + window.width)
    result = np.empty((len(part), window.height, window.width), part.dtype)
    inside = window.clip((part.shape[1], part.shape[2]))
    here = inside.within(window)
    above, below = slice(0, here.row), slice(here.row + here.height, None)
    left, right = slice(0, here.col), slice(here.col + here.width, None)
    middle_rows, middle_cols = here.slices
    inside_rows, inside_cols = inside.slices
    # most of the window: a copy takes a third of a gather
    result[:, middle_rows, middle_cols] = part[:, inside_rows, inside_cols]
    for beyond in (left, right):
        result[:, middle_rows, beyond] = part[:, inside_rows].take(cols[beyond], axis=2)
    for beyond in (above, below):
        result[:, beyond] = part.take(rows[beyond], axis=1).take(cols, axis=2)
    return result
