"""Sums of buildings by tile, kept so that an interrupted pass of the network goes on, or several processes share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.jobs.journal import Journal
from deepnets4eo.jobs.parts import WHOLE, Part
from deepnets4eo.tiling import Tile


@dataclass(frozen=True)
class TileSums:
    """Sums of logits of the buildings in a tile's core.

    Parameters
    ----------
    buildings
        (M,) int64, their numbers.
    sums
        (M, K) float64 of each class.
    pixels
        (M,) int64, the valid pixels that were summed.
    """

    buildings: NDArray[np.int64]
    sums: NDArray[np.float64]
    pixels: NDArray[np.int64]

    def fit(self, count: int) -> bool:
        """Whether these are sums of some of `count` buildings."""
        rows, pixels = self.buildings, self.pixels
        return (
            rows.ndim == 1
            and rows.shape == pixels.shape == self.sums.shape[:1]
            and self.sums.ndim == 2
            and [array.dtype.kind for array in (rows, self.sums, pixels)] == ["i", "f", "i"]
            and bool(np.all((rows >= 0) & (rows < count)))
        )


@dataclass(frozen=True)
class TileWork:
    """What a pass over the tiles of a scene keeps, and which of them it computes.

    Parameters
    ----------
    journal
        Keeps the sums of finished tiles of this job, and returns those that are there; by default nothing is kept.
    part
        Whose tiles are computed; the sums of buildings that reach into other tiles are incomplete.
    progress
        Called with the share of these tiles that is done, 0–1.
    """

    journal: Journal = Journal()
    part: Part = WHOLE
    progress: Callable[[float], None] | None = None

    def get(self, tile: Tile, count: int) -> TileSums | None:
        """Return the sums of a finished tile, of some of `count` buildings; None where it is not finished."""
        arrays = self.journal.get(_name(tile))
        if arrays is None or set(arrays) != {field.name for field in fields(TileSums)}:
            return None
        sums = TileSums(**arrays)
        return sums if sums.fit(count) else None

    def put(self, tile: Tile, sums: TileSums) -> None:
        """Keep the sums of a finished tile. Raises OutputError where they cannot be written."""
        self.journal.put(_name(tile), vars(sums))


def _name(tile: Tile) -> str:
    return f"{tile.core.row}-{tile.core.col}"
