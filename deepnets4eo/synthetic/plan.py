"""The plan of the city: positions of all objects, before any pixel is painted.

Made by `layout` from streets and a style; used for painting, vectors and the event.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from deepnets4eo.synthetic.building import Building
from deepnets4eo.synthetic.streets import KINDS, Streets

Row = tuple[float, float, float, float, float]


@dataclass
class Plan:
    """All planned objects. Rows are (x, y, length, width, angle) in local metres and radians.

    paving : rows with a material name; fences : rows with a height and a material name
    slots : parking slots; ponds : (x, y, radius_x, radius_y, angle, material)
    trees : (x, y, crown radius, height, kind) with kind 0 deciduous, 1 evergreen, 2 shrub
    """

    streets: Streets
    extent_m: tuple[float, float]
    buildings: list[Building] = field(default_factory=list)
    paving: list[tuple[Row, str]] = field(default_factory=list)
    fences: list[tuple[Row, float, str]] = field(default_factory=list)
    slots: list[Row] = field(default_factory=list)
    ponds: list[tuple[float, float, float, float, float, str]] = field(default_factory=list)
    trees: list[tuple[float, float, float, float, int]] = field(default_factory=list)
    boats: list[Row] = field(default_factory=list)
    clutter: list[Row] = field(default_factory=list)
    roads: list[tuple[list[tuple[float, float]], float, bool]] = field(default_factory=list)

    def inside(self, x: float, y: float, margin_m: float) -> bool:
        """Whether a position is within the extent plus a margin."""
        return -margin_m < x < self.extent_m[0] + margin_m and -margin_m < y < self.extent_m[1] + margin_m


def kind_name(streets: Streets, column: int, row: int) -> str:
    """The use of a block."""
    return KINDS[int(streets.kind[column, row])]
