"""Paints tree crowns: lumpy domes in leaf, see-through branchwork without leaves, evergreens always dense.

Takes the planned trees with the season; a tree is written only where it is taller than what crown is there already.
"""

from __future__ import annotations

import numpy as np

from deepnets4eo.synthetic.style import Season
from deepnets4eo.synthetic.surface import Surface
from deepnets4eo.synthetic.textures import Textures

SUMMER = np.array([60, 82, 48, 176], np.float32)
TINTED = np.array([132, 98, 52, 160], np.float32)
BARE = np.array([102, 92, 82, 122], np.float32)
CONIFER = np.array([44, 60, 44, 142], np.float32)

Tree = tuple[float, float, float, float, int]


def paint_trees(surface: Surface, trees: list[Tree], stripped: np.ndarray, textures: Textures, season: Season) -> None:
    """Draw all crowns. A tree is (x, y, crown radius, height, kind); `stripped` (N,) bool marks the trees that the
    event left without leaves."""
    for index, tree in enumerate(trees):
        rng = np.random.default_rng([int(tree[0] * 100) & 0xFFFFFF, int(tree[1] * 100) & 0xFFFFFF])
        leaf = 0.0 if stripped[index] else 1.0 if tree[4] else season.leaf
        _paint_tree(surface, tree, leaf, rng, textures, season)


def _paint_tree(
    surface: Surface, tree: Tree, leaf: float, rng: np.random.Generator, textures: Textures, season: Season
) -> None:
    """One crown in its window."""
    x0, y0, radius, height, kind = tree
    gsd = surface.gsd_m
    reach = radius * 1.25
    top, left = max(int((y0 - reach) / gsd), 0), max(int((x0 - reach) / gsd), 0)
    bottom, right = (
        min(int((y0 + reach) / gsd) + 1, surface.shape[0]),
        min(int((x0 + reach) / gsd) + 1, surface.shape[1]),
    )
    if bottom - top < 1 or right - left < 1:
        return
    y = ((np.arange(top, bottom) + 0.5) * gsd - y0)[:, None].astype(np.float32)
    x = ((np.arange(left, right) + 0.5) * gsd - x0)[None].astype(np.float32)
    offset = rng.integers(0, 4000, 2)
    size = (bottom - top, right - left)
    middle = textures.window("middle", top + offset[0], size[0], size[1], left + offset[1])
    fine = textures.window("fine", top + offset[1], size[0], size[1], left + offset[0])
    distance = np.hypot(x, y) / np.float32(radius)
    ragged = rng.uniform(0.12, 0.3)
    lobes = 1 + 0.12 * np.cos(float(rng.integers(2, 5)) * np.arctan2(y, x) + rng.uniform(0, 6))
    rim = distance * lobes + np.float32(ragged) * middle + 0.08 * fine
    dome = np.sqrt(np.clip(1 - rim * rim, 0, 1))
    crown = height * (0.45 + 0.55 * dome) * (1 + 0.07 * middle) + 0.25 * fine
    if kind == 1:
        crown = height * np.clip(1.05 - 0.8 * rim, 0, 1) + 0.2 * fine
    full = rim < 1
    cover: np.ndarray = np.full(size, 255, np.float32)
    if leaf < 0.95:
        wood = _branchwork(x, y, radius, rng) + 0.35 * fine + 0.3 * middle + np.float32(2.2 * leaf)
        full &= wood > -0.2
        cover = np.clip(70 + 120 * wood, 30, 200 + 55 * np.float32(leaf)).astype(np.float32)
    colour = _crown_colour(leaf, kind, rng, season)
    drawn = full & (crown > surface.canopy[top:bottom, left:right])
    shade = np.clip(1 + 0.12 * fine + 0.10 * middle - 0.14 * (1 - dome), 0.4, 1.6)
    np.copyto(surface.canopy[top:bottom, left:right], np.maximum(crown, 0.3), where=drawn)
    np.copyto(surface.cover[top:bottom, left:right], cover.astype(np.uint8), where=drawn)
    for band in range(4):
        painted = np.clip(colour[band] * shade, 0, 255).astype(np.uint8)
        np.copyto(surface.leaf[band, top:bottom, left:right], painted, where=drawn)


def _branchwork(x: np.ndarray, y: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Radial limbs that fork outwards, as a field above 0 where there is wood."""
    angle = np.arctan2(y, x)
    distance = np.hypot(x, y) / np.float32(radius)
    limbs = float(rng.integers(4, 8))
    wave = np.cos(limbs * angle + rng.uniform(0, 6) + 2 * np.sin(3 * distance + rng.uniform(0, 6)))
    forks = np.cos(2.7 * limbs * angle + rng.uniform(0, 6) + 3 * np.sin(5 * distance + rng.uniform(0, 6)))
    return np.where(distance < 0.4, wave, np.maximum(wave, forks)) - 0.25 * distance


def _crown_colour(leaf: float, kind: int, rng: np.random.Generator, season: Season) -> np.ndarray:
    """Display colour of one crown: species, leaves and autumn tint."""
    if kind == 1:
        base = CONIFER
    else:
        base = SUMMER + (TINTED - SUMMER) * np.float32(np.clip(season.tint * rng.uniform(0.2, 1.4), 0, 1))
        base = BARE + (base - BARE) * np.float32(min(leaf * 1.3, 1.0))
    return base * np.float32(rng.uniform(0.82, 1.2)) + rng.normal(0, 4, 4).astype(np.float32)
