"""Lays out the city: block after block with lots, buildings, paving, fences, parked cars; then the trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from shapely import STRtree, points

from deepnets4eo.synthetic.plan import Building, CityPlan, Streets, draw_streets, kind_name, plan_parts
from deepnets4eo.synthetic.style import Style, roof_colour

DENSITY = {"residential": 1.0, "apartments": 0.7, "commerce": 0.2, "park": 1.3, "field": 0.15, "wood": 9.0, "site": 0.1}

BEYOND_M = 45.0  # how far beyond the canvas lots are still laid out, for their shadows and crowns


@dataclass(frozen=True)
class CityBlock:
    """The land between four streets in (u, v), without the carriageways."""

    u0: float
    u1: float
    v0: float
    v1: float
    kind: str
    lot_m: float

    @classmethod
    def of(cls, streets: Streets, column: int, row: int) -> CityBlock:
        """Return the block right of line `column` and below line `row`."""
        u, v, uw, vw = streets.u, streets.v, streets.u_width / 2, streets.v_width / 2
        return cls(
            float(u[column] + uw[column]),
            float(u[column + 1] - uw[column + 1]),
            float(v[row] + vw[row]),
            float(v[row + 1] - vw[row + 1]),
            kind_name(streets, column, row),
            float(streets.lot[column, row]),
        )

    @property
    def u_mid(self) -> float:
        """Middle across."""
        return (self.u0 + self.u1) / 2

    @property
    def v_mid(self) -> float:
        """Middle along."""
        return (self.v0 + self.v1) / 2

    @property
    def reach_m(self) -> float:
        """Half the diagonal."""
        return float(np.hypot(self.u1 - self.u0, self.v1 - self.v0)) / 2 + 10


class _Site:
    """Adds the objects of one block to the plan, with (u, v) converted to local metres and a heading."""

    def __init__(self, plan: CityPlan, block: CityBlock, style: Style, rng: np.random.Generator) -> None:
        self.plan, self.block, self.style, self.rng = plan, block, style, rng

    def position(self, u: float, v: float) -> tuple[float, float, float]:
        """x, y and heading of growing v."""
        x, y = self.plan.streets.to_xy(u, v)
        return x, y, self.plan.streets.heading(u, v)

    def build(self, u: float, v: float, size: tuple[float, float], shape: str, use: str, turn: float = 0.0) -> None:
        """Add a building of `size` (along, across) metres around (u, v)."""
        rng, region = self.rng, self.style.region
        x, y, heading = self.position(float(u), float(v))
        names, weights = zip(*region.coverings, strict=True)
        covering = str(rng.choice(names, p=weights))
        roof = str(rng.choice(("gable", "hip", "shed", "flat"), p=(0.55, 0.33, 0.05, 0.07)))
        eave = 5.2 + rng.uniform(0, 0.9) if rng.random() < region.two_storeys else rng.uniform(2.5, 3.3)
        pitch = rng.uniform(0.3, 0.5) if region.name != "town" else rng.uniform(0.45, 0.85)
        if use in ("hall", "block"):
            roof = "flat" if use == "hall" or rng.random() < 0.5 else str(rng.choice(("gable", "hip")))
            eave = rng.uniform(4.2, 8.5) if use == "hall" else rng.choice((6.2, 8.8, 11.5, 14.5)) + rng.uniform(0, 0.6)
            pitch = rng.uniform(0.2, 0.4)
        if use == "shed":
            roof, eave = str(rng.choice(("gable", "shed", "flat"))), rng.uniform(2.0, 2.5)
            pitch, covering = 0.3, str(rng.choice(("metal", "shingle", "bitumen")))
        if use == "tank":
            roof, eave, pitch, covering = "dome", rng.uniform(4, 11), rng.uniform(0.05, 0.4), "membrane"
        if roof == "flat":
            covering = str(rng.choice(("membrane", "bitumen", "metal"), p=(0.45, 0.4, 0.15)))
        if roof == "shed":
            pitch = min(pitch, 0.22)
        self.plan.buildings.append(
            Building(
                x,
                y,
                heading + turn + rng.normal(0, 0.012),
                plan_parts(rng, float(size[0]), float(size[1]), shape),
                roof,
                float(eave),
                float(pitch),
                covering,
                roof_colour(rng, covering),
                use,
                int(rng.integers(2**31)),
            )
        )

    def pave(self, u: float, v: float, along: float, across: float, material: str) -> None:
        """Add a paved rectangle."""
        x, y, heading = self.position(u, v)
        self.plan.paving.append(((x, y, along, across, heading), material))

    def fence(self, u: float, v: float, along: float, across: float) -> None:
        """Add a fence or hedge along the longer side."""
        x, y, heading = self.position(u, v)
        hedge = self.rng.random() < 0.35
        thick = 0.9 if hedge else 0.2
        row = (x, y, max(along, thick), max(across, thick), heading)
        self.plan.fences.append((row, float(self.rng.uniform(1.0, 2.0)), "shrub" if hedge else "wood"))

    def slot(self, u: float, v: float, *, crosswise: bool) -> None:
        """Add a parking slot, along v or across."""
        x, y, heading = self.position(u, v)
        turn = np.pi / 2 if crosswise else 0.0
        self.plan.slots.append((x, y, self.rng.uniform(3.9, 5.1), self.rng.uniform(1.7, 2.0), heading + turn))


def fill_block(plan: CityPlan, block: CityBlock, style: Style, rng: np.random.Generator) -> None:
    """Add the objects of the block's use to the plan."""
    if block.u1 - block.u0 < 12 or block.v1 - block.v0 < 12:
        return
    site = _Site(plan, block, style, rng)
    if block.kind == "residential":
        _residential(site)
    elif block.kind == "apartments":
        _apartments(site)
    elif block.kind == "commerce":
        _commerce(site)
    elif block.kind == "park":
        _park(site)
    elif block.kind == "site":
        _construction(site)
    elif block.kind == "river":
        _riverside(site)


