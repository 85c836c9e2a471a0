"""Paints one building in its window, a `Patch` (roof planes, covering, chimneys, then its damage), and small objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.plan import Building, CityPlan, Row
from deepnets4eo.synthetic.surface import CitySurface, Rectangles, Textures

CAR_COLOURS = np.array(
    [
        (222, 222, 220),
        (180, 182, 184),
        (38, 38, 40),
        (98, 100, 104),
        (136, 34, 36),
        (40, 58, 104),
        (150, 140, 120),
        (64, 82, 70),
    ],
    float,
)
CAR_SHARES = (0.27, 0.2, 0.17, 0.14, 0.08, 0.07, 0.04, 0.03)
# Splinters and boards, plaster, bright sheet, grey, brick, dark, insulation pink, blue.
DEBRIS = np.array(
    [(172, 140, 116), (148, 118, 100), (196, 182, 166), (226, 222, 216), (128, 124, 122), (140, 92, 78), (62, 56, 54),
     (196, 150, 150), (70, 96, 150), (110, 92, 78)], float,
)  # fmt: skip
DEBRIS_SHARES = (0.22, 0.18, 0.12, 0.10, 0.10, 0.08, 0.09, 0.02, 0.01, 0.08)


@dataclass
class Patch:
    """The window of one building while it is painted, and pixels to write back (`drawn`)."""

    rows: slice
    cols: slice
    a: np.ndarray
    b: np.ndarray
    inside: np.ndarray
    height: np.ndarray
    colour: np.ndarray
    material: np.ndarray
    slope_x: np.ndarray
    slope_y: np.ndarray
    drawn: np.ndarray
    free: np.ndarray
    fine: np.ndarray
    middle: np.ndarray

    def flatten(self, where: np.ndarray) -> None:
        """No roof plane here any more."""
        self.slope_x[where] = 0
        self.slope_y[where] = 0

    def fill(self, where: np.ndarray, colour: tuple[float, ...] | np.ndarray, material: str) -> None:
        """Set display colour (4,) and material of some pixels."""
        self.colour[:, where] = np.asarray(colour, np.float32)[:, None]
        self.material[where] = CODE[material]


def open_patch(surface: CitySurface, building: Building, textures: Textures, margin_m: float) -> Patch | None:
    """Cut the building's window from the surface; return None if it is off the canvas."""
    gsd, reach = surface.gsd_m, building.radius_m + margin_m
    top, left = max(int((building.y - reach) / gsd), 0), max(int((building.x - reach) / gsd), 0)
    bottom = min(int((building.y + reach) / gsd) + 1, surface.shape[0])
    right = min(int((building.x + reach) / gsd) + 1, surface.shape[1])
    if bottom - top < 2 or right - left < 2:
        return None
    rows, cols = slice(top, bottom), slice(left, right)
    y = ((np.arange(top, bottom, dtype=np.float32) + 0.5) * gsd)[:, None].astype(np.float32)
    x = ((np.arange(left, right, dtype=np.float32) + 0.5) * gsd)[None].astype(np.float32)
    a, b = building.to_local(x, y)
    roof, inside, rise_a, rise_b = building.profile(a, b)
    cos, sin = float(np.cos(building.angle)), float(np.sin(building.angle))  # plain floats keep float32 arrays
    offset = building.key % 4096
    drawn = inside > 0
    colour = surface.albedo[:, rows, cols].astype(np.float32)
    shape = a.shape
    return Patch(
        rows,
        cols,
        a,
        b,
        inside,
        np.where(drawn, roof, surface.height[rows, cols]).astype(np.float32),
        colour,
        np.where(drawn, CODE["roof"], surface.material[rows, cols]).astype(np.uint8),
        np.where(drawn, rise_a * cos - rise_b * sin, surface.slope_x[rows, cols]).astype(np.float32),
        np.where(drawn, rise_a * sin + rise_b * cos, surface.slope_y[rows, cols]).astype(np.float32),
        drawn,
        surface.building[rows, cols] == 0,
        textures.window("fine", top + offset, shape[0], shape[1], left + offset),
        textures.window("middle", top + offset, shape[0], shape[1], left + offset),
    )


def close_patch(surface: CitySurface, patch: Patch, number: int | None) -> None:
    """Write the drawn pixels of the patch back; `number` marks the building's own pixels."""
    drawn, rows, cols = patch.drawn, patch.rows, patch.cols
    np.clip(patch.colour, 0, 255, out=patch.colour)
    for band in range(4):
        np.copyto(surface.albedo[band, rows, cols], patch.colour[band].astype(np.uint8), where=drawn)
    np.copyto(surface.height[rows, cols], patch.height, where=drawn)
    np.copyto(surface.material[rows, cols], patch.material, where=drawn)
    np.copyto(surface.slope_x[rows, cols], patch.slope_x.astype(np.float16), where=drawn)
    np.copyto(surface.slope_y[rows, cols], patch.slope_y.astype(np.float16), where=drawn)
    if number is not None:
        np.copyto(surface.building[rows, cols], number, where=patch.inside > 0)


