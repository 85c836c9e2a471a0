"""The plan of the city: its street net and the positions of all objects, before any pixel is painted.

A building is a union of rectangles (or one disc) in its own frame (a along, b across, metres); the higher part wins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from shapely import affinity
from shapely.geometry import Point, Polygon, box
from shapely.ops import unary_union

from deepnets4eo.synthetic.materials import Colour
from deepnets4eo.synthetic.style import Region


@dataclass(frozen=True)
class BuildingPart:
    """A rectangle of the plan: centre and full sizes in the building's frame, metres."""

    a: float
    b: float
    length: float
    width: float


@dataclass(frozen=True)
class Building:
    """A building as planned: centre x, y and `angle` in local metres, wall height `eave_m`, `pitch` as rise over run."""

    x: float
    y: float
    angle: float
    parts: tuple[BuildingPart, ...]
    roof: str
    eave_m: float
    pitch: float
    covering: str
    colour: Colour
    use: str
    key: int

    @property
    def radius_m(self) -> float:
        """Distance from the centre to the farthest corner."""
        return max(float(np.hypot(abs(p.a) + p.length / 2, abs(p.b) + p.width / 2)) for p in self.parts)

    @property
    def outline(self) -> Polygon:
        """Footprint in local metres (x right, y down)."""
        if self.roof == "dome":
            return Point(self.x, self.y).buffer(self.parts[0].length / 2, quad_segs=6)
        boxes = [box(p.a - p.length / 2, p.b - p.width / 2, p.a + p.length / 2, p.b + p.width / 2) for p in self.parts]
        plan = affinity.rotate(unary_union(boxes), self.angle, origin=(0, 0), use_radians=True)
        return affinity.translate(plan, self.x, self.y)

    @property
    def ridge_m(self) -> float:
        """Greatest height of the roof above ground, without parapet, chimneys and machines."""
        if self.roof == "flat":
            return self.eave_m
        spans = [min(p.length, p.width) for p in self.parts]
        rise = {"gable": 0.5, "hip": 0.5, "shed": 1.0, "dome": 0.5}[self.roof]
        return self.eave_m + self.pitch * rise * max(spans)

    def to_local(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Local metres (x, y) to the building's frame (a, b)."""
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        right, down = x - np.float32(self.x), y - np.float32(self.y)
        return cos * right + sin * down, -sin * right + cos * down

    def profile(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Over a grid of (a, b): height, distance inward from the edge (m, negative outside), gradients along a and b."""
        if self.roof == "dome":
            radius = self.parts[0].length / 2
            distance = radius - np.hypot(a, b)
            bulge = np.sqrt(np.maximum(1 - (np.hypot(a, b) / radius) ** 2, 0))
            height = np.where(distance > 0, self.eave_m + self.pitch * radius * bulge, -1.0)
            steep = -self.pitch / np.maximum(bulge, 0.25) / radius
            return height, distance, a * steep, b * steep
        best = np.full(a.shape, -1.0, np.float32)
        inward = np.full(a.shape, -1e3, np.float32)
        slope_a, slope_b = np.zeros(a.shape, np.float32), np.zeros(a.shape, np.float32)
        for part in self.parts:
            height, edge, rise_a, rise_b = self._part_profile(part, a - part.a, b - part.b)
            inward = np.maximum(inward, edge)
            higher = (edge > 0) & (height > best)
            best[higher], slope_a[higher], slope_b[higher] = height[higher], rise_a[higher], rise_b[higher]
        return best, inward, slope_a, slope_b

    def _part_profile(
        self, part: BuildingPart, a: np.ndarray, b: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Height, inward distance and gradients of one rectangle about its own centre."""
        to_end, to_side = part.length / 2 - np.abs(a), part.width / 2 - np.abs(b)
        edge = np.minimum(to_end, to_side)
        flat = np.zeros_like(a)
        lengthwise = part.length >= part.width
        if self.roof == "flat":
            return flat + self.eave_m, edge, flat, flat
        fall_a, fall_b = -self.pitch * np.sign(a), -self.pitch * np.sign(b)
        if self.roof == "gable":
            run = to_side if lengthwise else to_end
            return self.eave_m + self.pitch * run, edge, flat if lengthwise else fall_a, fall_b if lengthwise else flat
        if self.roof == "hip":
            ends = to_end < to_side
            return self.eave_m + self.pitch * edge, edge, np.where(ends, fall_a, 0), np.where(ends, 0, fall_b)
        if lengthwise:
            return self.eave_m + self.pitch * (b + part.width / 2), edge, flat, flat + self.pitch
        return self.eave_m + self.pitch * (a + part.length / 2), edge, flat + self.pitch, flat


def plan_parts(rng: np.random.Generator, length: float, width: float, shape: str) -> tuple[BuildingPart, ...]:
    """Rectangles of a rect, L, T, U or courtyard plan fitting about `length` x `width` metres."""
    main = BuildingPart(0.0, 0.0, length, width)
    side = 1.0 if rng.random() < 0.5 else -1.0
    front = 1.0 if rng.random() < 0.5 else -1.0
    reach, wing = width * rng.uniform(0.35, 0.65), length * rng.uniform(0.32, 0.45)
    stub = BuildingPart(side * (length - wing) / 2, front * reach / 2, wing, width + reach)
    if shape == "L":
        return (main, stub)
    if shape == "T":
        return (main, BuildingPart(rng.uniform(-0.1, 0.1) * length, front * reach / 2, wing, width + reach))
    if shape == "U":
        thin = BuildingPart(side * length * 0.36, front * reach / 2, length * 0.28, width + reach)
        return (main, thin, BuildingPart(-thin.a, thin.b, thin.length, thin.width))
    if shape == "courtyard":
        bar = min(length, width) * rng.uniform(0.24, 0.32)
        across = (width - bar) / 2
        along = (length - bar) / 2
        return (
            BuildingPart(0.0, across, length, bar),
            BuildingPart(0.0, -across, length, bar),
            BuildingPart(along, 0.0, bar, width),
            BuildingPart(-along, 0.0, bar, width),
        )
    if shape == "offset":
        return (main, BuildingPart(side * length * 0.3, front * width * 0.22, length * 0.5, width))
    return (main,)


KINDS = ("residential", "apartments", "commerce", "park", "field", "wood", "site", "river")
ARTERIAL_M = 14.0  # streets at least this wide carry markings


@dataclass
class Streets:
    """Lines u = const (always open) and v = const (open by cell), their widths and paving, and the blocks' uses."""

    centre: tuple[float, float]
    angle: float
    bend: tuple[tuple[float, float, float], tuple[float, float, float]]  # amplitude m, length m, phase; of u and of v
    u: np.ndarray
    v: np.ndarray
    u_width: np.ndarray
    v_width: np.ndarray
    u_paving: np.ndarray
    v_paving: np.ndarray
    open_v: np.ndarray  # (columns, lines) bool: is line v open between u[i] and u[i + 1]
    kind: np.ndarray  # (columns, rows) index into KINDS
    lot: np.ndarray  # (columns, rows) lot width in metres
    diagonal: tuple[float, float, float] = field(default=(0.0, 0.0, np.inf))  # unit normal and offset in (u, v)

    def to_uv(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Local metres (x, y) to bent coordinates (u, v)."""
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        right, down = x - np.float32(self.centre[0]), y - np.float32(self.centre[1])
        across, along = cos * right + sin * down, -sin * right + cos * down
        (a, length_a, phase_a), (b, length_b, phase_b) = self.bend
        u = across + a * np.sin(2 * np.pi / length_a * along + phase_a)
        v = along + b * np.sin(2 * np.pi / length_b * across + phase_b)
        return u, v

    def to_xy(self, u: float, v: float) -> tuple[float, float]:
        """Bent coordinates (u, v) to local metres, by fixed-point iteration."""
        (a, length_a, phase_a), (b, length_b, phase_b) = self.bend
        wave_a, wave_b = 2 * math.pi / length_a, 2 * math.pi / length_b
        across, along = u, v = float(u), float(v)
        for _ in range(12):
            across = u - a * math.sin(wave_a * along + phase_a)
            along = v - b * math.sin(wave_b * across + phase_b)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return self.centre[0] + cos * across - sin * along, self.centre[1] + sin * across + cos * along

    def heading(self, u: float, v: float) -> float:
        """Direction of increasing v at a position, radians in the image (x right, y down)."""
        x0, y0 = self.to_xy(u, v - 1)
        x1, y1 = self.to_xy(u, v + 1)
        return math.atan2(y1 - y0, x1 - x0)


def _lines(rng: np.random.Generator, radius: float, spacing: tuple[float, float]) -> np.ndarray:
    """Positions of parallel streets over ±radius metres, spacing drawn from a range."""
    steps = rng.uniform(*spacing, size=int(2 * radius / spacing[0]) + 3)
    lines = np.cumsum(steps) - radius - rng.uniform(0, spacing[1])
    return lines[: int(np.searchsorted(lines, radius)) + 1]


def _widths(rng: np.random.Generator, count: int, base: float) -> np.ndarray:
    """Street widths in metres: mostly `base`, here and there an arterial road."""
    widths = base + rng.uniform(-0.8, 1.2, count)
    arterial = np.arange(count) % max(int(rng.integers(5, 9)), 1) == 1
    return np.where(arterial, rng.uniform(ARTERIAL_M, 19.0, count), widths)


def draw_streets(rng: np.random.Generator, region: Region, extent_m: tuple[float, float]) -> Streets:
    """Streets, block uses and lot widths of a city of `extent_m` (width, height) metres."""
    radius = max(float(np.hypot(*extent_m)) / 2 + 60, 1.2 * max(region.row_m))  # never less than a block all around
    base = {"suburb": 8.0, "town": 6.5, "dense": 4.5}[region.name]
    u, v = _lines(rng, radius, region.block_m), _lines(rng, radius, region.row_m)
    columns, rows = len(u) - 1, len(v) - 1
    shares = np.array([0.74, 0.07, 0.09, 0.035, 0.025, 0.025, 0.015, 0.0])
    kind = rng.choice(len(KINDS), size=(columns, rows), p=shares / shares.sum())
    middle = int(np.clip(np.searchsorted(u, 0.0) - 1, 0, columns - 1))
    if rng.random() < 0.35 and columns > 4:
        river = int(rng.integers(1, columns - 1))
        kind[river if river != middle else river - 1] = KINDS.index("river")
    row = int(np.clip(np.searchsorted(v, 0.0) - 1, 0, rows - 1))
    kind[middle, max(row - 1, 0) : row + 2] = KINDS.index("residential")  # so that small images have buildings, too
    amplitude = region.curvature * rng.uniform(0.2, 2.0, 2)
    length = np.maximum(rng.uniform(350, 900, 2), amplitude * 14)
    phase = rng.uniform(0, 2 * np.pi, 2)
    turn = rng.uniform(0.6, 0.95)
    diagonal = (np.cos(turn), np.sin(turn), float(rng.uniform(-0.3, 0.3) * radius)) if rng.random() < 0.35 else None
    return Streets(
        centre=(extent_m[0] / 2, extent_m[1] / 2),
        angle=float(rng.choice([rng.normal(0, 0.04), rng.uniform(-np.pi, np.pi)])),
        bend=(
            (float(amplitude[0]), float(length[0]), float(phase[0])),
            (float(amplitude[1]), float(length[1]), float(phase[1])),
        ),
        u=u,
        v=v,
        u_width=_widths(rng, len(u), base),
        v_width=_widths(rng, len(v), base),
        u_paving=rng.random(len(u)) < rng.uniform(0.2, 0.8),
        v_paving=rng.random(len(v)) < rng.uniform(0.2, 0.8),
        open_v=rng.random((columns, len(v))) < 0.8,
        kind=kind,
        lot=rng.uniform(*region.lot_m, size=(columns, rows)),
        diagonal=diagonal or (0.0, 0.0, np.inf),
    )


Row = tuple[float, float, float, float, float]


@dataclass
class CityPlan:
    """All planned objects; rows are (x, y, length, width, angle) in local metres and radians.

    Ponds are (x, y, radius_x, radius_y, angle, material), trees (x, y, crown radius, height, kind).
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
        """Return whether a position is within the extent plus a margin."""
        return -margin_m < x < self.extent_m[0] + margin_m and -margin_m < y < self.extent_m[1] + margin_m


def kind_name(streets: Streets, column: int, row: int) -> str:
    """Return the use of a block."""
    return KINDS[int(streets.kind[column, row])]
