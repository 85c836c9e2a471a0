"""The image panels of the report page: the pre and post image as small WebP tiles on the post image's pixels.

Takes layers; the pre image is seen through the registration, so that both panels show the same place. The whole scene
comes averaged down; where the budget allows, the tiles with most damage come at full resolution too.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from deepnets4eo.grid import Window, blocks
from deepnets4eo.scene import Layer

if TYPE_CHECKING:
    from deepnets4eo.grid import Grid

BASE_PX = 2560  # longer side of the whole scene: 2 × 26 MB once decoded, which phones hold
NATIVE_BELOW = 1.3  # a scene hardly larger than that is kept at full resolution
BASE_TILE_PX = 1280
DETAIL_TILE_PX = 512
QUALITY = 78
STRETCH_PERCENT = (0.5, 99.5)


@dataclass(frozen=True)
class Tile:
    """A rectangle of the post image's pixels (may be fractional) and its WebP bytes."""

    col: float
    row: float
    width: float
    height: float
    webp: bytes


@dataclass
class Panel:
    """One image of the page: which it is, where it came from, its tiles from coarse to fine."""

    role: str
    source: str
    tiles: list[Tile] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """Sum of its tiles."""
        return sum(len(tile.webp) for tile in self.tiles)


def registered(pre: Layer, grid: Grid, registration: dict[str, Any]) -> Layer:
    """The pre image on the post image's `grid`, moved as the registration's `matrix` (post pixels) says.

    Where the registration failed, the metadata geometry stands; without a CRS on both sides, pixel on pixel.
    """
    moved = Affine(*np.asarray(registration.get("matrix", [[1, 0, 0], [0, 1, 0]]), float).ravel())
    if (pre.grid.crs is None) != (grid.crs is None):
        return pre.on(grid)
    return pre.on(GeoBox(grid.shape, grid.affine * moved, grid.crs))


def render(
    layers: dict[str, Layer], weight_at: tuple[NDArray[np.float64], NDArray[np.float64]], budget_bytes: int
) -> list[Panel]:
    """Panels of `layers` (role to layer, all on the post grid), together within `budget_bytes` where possible.

    weight_at : (N, 2) float64 places (col, row) and (N,) weights, 0 or more; detail goes where the weight is.
    Memory: one averaged scene of 2560² at a time.
    """
    panels, stretches = [], {}
    shape = next(iter(layers.values())).shape
    base_px = max(shape) if max(shape) <= BASE_PX * NATIVE_BELOW else BASE_PX
    for role, layer in layers.items():
        data, valid, coarse = layer.thumbnail(base_px)
        data = data[_display_bands(layer)]
        stretches[role] = _stretch_of(data, valid)
        step = layer.shape[1] / coarse.shape[1], layer.shape[0] / coarse.shape[0]
        panel = Panel(role, layer.source)
        for window in blocks(valid.shape, BASE_TILE_PX):
            rows, cols = window.slices
            webp = _encode(data[:, rows, cols], valid[rows, cols], stretches[role])
            place = window.col * step[0], window.row * step[1], window.width * step[0], window.height * step[1]
            panel.tiles.append(Tile(*place, webp))
        panels.append(panel)
    if max(shape) > base_px:
        left = budget_bytes - sum(panel.size_bytes for panel in panels)
        for window in _by_weight(shape, *weight_at):
            tiles = [_detail(layers[panel.role], window, stretches[panel.role]) for panel in panels]
            left -= sum(len(tile.webp) for tile in tiles)
            if left < 0:
                break
            for panel, tile in zip(panels, tiles, strict=True):
                panel.tiles.append(tile)
    return panels


def _display_bands(layer: Layer) -> list[int]:
    """Red, green and blue by name where named, else the first three; a single band is shown grey."""
    names = [name.lower() for name in layer.band_names]
    if {"red", "green", "blue"} <= set(names):
        return [names.index(name) for name in ("red", "green", "blue")]
    return [0, 1, 2] if layer.count >= 3 else [0, 0, 0]


def _stretch_of(data: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(2, 3) float32: per band, the values that become black and white."""
    if not valid.any():
        return np.array([[0, 0, 0], [1, 1, 1]], np.float32)
    low, high = np.percentile(data[:, valid].astype(np.float32), STRETCH_PERCENT, axis=1)
    return np.stack([low, np.maximum(high, low + 1e-6)]).astype(np.float32)


def _encode(data: NDArray[Any], valid: NDArray[np.bool_], stretch: NDArray[np.float32]) -> bytes:
    """WebP of a (3, h, w) tile; pixels without data become transparent."""
    from PIL import Image

    low, high = stretch[:, :, None, None]
    image = np.clip((data.astype(np.float32) - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    image[:, ~valid] = 0
    if not valid.all():
        image = np.concatenate([image, valid[None].astype(np.uint8) * 255])
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.moveaxis(image, 0, 2))).save(buffer, "WEBP", quality=QUALITY, method=1)
    return buffer.getvalue()


def _detail(layer: Layer, window: Window, stretch: NDArray[np.float32]) -> Tile:
    data, valid = layer.read(window)
    webp = _encode(data[_display_bands(layer)], valid, stretch)
    return Tile(window.col, window.row, window.width, window.height, webp)


def _by_weight(shape: tuple[int, int], places: NDArray[np.float64], weights: NDArray[np.float64]) -> Iterator[Window]:
    """Full-resolution windows in the order of the weight that lies in them; those without any are left out."""
    windows = blocks(shape, DETAIL_TILE_PX)
    columns = -(-shape[1] // DETAIL_TILE_PX)
    col, row = np.floor(places / DETAIL_TILE_PX).astype(int).T
    inside = (col >= 0) & (row >= 0) & (col < columns) & (row * DETAIL_TILE_PX < shape[0])
    sums = np.bincount((row * columns + col)[inside], weights[inside], len(windows))
    for place in np.argsort(-sums, kind="stable"):
        if sums[place] > 0:
            yield windows[place]
