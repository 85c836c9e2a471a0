"""One building: its parts, outline and roof geometry, in its own frame (a along, b across, metres).

A building is a union of rectangles (or one disc); each part carries the same kind of roof and the higher one wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from shapely import affinity
from shapely.geometry import Point, Polygon, box
from shapely.ops import unary_union

from deepnets4eo.synthetic.materials import Colour


@dataclass(frozen=True)
class BuildingPart:
    """A rectangle of the plan: centre and full sizes in the building's frame, metres."""

    a: float
    b: float
    length: float
    width: float


@dataclass(frozen=True)
class Building:
    """A building as planned: centre `x`, `y` in local metres, direction `angle` in radians, wall height `eave_m`,
    `pitch` as rise over run; `covering` is shingle, tile, metal, membrane or bitumen, `use` is house, shed, block,
    hall or tank, `key` seeds the random details."""

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
        """Return the roof over a grid of (a, b): height above ground and distance inward from the edge in metres (both
        negative outside), and the gradient along a and along b (rise over run)."""
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