def paint_roof(patch: Patch, building: Building) -> None:
    """Colour the roof with its covering's texture and put the fittings on it."""
    rng = np.random.default_rng([building.key, 1])
    roof = patch.inside > 0
    wear = rng.uniform(0.02, 0.07)
    tone = 1 + wear * patch.middle + rng.uniform(0.02, 0.06) * patch.fine + _courses(patch, building, rng)
    tone += rng.uniform(-0.05, 0.05) * np.sign(patch.slope_x + 0.37 * patch.slope_y)
    base = np.array(building.colour, np.float32)
    np.copyto(patch.colour, base[:, None, None] * tone[None], where=roof[None])
    if building.roof == "flat" and building.use != "shed":
        rim = roof & (patch.inside < 0.45)
        patch.height[rim] += rng.uniform(0.2, 0.9)
        patch.colour[:, rim] *= rng.uniform(0.8, 1.35)
        stain = roof & (patch.middle > rng.uniform(0.8, 2.0))
        patch.colour[:, stain] *= rng.uniform(0.75, 0.95)
        _machines(patch, building, rng)
    elif building.use in ("house", "block"):
        _fittings(patch, building, rng)


def _courses(patch: Patch, building: Building, rng: np.random.Generator) -> np.ndarray:
    """Rows of tiles or shingles down the slope, or standing seams of sheet metal."""
    cos, sin = float(np.cos(building.angle)), float(np.sin(building.angle))
    steep_a = np.abs(patch.slope_x * cos + patch.slope_y * sin)
    steep_b = np.abs(patch.slope_y * cos - patch.slope_x * sin)
    down = np.where(steep_a > steep_b, patch.a, patch.b)
    period, strength = {
        "tile": (0.66, 0.05),
        "shingle": (0.85, 0.025),
        "metal": (1.3, 0.05),
        "membrane": (3.1, 0.015),
        "bitumen": (2.0, 0.02),
    }[building.covering]
    run = np.where(steep_a > steep_b, patch.b, patch.a) if building.covering == "metal" else down
    return np.float32(strength * rng.uniform(0.5, 1.4)) * np.sin(np.float32(2 * np.pi / period) * run)


def _box(patch: Patch, a: float, b: float, length: float, width: float) -> np.ndarray:
    """Return the pixels of a small rectangle in the building's frame that are on the roof."""
    return (np.abs(patch.a - a) < length / 2) & (np.abs(patch.b - b) < width / 2) & (patch.inside > 0.2)


def _machines(patch: Patch, building: Building, rng: np.random.Generator) -> None:
    """Ventilation units and skylights of flat roofs."""
    part = building.parts[0]
    for _ in range(int(rng.integers(0, 4 + int(part.length * part.width / 90)))):
        a = part.a + rng.uniform(-0.42, 0.42) * part.length
        b = part.b + rng.uniform(-0.42, 0.42) * part.width
        spot = _box(patch, a, b, rng.uniform(0.9, 3.2), rng.uniform(0.9, 2.2))
        raised = rng.random() < 0.7
        patch.height[spot] += rng.uniform(0.7, 1.8) if raised else 0.0
        grey = rng.uniform(130, 220) if raised else rng.uniform(60, 200)
        patch.colour[:, spot] = grey * (1 + 0.05 * patch.fine[spot])


def _fittings(patch: Patch, building: Building, rng: np.random.Generator) -> None:
    """Chimney, dormer, roof windows or solar panels of pitched roofs."""
    part = building.parts[0]
    if rng.random() < 0.5:
        spot = _box(patch, rng.uniform(-0.3, 0.3) * part.length, rng.normal(0, 0.6), 0.8, 0.7)
        patch.height[spot] += rng.uniform(0.5, 1.2)
        patch.colour[:, spot] = np.array([140, 98, 84, 140], np.float32)[:, None] * rng.uniform(0.7, 1.2)
        patch.flatten(spot)
    for _ in range(int(rng.integers(0, 4))):
        spot = _box(
            patch,
            rng.uniform(-0.4, 0.4) * part.length,
            rng.uniform(-0.35, 0.35) * part.width,
            1.0,
            rng.uniform(0.7, 1.3),
        )
        patch.colour[:, spot] = rng.uniform(50, 190)
    if rng.random() < 0.03:
        paint_panels(patch, building, rng)


def paint_panels(patch: Patch, building: Building, rng: np.random.Generator) -> None:
    """Paint a field of solar panels on one roof plane."""
    part = building.parts[0]
    side = rng.choice((-1.0, 1.0)) * part.width * 0.22
    spot = _box(patch, 0.0, side, part.length * rng.uniform(0.3, 0.7), part.width * 0.3)
    grid = 1 + 0.25 * ((np.mod(patch.a[spot], 1.0) < 0.12) | (np.mod(patch.b[spot], 1.6) < 0.12))
    patch.colour[:, spot] = np.array([44, 52, 82, 70], np.float32)[:, None] * grid


def _with_infrared(colour: np.ndarray, factor: float) -> np.ndarray:
    """Return (N, 3) display colours with a fourth column from their mean."""
    near = np.clip(colour.mean(axis=1, keepdims=True) * factor, 0, 255)
    return np.concatenate([np.clip(colour, 0, 255), near], axis=1)


