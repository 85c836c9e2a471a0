"""Draws the small objects: fences and hedges, cars, boats, garden clutter, debris, as oriented rectangles."""

from __future__ import annotations

import numpy as np

from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.plan import Plan, Row
from deepnets4eo.synthetic.surface import Rectangles, Surface

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


def _with_infrared(colour: np.ndarray, factor: float) -> np.ndarray:
    """(N, 3) display colours with a fourth column from their mean."""
    near = np.clip(colour.mean(axis=1, keepdims=True) * factor, 0, 255)
    return np.concatenate([np.clip(colour, 0, 255), near], axis=1)


def stamp_fences(surface: Surface, plan: Plan, rng: np.random.Generator) -> None:
    """Fences of wood and clipped hedges."""
    if not plan.fences:
        return
    rows = Rectangles.of([row for row, _, _ in plan.fences])
    hedge = np.array([name == "shrub" for _, _, name in plan.fences])
    colour = np.where(hedge[:, None], (58, 78, 46, 160), (132, 114, 96, 140)) * rng.uniform(0.75, 1.15, (len(rows), 1))
    height = np.array([height for _, height, _ in plan.fences])
    material = np.where(hedge, CODE["shrub"], CODE["wood"])
    surface.stamp(rows, np.clip(colour, 0, 255), height_m=height, material=material)


def stamp_clutter(surface: Surface, rows: list[Row], rng: np.random.Generator) -> None:
    """Garden furniture, trampolines, heaps, containers."""
    if not rows:
        return
    boxes = Rectangles.of(rows)
    colour = rng.uniform(50, 215, (len(boxes), 1)) + rng.normal(0, 8, (len(boxes), 3))
    height = rng.uniform(0.2, 1.6, len(boxes))
    surface.stamp(boxes, _with_infrared(colour, 1.0), height_m=height, material=CODE["wood"])


def stamp_cars(surface: Surface, rows: list[Row], rng: np.random.Generator) -> None:
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


def stamp_boats(surface: Surface, rows: list[Row], rng: np.random.Generator) -> None:
    """Boats, only where there is water under their middle."""
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


def scatter_debris(surface: Surface, pieces: Rectangles, rng: np.random.Generator, intact: np.ndarray) -> None:
    """Draw pieces of debris on the ground, on rubble and under trees, but not on the roofs that `intact` marks by
    building number (false at 0)."""
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
