"""The plan of a place: every object of both dates as rows of tables, before any pixel is painted.

Tables are NumPy structured arrays, so that compiled loops read them. Positions are local metres, x to the right and y
down; angles are radians of the long axis; colours are display values 0–255 of red, green, blue and near infrared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

BEFORE, AFTER, BOTH = 1, 2, 3  # bits of `when`: the dates at which an object is there
NO_BUILDING = -1

# Shapes of a roof over its rectangle; cones and domes stand on the ellipse in it.
FLAT, GABLE, HIP, MONO, CONE, DOME, VAULT = range(7)
ROOF_KINDS = {"flat": FLAT, "gable": GABLE, "hip": HIP, "mono": MONO, "cone": CONE, "dome": DOME, "vault": VAULT}

# Surfaces of a roof: lines of tiles, corrugated or standing-seam sheets, patches of sheets, stains of membranes, straw.
PLAIN, TILES, SHEETS, PATCHWORK, STAINED, THATCH, GRAVEL = range(7)
SURFACES = {
    "plain": PLAIN, "tiles": TILES, "sheets": SHEETS, "patchwork": PATCHWORK, "stained": STAINED, "thatch": THATCH,
    "gravel": GRAVEL,
}  # fmt: skip

RECTANGLE, ELLIPSE = 0, 1
NO_ROWS, CROP_ROWS, PAVING_JOINTS = 0, 1, 2  # patterns of an area
DECIDUOUS, EVERGREEN, SHRUB, PALM, BARE, CHARRED = range(6)  # the last two only after an event
TREE_KINDS = {"deciduous": DECIDUOUS, "evergreen": EVERGREEN, "shrub": SHRUB, "palm": PALM}

# What carries a building; hazards act on it.
MASONRY, CONCRETE, WOOD, TIN, EARTH, STEEL = range(6)
CONSTRUCTIONS = {
    "masonry": MASONRY, "concrete": CONCRETE, "wood": WOOD, "tin": TIN, "earth": EARTH, "steel": STEEL,
}  # fmt: skip

COLOUR = ("colour", np.float32, (4,))
_POSITION = [("x", np.float32), ("y", np.float32), ("length", np.float32), ("width", np.float32), ("angle", np.float32)]

BUILDING = np.dtype(
    [
        ("x", np.float32), ("y", np.float32), ("radius_m", np.float32),  # a circle around all its parts
        ("eave_m", np.float32), ("storeys", np.uint8), ("construction", np.uint8), ("key", np.uint32), ("when", np.uint8),
    ]
)  # fmt: skip
# A part of a building (row of `building`), or of a structure that is none (NO_BUILDING): canopy, greenhouse, tank.
# rise : height of the ridge over half the span; relief : strength of the surface's pattern, about 1; parapet_m : 0 for none
ROOF = np.dtype(
    [
        *_POSITION, ("eave_m", np.float32), ("rise", np.float32), ("kind", np.uint8), ("surface", np.uint8),
        ("relief", np.float32), ("parapet_m", np.float32), COLOUR, ("building", np.int32), ("when", np.uint8),
    ]
)  # fmt: skip
# Things on the ground or, where `on_roof`, on what is below: cars, water tanks, walls, hedges, debris, boats, panels.
BOX = np.dtype(
    [*_POSITION, ("height_m", np.float32), ("on_roof", np.uint8), ("material", np.uint8), COLOUR, ("when", np.uint8)]
)
# Ground covers, painted in order. rough : raggedness of the edge, 0 straight to 1; period_m : of the rows; strength : of them
AREA = np.dtype(
    [
        *_POSITION, ("shape", np.uint8), ("material", np.uint8), ("pattern", np.uint8), ("period_m", np.float32),
        ("strength", np.float32), ("rough", np.float32), ("tone", np.float32), ("when", np.uint8),
    ]
)  # fmt: skip
TREE = np.dtype(
    [
        ("x", np.float32), ("y", np.float32), ("radius", np.float32), ("height_m", np.float32), ("kind", np.uint8),
        ("tone", np.float32), ("when", np.uint8),
    ]
)  # fmt: skip
TABLES = {"buildings": BUILDING, "roofs": ROOF, "boxes": BOX, "areas": AREA, "trees": TREE}


def _empty(name: str) -> Any:
    return field(default_factory=lambda: np.zeros(0, TABLES[name]))


@dataclass(frozen=True)
class Plan:
    """All objects of a place.

    Parameters
    ----------
    extent_m : (width, height) of the place; objects may lie beyond, for their shadows and crowns
    ground : code of the material under everything (`materials.CODE`)
    patches : code of the material of irregular patches in it
    patch_share : share of the ground that the patches take, 0–1
    relief_m : standard deviation of the terrain's height, metres
    poles : material name → its two display colours, (2, 4), where the place's differ from `materials`
    buildings, roofs, boxes, areas, trees
        Tables of the types `BUILDING`, `ROOF`, `BOX`, `AREA`, `TREE`; later rows lie over earlier ones.

    Examples
    --------
    >>> Plan((100.0, 80.0), ground=0, patches=2).roofs.shape
    (0,)
    """

    extent_m: tuple[float, float]
    ground: int
    patches: int
    patch_share: float = 0.1
    relief_m: float = 1.0
    poles: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    buildings: NDArray[Any] = _empty("buildings")
    roofs: NDArray[Any] = _empty("roofs")
    boxes: NDArray[Any] = _empty("boxes")
    areas: NDArray[Any] = _empty("areas")
    trees: NDArray[Any] = _empty("trees")

    def with_rows(self, **tables: NDArray[Any]) -> Plan:
        """Return the plan with more rows at the end of its tables, by the name of their table."""
        joined: dict[str, Any] = {name: join_rows([getattr(self, name), rows]) for name, rows in tables.items()}
        return replace(self, **joined)

    def at(self, date: int) -> Plan:
        """Return the plan with the roofs, boxes, areas and trees of `BEFORE` or `AFTER`; the table of buildings stays
        whole."""
        there: dict[str, Any] = {}
        for name in ("roofs", "boxes", "areas", "trees"):
            table = getattr(self, name)
            there[name] = table[table["when"] & date > 0]
        return replace(self, **there)


def join_rows(groups: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the rows of one table after another, joined as bytes: NumPy compares all columns of structured arrays
    first, which takes 40 times as long.

    >>> len(join_rows([np.zeros(2, TREE), np.zeros(3, TREE)]))
    5
    """
    kind = groups[0].dtype
    joined: NDArray[Any] = np.concatenate([rows.view(f"V{kind.itemsize}") for rows in groups]).view(kind)
    return joined


def make_rows(table: str, values: Sequence[tuple[Any, ...]]) -> NDArray[Any]:
    """Return rows of a table (a key of `TABLES`) from tuples in the order of its columns.

    >>> make_rows("trees", [(3.0, 4.0, 2.0, 6.0, PALM, 1.0, BOTH)])["radius"]
    array([2.], dtype=float32)
    """
    return np.array(list(values), dtype=TABLES[table])
