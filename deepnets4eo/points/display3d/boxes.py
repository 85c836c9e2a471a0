"""Buildings as prisms: outlines between the terrain and a height, with a colour and the lines of a card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray


@dataclass(frozen=True)
class BuildingBox:
    """A building to be drawn: outline in the coordinates of the cloud, heights of foot and top in metres, colour 0–255,
    `group` such as a grade, which the page can hide, and facts as pairs of text."""

    name: str
    outline: Any
    bottom_m: float
    top_m: float
    colour: tuple[int, int, int]
    group: str
    facts: tuple[tuple[str, str], ...] = ()

    def rings(self) -> list[NDArray[np.float64]]:
        """Rings (n, 2) of its outline, the last point the same as the first."""
        return [shapely.get_coordinates(ring) for ring in shapely.get_rings(self.outline)]


def box_lines(boxes: list[BuildingBox]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return the edges of prisms: (M, 2, 3) ends of lines and (M, 3) colours."""
    lines, colours = [np.zeros((0, 2, 3))], [np.zeros((0, 3), np.uint8)]
    for box in boxes:
        for ring in box.rings():
            low = np.column_stack([ring, np.full(len(ring), box.bottom_m)])
            high = np.column_stack([ring, np.full(len(ring), box.top_m)])
            edges = [np.stack([level[:-1], level[1:]], axis=1) for level in (low, high)]
            edges.append(np.stack([low[:-1], high[:-1]], axis=1))
            lines += edges
            colours.append(np.tile(np.array(box.colour, np.uint8), (sum(map(len, edges)), 1)))
    return np.concatenate(lines), np.concatenate(colours)
