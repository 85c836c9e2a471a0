"""A plan in the making: rows of tables in a frame that is turned against the image, with what is taken already; and streets and lots.

Layouts draw in the frame's axes, x and y from the middle of the site; `Draft.to_plan` turns all to the image. Streets run along x,
one above the other, and may bend; cross streets cut the strips between them into blocks, and blocks are cut into lots along lines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.materials import CODE
from world.layouts.clearance import (
    OUTLINE,
    Rects,
    distance_m,
    keep_whole,
    rect_rows,
    turn_about_origin,
    widen,
    within,
)
from world.layouts.tables import Looks, Palette, car_colours
from world.plan import BOTH, NO_BUILDING, TABLES, Plan, join_rows
from world.style import WorldStyle

_PIECE_M = 13.0  # bent streets are chains of such pieces
_KERB_M = 0.4  # from the carriageway to the nearest wall, at least

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
        """Add buildings with their roofs, without checking for overlaps, and return their rows (N,) in the table.
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


@dataclass(frozen=True)
class Bend:
    """A map z → z + b z² + c z³ of complex positions that bends a frame and keeps right angles, so that streets become
    curves that still cross at right angles."""

    square: complex
    cube: complex

    @classmethod
    def draw(cls, draft: Draft, strength: float) -> Bend:
        """Draw a map; `strength` is the largest turn in radians and the largest change of scale at the corners of the
        frame, 0 for straight streets."""
        radius = float(np.hypot(*draft.half_m))
        heading = np.exp(1j * draft.rng.uniform(0, 2 * np.pi, 2))
        share = draft.rng.uniform(0, 1)
        return cls(
            complex(share * strength / (2 * radius) * heading[0]),
            complex((1 - share) * strength / (3 * radius**2) * heading[1]),
        )

    def move(self, rects: Rects) -> Rects:
        """Move rectangles (N, 5) with the bent frame; they turn and change their size with it."""
        z = rects[:, 0] + 1j * rects[:, 1]
        moved = z * (1 + z * (self.square + z * self.cube))
        slope = 1 + z * (2 * self.square + z * 3 * self.cube)
        scale = np.abs(slope)
        return rect_rows(
            moved.real, moved.imag, rects[:, 2] * scale, rects[:, 3] * scale, rects[:, 4] + np.angle(slope)
        )


@dataclass(frozen=True)
class Town:
    """Blocks and streets of a site, before they are bent: (N, 5) and (S, 5), length along x, along the street."""

    blocks: Rects
    streets: Rects
    bend: Bend


def draw_town(draft: Draft) -> Town:
    """Draw streets and the blocks near the site by the numbers block_m, row_m, street_m, main_m, aligned and bend of
    the style; nothing is added to the draft."""
    rng = draft.rng
    half_x, half_y = (1.2 * half + MARGIN_M for half in draft.half_m)  # the bend may shrink it
    lanes, strips = _cut(draft, "block_m", half_y)
    first_cross, first_cells = _cut(draft, "row_m", half_x)
    aligned = rng.random() < draft.number("aligned")
    blocks, streets = [], [rect_rows(0.0, lanes[:, 0], 2 * half_x, lanes[:, 1])]
    for middle, width in strips:
        cross, cells = (first_cross, first_cells) if aligned else _cut(draft, "row_m", half_x)
        blocks.append(rect_rows(cells[:, 0], middle, cells[:, 1], width))
        streets.append(rect_rows(cross[:, 0], middle, width + 8.0, cross[:, 1], np.pi / 2))
    every_block, every_street = np.concatenate(blocks), np.concatenate(streets)
    bend = Bend.draw(draft, draft.number("bend"))
    near = draft.near_site(bend.move(every_block))
    return Town(every_block[near], every_street, bend)


def _cut(draft: Draft, name: str, half: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cut −half … half into streets and what lies between: rows (middle, width) of both."""
    typical = draft.number(name)  # blocks of a site are alike, more or less
    low, high = draft.style.numbers[name]
    count = int(2 * half / low) + 2
    sizes = np.clip(draft.rng.normal(typical, 0.12 * (high - low), count), low, high)
    widths = draft.numbers("street_m", count)
    main = draft.rng.random(count) < 0.25
    widths[main] = draft.numbers("main_m", count)[main]
    edges = np.cumsum(widths + sizes) - half - draft.rng.uniform(0, typical)
    starts = edges - sizes - widths  # of the street before each block
    streets = np.stack([starts + widths / 2, widths], axis=1)
    between = np.stack([starts + widths + sizes / 2, sizes], axis=1)
    kept = starts < half
    return streets[kept], between[kept]


def pave_streets(draft: Draft, town: Town, material: str, *, verge: str | None = None) -> Rects:
    """Add the streets of a material ("asphalt" or "old_asphalt", on which no building stands) with verges beside them,
    take their ground, and return the pieces of the carriageways (N, 5)."""
    bent = town.bend.move(_pieces(town))
    bent = bent[draft.near_site(bent)]
    if verge is not None:
        draft.add_area(widen(bent, draft.rng.uniform(1.2, 2.6)), verge)
    draft.add_area(bent, material, tone=draft.rng.uniform(0.85, 1.15))
    draft.take(widen(bent, _KERB_M))
    return bent


def _pieces(town: Town) -> Rects:
    """Streets cut into short pieces that overlap a little where they bend; straight ones stay whole."""
    if abs(town.bend.square) + abs(town.bend.cube) == 0:
        return town.streets
    counts = np.ceil(town.streets[:, 2] / _PIECE_M).astype(int)
    street, step = repeat_runs(counts)
    size = town.streets[street, 2] / counts[street]
    u = (step + 0.5) * size - town.streets[street, 2] / 2
    return within(town.streets[street], u, 0.0, size + 1.0, town.streets[street, 3])


def block_sides(blocks: Rects, front_m: float = 0.5) -> Rects:
    """Return the two halves (2 N, 5) of each block, their v axes to the street, of which `front_m` stays free."""
    depth = np.maximum(blocks[:, 3] / 2 - front_m, 1.0)
    sides = np.concatenate(
        [within(blocks, 0.0, side * depth / 2, blocks[:, 2] - 2 * front_m, depth) for side in (1, -1)]
    )
    sides[len(blocks) :, 4] += np.pi
    return sides


def repeat_runs(counts: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the index of each run and the position in it, for runs of different lengths.

    >>> repeat_runs(np.array([2, 0, 3]))
    (array([0, 0, 2, 2, 2]), array([0, 1, 0, 1, 2]))
    """
    counts = np.maximum(counts, 0)
    run = np.repeat(np.arange(len(counts)), counts)
    return run, np.arange(len(run)) - np.repeat(np.cumsum(counts) - counts, counts)


def cut_lots(
    draft: Draft, lengths: NDArray[np.float64], typical: float, spread: float = 0.15
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Cut lines into lots of about `typical` metres that fill them: line, middle (from the middle of the line) and
    frontage of each lot. Lines shorter than 0.7 lots have none."""
    counts = np.where(lengths > 0.7 * typical, np.maximum(1, np.round(lengths / typical)), 0).astype(int)
    line, _ = repeat_runs(counts)
    weight = np.clip(draft.rng.normal(1.0, spread, len(line)), 0.5, 1.8)
    total = np.bincount(line, weight, len(lengths))
    frontage = weight * (lengths / np.where(total > 0, total, 1.0))[line]
    ends = np.cumsum(frontage)
    before = np.concatenate([[0.0], np.cumsum(np.bincount(line, frontage, len(lengths)))])[:-1]
    middle = ends - frontage / 2 - before[line] - lengths[line] / 2
    return line, middle, frontage