def stamp_fences(surface: CitySurface, plan: CityPlan, rng: np.random.Generator) -> None:
    """Fences of wood and clipped hedges."""
    if not plan.fences:
        return
    rows = Rectangles.of([row for row, _, _ in plan.fences])
    hedge = np.array([name == "shrub" for _, _, name in plan.fences])
    colour = np.where(hedge[:, None], (58, 78, 46, 160), (132, 114, 96, 140)) * rng.uniform(0.75, 1.15, (len(rows), 1))
    height = np.array([height for _, height, _ in plan.fences])
    material = np.where(hedge, CODE["shrub"], CODE["wood"])
    surface.stamp(rows, np.clip(colour, 0, 255), height_m=height, material=material)


def stamp_clutter(surface: CitySurface, rows: list[Row], rng: np.random.Generator) -> None:
    """Garden furniture, trampolines, heaps, containers."""
    if not rows:
        return
    boxes = Rectangles.of(rows)
    colour = rng.uniform(50, 215, (len(boxes), 1)) + rng.normal(0, 8, (len(boxes), 3))
    height = rng.uniform(0.2, 1.6, len(boxes))
    surface.stamp(boxes, _with_infrared(colour, 1.0), height_m=height, material=CODE["wood"])


def stamp_cars(surface: CitySurface, rows: list[Row], rng: np.random.Generator) -> None:
    """Bodies, then glass, then roofs."""
    if not rows:
        return
    body = Rectangles.of(rows)
    paint = CAR_COLOURS[rng.choice(len(CAR_COLOURS), size=len(body), p=CAR_SHARES)] + rng.normal(0, 8, (len(body), 3))
    colours = _with_infrared(paint, 1.0)
    glass = Rectangles(body.x, body.y, body.length * 0.62, body.width * 0.82, body.angle)
    top = Rectangles(body.x, body.y, body.length * 0.36, body.width * 0.76, body.angle)
    surface.stamp(body, colours, height_m=0.9, material=CODE["car"])
    surface.stamp(glass, colours * 0.3 + 14, height_m=1.25, material=CODE["car"])
    surface.stamp(top, np.minimum(colours * 1.04, 255), height_m=1.5, material=CODE["car"])


def stamp_boats(surface: CitySurface, rows: list[Row], rng: np.random.Generator) -> None:
    """Stamp boats, only on water under their middle."""
    if not rows:
        return
    hulls = Rectangles.of(rows)
    row = np.clip((hulls.y / surface.gsd_m).astype(int), 0, surface.shape[0] - 1)
    col = np.clip((hulls.x / surface.gsd_m).astype(int), 0, surface.shape[1] - 1)
    hulls = hulls.take(surface.material[row, col] == CODE["water"])
    colours = _with_infrared(rng.uniform(170, 235, (len(hulls), 1)) + rng.normal(0, 5, (len(hulls), 3)), 0.98)
    surface.stamp(hulls, colours, height_m=1.0, material=CODE["boat"])
    deck = Rectangles(hulls.x, hulls.y, hulls.length * 0.5, hulls.width * 0.6, hulls.angle)
    surface.stamp(deck, colours * 0.6, height_m=1.6, material=CODE["boat"])


def debris_pieces(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> Rectangles:
    """Planks, sheets and fragments at positions in local metres."""
    count = len(x)
    length = np.clip(rng.lognormal(-0.15, 0.6, count), 0.2, 5.0)
    width = np.clip(length * rng.beta(1.6, 3.0, count), 0.12, 2.2)
    return Rectangles(np.asarray(x), np.asarray(y), length, width, rng.uniform(0, np.pi, count))


def scatter_debris(surface: CitySurface, pieces: Rectangles, rng: np.random.Generator, intact: np.ndarray) -> None:
    """Draw debris, but not on roofs that `intact` marks by number."""
    if not len(pieces):
        return
    colour = DEBRIS[rng.choice(len(DEBRIS), size=len(pieces), p=DEBRIS_SHARES)]
    colour = _with_infrared(
        colour * rng.uniform(0.72, 1.14, (len(pieces), 1)) + rng.normal(0, 7, (len(pieces), 3)), 1.0
    )
    thick = rng.uniform(0.05, 0.45, len(pieces)).astype(np.float32)
    flat, owner = surface.pixels(pieces)
    keep = ~intact[surface.building.reshape(-1)[flat]]
    flat, owner = flat[keep], owner[keep]
    opaque = np.clip(pieces.width / surface.gsd_m, 0.25, 1.0).astype(np.float32)[owner]  # thinner than a pixel: mixed
    for band in range(4):
        plane = surface.albedo[band].reshape(-1)
        below = plane[flat].astype(np.float32)
        plane[flat] = (below + opaque * (colour[owner, band].astype(np.float32) - below)).astype(np.uint8)
    height = surface.height.reshape(-1)
    height[flat] = np.minimum(height[flat], 1.1) + thick[owner]
    surface.material.reshape(-1)[flat] = CODE["rubble"]
    surface.slope_x.reshape(-1)[flat] = 0
    surface.slope_y.reshape(-1)[flat] = 0