def _residential(site: _Site) -> None:
    """Two rows of lots, each facing its street; deep blocks have gardens between."""
    block, rng = site.block, site.rng
    count = max(int((block.v1 - block.v0) / block.lot_m), 1)
    lot = (block.v1 - block.v0) / count
    for side in (1.0, -1.0):
        front = block.u0 if side > 0 else block.u1
        setback = rng.uniform(5.5, 11.0) if site.style.region.name == "suburb" else rng.uniform(2.5, 6.0)
        for index in range(count):
            x, y, _ = site.position(front, block.v0 + (index + 0.5) * lot)
            if rng.random() < 0.06 or not site.plan.inside(x, y, BEYOND_M):
                continue
            _house(site, front, side, block.v0 + (index + 0.5) * lot, (lot, setback + rng.normal(0, 0.5)))


def _house(site: _Site, front: float, side: float, v: float, lot: tuple[float, float]) -> None:
    """House, drive, path, shed, fence and pool of one lot; `lot` is (width, setback), `side` points into the block."""
    rng, (width, setback), house = site.rng, lot, site.style.region.house_m
    half = (site.block.u1 - site.block.u0) / 2
    length = min(rng.uniform(house[0], house[1]), width - 2.2)
    depth = min(rng.uniform(house[2], house[3]), max(half - setback - 2.5, 5.0))
    shape = str(rng.choice(("rect", "L", "T", "U", "offset"), p=(0.46, 0.24, 0.08, 0.03, 0.19)))
    shift = rng.uniform(-0.5, 0.5) * max(width - length - 2.0, 0)
    if shape != "rect":
        depth *= 0.78
    across = rng.random() < 0.2 and depth < length < half - setback
    size = (depth, length) if across else (length, depth)
    centre = front + side * (setback + size[1] / 2)
    site.build(centre, v + shift, size, shape, "house")
    drive = rng.uniform(2.6, 5.6)
    edge = v + rng.choice((-1.0, 1.0)) * (length / 2 - drive / 2) * rng.uniform(0.6, 1.0) + shift
    run = setback + rng.uniform(0.0, 4.0)
    if rng.random() < 0.85:
        paving = str(rng.choice(("concrete", "concrete", "gravel", "asphalt", "old_asphalt")))
        site.pave(front + side * run / 2, edge, drive, run, paving)
        for car in range(int(rng.integers(0, 3))):
            site.slot(front + side * (3.0 + 5.4 * car), edge + rng.normal(0, 0.3), crosswise=True)
    site.pave(front + side * setback / 2, v + shift, 1.1, setback, "concrete")
    back = front + side * rng.uniform(setback + size[1] + 4, max(half - 2.5, setback + size[1] + 4.1))
    if rng.random() < 0.45 and half - setback - size[1] > 7:
        site.build(
            back, v + rng.uniform(-0.35, 0.35) * width, (rng.uniform(2.5, 7), rng.uniform(2.4, 5)), "rect", "shed"
        )
    if rng.random() < 0.045:
        x, y, heading = site.position(back, v)
        site.plan.ponds.append((x, y, rng.uniform(2.2, 5), rng.uniform(1.8, 3), heading, "pool"))
    if rng.random() < site.style.region.fences:
        site.fence(front + side * (setback + 3 + half) / 2, v + width / 2, 0.0, half - setback - 3)
    if rng.random() < site.style.region.fences:
        site.fence(front + side * half, v, width, 0.0)
    for _ in range(int(rng.integers(0, 4))):
        x, y, heading = site.position(back + rng.normal(0, 4), v + rng.uniform(-0.4, 0.4) * width)
        site.plan.clutter.append((x, y, rng.uniform(0.6, 3.0), rng.uniform(0.5, 1.8), heading + rng.uniform(0, 3)))


