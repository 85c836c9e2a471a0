"""A plan in the making: rows of tables in a frame that is turned against the image, with what is taken already.

Layouts draw in the frame's axes, x and y from the middle of the site; `Draft.to_plan` turns all to the image.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.world.layouts.clearance import OUTLINE, Rects, distance_m, keep_whole, turn_about_origin
from deepnets4eo.synthetic.world.layouts.palette import Looks, Palette, car_colours
from deepnets4eo.synthetic.world.plan import BOTH, NO_BUILDING, TABLES, Plan, join_rows
from deepnets4eo.synthetic.world.style import WorldStyle

MARGIN_M = 30.0  # objects so far beyond the site still throw shadows into it


@dataclass
class Draft:
    """A plan in the making for a style and a site of (width, height) metres; `rng` is the source of all draws."""

    style: WorldStyle
    extent_m: tuple[float, float]
    rng: np.random.Generator
    turn: float = field(init=False)  # of the frame against the image, radians
    palette: Palette = field(init=False)
    count: int = 0  # buildings so far
    _rows: dict[str, list[NDArray[Any]]] = field(default_factory=lambda: {name: [] for name in TABLES})
    _taken: list[Rects] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.turn = float(self.rng.uniform(-np.pi, np.pi))
        self.palette = Palette(self.style, self.rng)

    @property
    def half_m(self) -> tuple[float, float]:
        """Half the sides of the frame's rectangle around the site, metres."""
        cosine, sine = abs(np.cos(self.turn)), abs(np.sin(self.turn))
        width, height = self.extent_m
        return (width * cosine + height * sine) / 2, (width * sine + height * cosine) / 2

    def number(self, name: str) -> float:
        """Draw one of the numbers of the style by its key."""
        return self.style.draw(self.rng, name)

    def numbers(self, name: str, count: int) -> NDArray[np.float64]:
        """Draw one of the numbers of the style for `count` objects."""
        low, high = self.style.numbers[name]
        return self.rng.uniform(low, high, count)

    def near_site(self, rects: Rects, margin_m: float = MARGIN_M) -> NDArray[np.bool_]:
        """Return (N,) bool, whether rectangles (N, 5) in the frame may show in the image or throw shadows into it."""
        turned_rects = turn_about_origin(rects, self.turn)
        reach = margin_m + np.hypot(rects[:, 2], rects[:, 3]) / 2
        half_width, half_height = self.extent_m[0] / 2, self.extent_m[1] / 2
        near: NDArray[np.bool_] = (np.abs(turned_rects[:, 0]) < half_width + reach) & (
            np.abs(turned_rects[:, 1]) < half_height + reach
        )
        return near

    def add(self, table: str, rects: Rects, **columns: Any) -> None:
        """Add rows of "roofs", "boxes" or "areas" at rectangles (N, 5); columns are numbers or (N,), 0 where left out,
        `when` is BOTH."""
        rows = np.zeros(len(rects), TABLES[table])
        rows["when"] = BOTH
        for name, values in zip(OUTLINE, rects.T, strict=True):
            rows[name] = values
        for name, values in columns.items():
            rows[name] = values
        if "colour" in columns:
            np.clip(rows["colour"], 6, 250, out=rows["colour"])
        self._rows[table].append(rows)

    def add_area(self, rects: Rects, material: str, **columns: Any) -> None:
        """Add ground covers of a material at rectangles (N, 5); the tone is 1 where it is left out."""
        self.add("areas", rects, **{"material": CODE[material], "tone": 1.0} | columns)

    def add_boxes(self, rects: Rects, height_m: Any, colour: Any, material: str = "roof", **columns: Any) -> None:
        """Add boxes at rectangles (N, 5), `height_m` above what is below, with display colours (N, 4) or (4,)."""
        self.add("boxes", rects, **{"height_m": height_m, "colour": colour, "material": CODE[material]} | columns)

    def add_cars(self, rects: Rects) -> None:
        """Add cars, vans among them, where the rectangles (N, 5) lie; their sizes are drawn."""
        n = len(rects)
        vans = self.rng.random(n) < 0.08
        sized = rects.copy()
        sized[:, 2] = np.where(vans, self.rng.uniform(5.0, 7.0, n), self.rng.uniform(3.6, 4.8, n))
        sized[:, 3] = np.where(vans, 2.1, self.rng.uniform(1.65, 1.9, n))
        self.add_boxes(sized, np.where(vans, 2.4, 1.5), car_colours(n, self.rng), "car")

    def take(self, rects: Rects) -> None:
        """Take the ground of rectangles (N, 5), on which no building will stand."""
        self._taken.append(rects)

    def clear(self, rects: Rects) -> None:
        """Remove the boxes, and the structures that are no buildings, that stand on some ground (N, 5) with part of
        their length."""
        for name in ("boxes", "roofs"):
            if not self._rows[name]:
                continue
            rows = join_rows(self._rows[name])
            along = np.linspace(-0.5, 0.5, 9)[:, None] * rows["length"]
            x, y = rows["x"] + along * np.cos(rows["angle"]), rows["y"] + along * np.sin(rows["angle"])
            gone = (distance_m(x.ravel(), y.ravel(), rects) <= 0).reshape(x.shape).any(axis=0)
            if name == "roofs":
                gone &= rows["building"] == NO_BUILDING
            self._rows[name] = [rows[~gone]]

    def take_free(self, parts: Rects, owner: NDArray[Any]) -> NDArray[np.bool_]:
        """Take the ground of the buildings that overlap nothing taken and no earlier one of this call; returns
        (buildings,) bool. `owner` (N,) is the building of each part (N, 5)."""
        if len(self._taken) > 1:
            self._taken = [np.concatenate(self._taken)]
        stays = keep_whole(parts, owner, self._taken[0] if self._taken else np.zeros((0, 5)))
        self._taken.append(parts[stays[owner]])
        return stays

    def add_buildings(
        self,
        parts: Rects,
        owner: NDArray[Any],
        eave_m: Any,
        looks: Looks,
        *,
        parapet_m: Any = 0.0,
        storey_m: float = 3.0,
    ) -> NDArray[np.intp]:
        """Add buildings with their roofs, without a look at what is taken, and return their rows (N,) in the table.
        `owner` (N,) is the building of each part (N, 5), from 0 without gaps; `looks` are those of each building or
        of each part."""
        if not len(parts):
            return np.zeros(0, np.intp)
        n = int(owner.max()) + 1
        eaves = np.broadcast_to(np.asarray(eave_m, np.float64), len(parts))
        building = owner + self.count
        per_part = looks if len(looks.kind) == len(parts) else looks.take(owner)
        columns = {name: getattr(per_part, name) for name in ("kind", "surface", "rise", "relief", "colour")}
        self.add("roofs", parts, eave_m=eaves, parapet_m=parapet_m, building=building, **columns)
        self._rows["buildings"].append(self._outlines(parts, owner, eaves, per_part.construction, n, storey_m))
        self.count += n
        return building

    def add_structures(self, rects: Rects, eave_m: Any, **columns: Any) -> None:
        """Add roofs (N, 5) that are no buildings: canopies, carports, tanks, greenhouses."""
        self.add("roofs", rects, **{"eave_m": eave_m, "building": NO_BUILDING, "relief": 0.8} | columns)

    def _outlines(
        self,
        parts: Rects,
        owner: NDArray[Any],
        eaves: NDArray[Any],
        construction: NDArray[Any],
        n: int,
        storey_m: float,
    ) -> NDArray[Any]:
        size = parts[:, 2] * parts[:, 3]
        total = np.bincount(owner, size, n)
        rows = np.zeros(n, TABLES["buildings"])
        x, y = (np.bincount(owner, size * parts[:, axis], n) / total for axis in (0, 1))
        radius = np.hypot(parts[:, 0] - x[owner], parts[:, 1] - y[owner]) + np.hypot(parts[:, 2], parts[:, 3]) / 2
        rows["x"], rows["y"] = x, y
        np.maximum.at(rows["radius_m"], owner, radius.astype(np.float32))
        rows["construction"][owner] = construction
        eave_of = np.bincount(owner, size * eaves, n) / total
        rows["eave_m"] = eave_of
        rows["storeys"] = np.clip(np.round(eave_of / storey_m), 1, 60)
        rows["key"] = self.rng.integers(0, 2**32, n, dtype=np.uint32)
        rows["when"] = BOTH
        return rows

    def to_plan(self) -> Plan:
        """Return the plan in the axes of the image, without what lies far beyond the site; its poles and ground are
        those of the style."""
        tables = {name: join_rows(rows) if rows else np.zeros(0, TABLES[name]) for name, rows in self._rows.items()}
        for name, rows in tables.items():
            x, y = rows["x"].copy(), rows["y"].copy()
            rows["x"] = x * np.cos(self.turn) - y * np.sin(self.turn) + self.extent_m[0] / 2
            rows["y"] = x * np.sin(self.turn) + y * np.cos(self.turn) + self.extent_m[1] / 2
            if name not in ("buildings", "trees"):
                rows["angle"] += self.turn
            if name not in ("buildings", "roofs"):
                tables[name] = rows[self._near(rows)]
        tables["buildings"], tables["roofs"] = _cull_buildings(tables["buildings"], tables["roofs"], self._near)
        ground, patches, share = self.style.ground
        return Plan(
            self.extent_m,
            CODE[ground],
            CODE[patches],
            patch_share=float(self.rng.uniform(*share)),
            relief_m=float(self.rng.uniform(*self.style.relief_m)),
            poles=_poles(self.style, self.rng),
            **tables,
        )

    def _near(self, rows: NDArray[Any]) -> NDArray[np.bool_]:
        width, height = self.extent_m
        reach = MARGIN_M + _radius(rows)
        inside_x = (rows["x"] > -reach) & (rows["x"] < width + reach)
        near: NDArray[np.bool_] = inside_x & (rows["y"] > -reach) & (rows["y"] < height + reach)
        return near


def _radius(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Radius of a circle around each object, metres."""
    for name in ("radius_m", "radius"):  # of buildings, of trees
        if name in (rows.dtype.names or ()):
            return np.asarray(rows[name])
    return np.asarray(np.hypot(rows["length"], rows["width"]) / 2)


def _cull_buildings(buildings: NDArray[Any], roofs: NDArray[Any], near: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Buildings and roofs near the site, the roofs' numbers of their buildings mended."""
    kept = near(buildings)
    number = np.where(kept, np.cumsum(kept) - 1, NO_BUILDING)
    none = roofs["building"] == NO_BUILDING
    stays = np.where(none, near(roofs), kept[roofs["building"]] if len(buildings) else False)
    roofs = roofs[stays]
    some = roofs["building"] != NO_BUILDING
    roofs["building"][some] = number[roofs["building"][some]]
    return buildings[kept], roofs


def _poles(style: WorldStyle, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """The style's colours of materials, a little other at every site."""
    tone = rng.normal(1.0, 0.06) * rng.normal(1.0, 0.025, 4)
    return {
        name: np.clip(np.array(two, np.float32) * tone, 6, 250).astype(np.float32) for name, two in style.poles.items()
    }