def _apartments(site: _Site) -> None:
    """Larger buildings of differing plan around paved yards with parked cars."""
    block, rng = site.block, site.rng
    across, along = block.u1 - block.u0, block.v1 - block.v0
    site.pave(block.u_mid, block.v_mid, along - 12, 6.0, "asphalt")
    shapes = ("rect", "L", "U", "T", "courtyard")
    step = rng.uniform(24, 40)
    for v in np.arange(block.v0 + step / 2 + 2, block.v1 - step / 2, step + rng.uniform(4, 10)).tolist():
        for side in (-1.0, 1.0):
            size = (step * rng.uniform(0.75, 0.95), min(across * 0.28, rng.uniform(10, 15)))
            shape = str(rng.choice(shapes, p=(0.4, 0.2, 0.15, 0.1, 0.15)))
            if shape in ("U", "L", "T"):
                size = (size[0], size[1] * 0.75)
            site.build(block.u_mid + side * across * 0.29, v, size, shape, "block")
    for v in np.arange(block.v0 + 10, block.v0 + along - 10, 2.9).tolist():
        if rng.random() < 0.5:
            site.slot(block.u_mid + 4.0, v, crosswise=True)


def _commerce(site: _Site) -> None:
    """Halls with flat roofs, car parks, a tank now and then."""
    block, rng = site.block, site.rng
    across, along = block.u1 - block.u0, block.v1 - block.v0
    site.pave(block.u_mid, block.v_mid, along - 5, across - 5, str(rng.choice(("asphalt", "old_asphalt", "concrete"))))
    count = max(int(along / rng.uniform(40, 75)), 1)
    step = along / count
    for index in range(count):
        v = block.v0 + (index + 0.5) * step
        side = rng.choice((-1.0, 1.0))
        size = (step * rng.uniform(0.45, 0.75), across * rng.uniform(0.3, 0.5))
        shape = str(rng.choice(("rect", "L", "T", "offset"), p=(0.6, 0.2, 0.1, 0.1)))
        if shape in ("L", "T"):
            size = (size[0], size[1] * 0.7)
        site.build(block.u_mid + side * across * 0.2, v, size, shape, "hall")
        for u in (-side * across * 0.17, -side * across * 0.36):
            for offset in np.arange(-step * 0.42, step * 0.42, 2.7).tolist():
                x, y, heading = site.position(block.u_mid + u + 2.5, v + offset - 1.35)
                site.plan.paving.append(((x, y, 4.8, 0.14, heading + np.pi / 2), "paint"))
                if rng.random() < 0.4:
                    site.slot(block.u_mid + u + 2.5, v + offset, crosswise=True)
        if rng.random() < 0.12:
            diameter = rng.uniform(5, 12)
            site.build(block.u_mid - side * across * 0.4, v + step * 0.42, (diameter, diameter), "rect", "tank")


def _park(site: _Site) -> None:
    """Ponds, paths and a pavilion."""
    block, rng = site.block, site.rng
    x, y, heading = site.position(block.u_mid + rng.uniform(-6, 6), block.v_mid + rng.uniform(-20, 20))
    size = min(block.u1 - block.u0, block.v1 - block.v0)
    if rng.random() < 0.7:
        site.plan.ponds.append((x, y, size * rng.uniform(0.15, 0.36), size * rng.uniform(0.1, 0.2), heading, "water"))
    for _ in range(3):
        v = rng.uniform(block.v0, block.v1)
        site.pave(block.u_mid, v, 1.8, block.u1 - block.u0, "gravel")
    site.pave(block.u0 + rng.uniform(6, 12), block.v_mid, block.v1 - block.v0, 2.0, "concrete")
    if rng.random() < 0.6:
        site.build(block.u1 - 11, rng.uniform(block.v0 + 12, block.v1 - 12 + 1e-3), (9, 7), "rect", "house")


def _construction(site: _Site) -> None:
    """Bare soil with machines and material heaps, one unfinished slab."""
    block, rng = site.block, site.rng
    site.pave(block.u_mid, block.v_mid, rng.uniform(12, 24), rng.uniform(10, 18), "concrete")
    for _ in range(30):
        x, y, heading = site.position(rng.uniform(block.u0, block.u1), rng.uniform(block.v0, block.v1))
        site.plan.clutter.append((x, y, rng.uniform(1, 6), rng.uniform(0.5, 2.5), heading + rng.uniform(0, 3)))


def _riverside(site: _Site) -> None:
    """Boats at the bank; the water itself is painted from (u, v)."""
    block, rng = site.block, site.rng
    for v in rng.uniform(block.v0, block.v1, int((block.v1 - block.v0) / 14)):
        x, y, heading = site.position(block.u_mid + rng.normal(0, 4), v)
        site.plan.boats.append((x, y, rng.uniform(4, 11), rng.uniform(1.6, 3.2), heading + rng.normal(0, 0.1)))


def draw_plan(rng: np.random.Generator, style: Style, extent_m: tuple[float, float]) -> CityPlan:
    """Plan a city of `extent_m` (width, height) metres."""
    streets = draw_streets(rng, style.region, extent_m)
    plan = CityPlan(streets, extent_m)
    for column in range(len(streets.u) - 1):
        for row in range(len(streets.v) - 1):
            block = CityBlock.of(streets, column, row)
            x, y = streets.to_xy(block.u_mid, block.v_mid)
            if plan.inside(x, y, block.reach_m):
                fill_block(plan, block, style, rng)
    _drop_collisions(plan)
    _park_along_streets(plan, rng)
    _trace_roads(plan)
    plant(plan, style, rng)
    return plan


def _trace_roads(plan: CityPlan) -> None:
    """Centre lines of all open streets, as polylines in local metres."""
    streets = plan.streets
    for line, position in enumerate(streets.u):
        points = [streets.to_xy(position, v) for v in np.arange(streets.v[0], streets.v[-1], 12.0)]
        plan.roads.append((points, float(streets.u_width[line]), bool(streets.u_paving[line])))
    for line, position in enumerate(streets.v):
        for column in np.flatnonzero(streets.open_v[:, line]):
            span = np.linspace(streets.u[column], streets.u[column + 1], 7)
            points = [streets.to_xy(u, position) for u in span]
            plan.roads.append((points, float(streets.v_width[line]), bool(streets.v_paving[line])))


def _park_along_streets(plan: CityPlan, rng: np.random.Generator) -> None:
    """Cars at the kerb and moving on the lanes: slots on both sides of the u lines."""
    streets = plan.streets
    for line, position in enumerate(streets.u):
        span = streets.v[-1] - streets.v[0]
        width = streets.u_width[line]
        for v in rng.uniform(streets.v[0], streets.v[-1], int(span / (22 if width < 14 else 16))):
            side = rng.choice((-1.0, 1.0)) * (width / 2 - 1.2 if width < 14 else width / 2 * rng.choice((0.3, 0.7)))
            x, y = streets.to_xy(position + side, v)
            if plan.inside(x, y, 10):
                plan.slots.append((x, y, rng.uniform(3.9, 5.2), rng.uniform(1.7, 2.0), streets.heading(position, v)))


def _drop_collisions(plan: CityPlan) -> None:
    """Keep a building only if it is clear of the diagonal road and of all buildings kept before it."""
    normal_u, normal_v, offset = plan.streets.diagonal
    outlines = [building.outline for building in plan.buildings]
    pairs = STRtree(outlines).query(outlines, predicate="intersects").T.tolist() if outlines else []
    earlier: dict[int, list[int]] = {}
    for index, other in pairs:
        if other < index:
            earlier.setdefault(index, []).append(other)
    kept: list[bool] = []
    for index, building in enumerate(plan.buildings):
        u, v = plan.streets.to_uv(np.asarray(building.x, np.float64), np.asarray(building.y, np.float64))
        clear = not np.isfinite(offset) or abs(normal_u * u + normal_v * v - offset) > building.radius_m + 5
        kept.append(bool(clear) and not any(kept[other] for other in earlier.get(index, ())))
    plan.buildings = [building for building, keep in zip(plan.buildings, kept, strict=True) if keep]


def plant(plan: CityPlan, style: Style, rng: np.random.Generator) -> None:
    """Add trees and shrubs to the plan."""
    streets = plan.streets
    for column in range(len(streets.u) - 1):
        for row in range(len(streets.v) - 1):
            block = CityBlock.of(streets, column, row)
            x, y = streets.to_xy(block.u_mid, block.v_mid)
            if plan.inside(x, y, block.reach_m):
                _plant_block(plan, block, style, rng)
    _shade_houses(plan, style, rng)
    _clear_stems(plan)


def _plant_block(plan: CityPlan, block: CityBlock, style: Style, rng: np.random.Generator) -> None:
    """Single trees and clumps of one block, wherever they fall; stems in buildings are dropped later."""
    across, along = block.u1 - block.u0, block.v1 - block.v0
    if across < 5 or along < 5:
        return
    density = style.trees_per_ha * DENSITY.get(block.kind, 0.8) * rng.uniform(0.5, 1.6)
    count = min(int(rng.poisson(across * along / 1e4 * density)), int(across * along / 14))
    if not count:
        return
    clumps = rng.uniform(size=(max(count // 6, 1), 2)) * (across, along)
    member = rng.integers(len(clumps), size=count)
    spread = rng.normal(0, 5.0, (count, 2))
    single = rng.random(count) < 0.55
    spot = np.where(single[:, None], rng.uniform(size=(count, 2)) * (across, along), clumps[member] + spread)
    for across_m, along_m in spot:
        u, v = block.u0 + np.clip(across_m, 1, across - 1), block.v0 + np.clip(along_m, 0.5, along - 0.5)
        x, y = plan.streets.to_xy(float(u), float(v))
        if not plan.inside(x, y, 10):
            continue
        kind = 2 if rng.random() < 0.25 else int(rng.random() < style.evergreen)
        radius = float(rng.uniform(0.6, 1.5) if kind == 2 else np.clip(rng.gamma(6.0, 0.55), 1.4, 7.5))
        height = radius * rng.uniform(1.0, 1.4) if kind == 2 else radius * rng.uniform(1.7, 2.9) + 1.5
        plan.trees.append((x, y, radius, float(height), kind))


def _shade_houses(plan: CityPlan, style: Style, rng: np.random.Generator) -> None:
    """Trees close by houses, whose crowns reach over the roof."""
    for building in plan.buildings:
        if building.use != "house" or rng.random() > style.trees_per_ha / 90:
            continue
        turn, away = rng.uniform(0, 2 * np.pi), building.radius_m * rng.uniform(0.75, 1.1)
        x, y = building.x + away * np.cos(turn), building.y + away * np.sin(turn)
        radius = float(rng.uniform(2.5, 6.0))
        kind = int(rng.random() < style.evergreen)
        plan.trees.append((float(x), float(y), radius, radius * float(rng.uniform(1.8, 2.6)) + 2.0, kind))


def _clear_stems(plan: CityPlan) -> None:
    """Drop trees whose stem is inside a building; crowns may still reach over roofs."""

    if not plan.buildings or not plan.trees:
        return
    tree_index = STRtree([building.outline.buffer(0.8) for building in plan.buildings])
    stems = points(np.array([(x, y) for x, y, *_ in plan.trees]))
    blocked = set(tree_index.query(stems, predicate="within")[0].tolist())
    plan.trees = [tree for index, tree in enumerate(plan.trees) if index not in blocked]
