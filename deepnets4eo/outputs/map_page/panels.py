"""The image panels of a map's page: pre and post image as small WebP tiles on the post pixels, through the registration.

The scene is averaged down; spots with most damage or change come close to full resolution within the budget.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.display.figures import score_colours
from deepnets4eo.grid import Window, blocks, gsd_m
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import Layer

if TYPE_CHECKING:
    from deepnets4eo.grid import Grid

BASE_PX = 2560  # longer side of the whole scene: 2 × 26 MB once decoded, which phones hold
NATIVE_BELOW = 1.3  # a scene hardly larger than that is kept at full resolution
BASE_TILE_PX = 1280
PREVIEW_PX, PREVIEW_QUALITY = 640, 50  # of the picture that is seen until the tiles are decoded; its longer side
DETAIL_TILE_PX = 256
SCORES_PX = 1280  # longer side of a raster of scores
WATER_COLOUR, CLOUD_COLOUR, MASK_OPACITY = (30, 120, 255), (235, 245, 255), 150
UNKNOWN_COLOUR, STRIPE_PX, STRIPE_EVERY = (235, 235, 235, 150), 1, 8  # thin, so that the image is visible between them
COARSEST_M = 1.0  # on coarser pixels damage to a roof is not visible
FIRST = 100
QUALITY = 70
STRETCH_PERCENT = (0.5, 99.5)
STRETCH_PIXELS = 500_000  # spread over the scene: all of them take seconds to sort
READERS = 2
SQUARE_PX = 1024  # blocks of a file are hardly larger, and a square of two images stays in GDAL's cache


@dataclass(frozen=True)
class PanelTile:
    """A rectangle of the post image's pixels (may be fractional) and its WebP bytes."""

    col: float
    row: float
    width: float
    height: float
    webp: bytes


@dataclass
class Panel:
    """One image of the page: its source, its tiles from coarse to fine; `coarse` is in post pixels per coarse pixel.

    preview : the whole scene in few pixels, if it has several tiles.
    """

    role: str
    source: str
    coarse: float
    tiles: list[PanelTile]
    details: list[PanelTile] = field(default_factory=list)
    preview: PanelTile | None = None

    @property
    def size_bytes(self) -> int:
        """Sum of its tiles."""
        first = () if self.preview is None else (self.preview,)
        return sum(len(tile.webp) for tile in (*first, *self.tiles, *self.details))


@dataclass(frozen=True)
class Overlay:
    """A raster that a reader may lay over the images.

    Attributes
    ----------
    title : of its scores, or of what a mask marks; "" to leave that out
    layer : on the grid of the page
    scale : factor from its scores to 0–1; None for a mask, set from 0.5 on
    colour : of a mask
    is_visible : whether the page opens with it
    unknown : title of the pixels of a mask that are not known; "" to leave them out
    is_unknown_visible : whether the page opens with these
    """

    title: str
    layer: Layer
    scale: float | None = None
    colour: tuple[int, int, int] = WATER_COLOUR
    is_visible: bool = False
    unknown: str = ""
    is_unknown_visible: bool = False


class Swatch(NamedTuple):
    """Appearance of a layer in the box of layers. kind : "scores", "mask" or "unknown"; colour : of a mask; visible : at first"""

    kind: str
    colour: tuple[int, int, int] | None
    visible: bool


def render(
    layers: dict[str, Layer],
    weight_at: tuple[NDArray[np.float64], NDArray[np.float64]],
    budget_bytes: int,
    *,
    longest_px: int = BASE_PX,
) -> list[Panel]:
    """Render the panels of `layers` on the post grid within `budget_bytes`; details go to positions (N, 2) of high weight (N,).

    Memory: one averaged scene at a time, 2560² at most by default.
    """
    layers = {role: layer.subset(layer.shown_bands) for role, layer in layers.items()}
    first = next(iter(layers.values()))
    base_px = picture_px(first, longest_px)
    panels, stretches = [], {}
    for role, layer in layers.items():
        data, valid, coarse = layer.thumbnail(base_px)
        stretches[role] = stretch_of(data, valid)
        step = layer.shape[1] / coarse.shape[1], layer.shape[0] / coarse.shape[0]
        tiles = _base_tiles(data, valid, stretches[role], step)
        preview = _preview(data, valid, stretches[role], step) if len(tiles) > 1 else None
        panels.append(Panel(role, layer.source, step[0], tiles, preview=preview))
    if max(first.shape) > base_px:
        used = sum(panel.size_bytes for panel in panels)
        pixels = sum(valid.size for _ in panels)
        tile_bytes = used / pixels * DETAIL_TILE_PX**2 * len(panels)
        left = budget_bytes - used

        def details(spot: tuple[Window, int]) -> list[PanelTile]:
            return [render_window(layers[panel.role], *spot, stretches[panel.role]) for panel in panels]

        spots = _where_it_matters(first.grid, *weight_at, number=int(left / tile_bytes))
        for tiles in _by_worth(details, spots, max(1, int(left / tile_bytes))):
            for panel, tile in zip(panels, tiles, strict=True):
                panel.details.append(tile)
                left -= len(tile.webp)
            if left < tile_bytes:
                break
    return panels


def picture_px(layer: Layer, longest_px: int = BASE_PX) -> int:
    """Return the longer side of the whole scene on the page."""
    return max(layer.shape) if max(layer.shape) <= longest_px * NATIVE_BELOW else longest_px


def _by_worth(
    details: Callable[[tuple[Window, int]], list[PanelTile]], spots: Iterator[tuple[Window, int]], number: int
) -> Iterator[list[PanelTile]]:
    """Yield tiles in the order of the spots; read `number` of them at once by position, so that file blocks are decoded once."""
    while some := list(islice(spots, number)):
        by_square = sorted(range(len(some)), key=lambda k: _square_order(some[k][0]))
        read = dict(zip(by_square, in_order(details, [some[k] for k in by_square], READERS), strict=True))
        yield from (read[k] for k in range(len(some)))


def _square_order(window: Window) -> tuple[int, int, int, int]:
    """Order of windows square by square."""
    return window.row // SQUARE_PX, window.col // SQUARE_PX, window.row, window.col


def render_overlay(overlay: Overlay) -> Iterator[tuple[Swatch, Panel]]:
    """Render what a raster shows over the images, each part as a panel with its swatch. Memory: 1280² at most.

    Scores are yellow to red, clear where low; a mask has its colour if it has a title, and stripes over unknown pixels, if these have a title.
    """
    layer = overlay.layer
    data, valid, coarse = layer.thumbnail(SCORES_PX)
    step = layer.shape[1] / coarse.shape[1]
    rectangle = (0.0, 0.0, float(layer.shape[1]), float(layer.shape[0]))

    def panel(title: str, image: NDArray[np.uint8]) -> Panel:
        return Panel(title, layer.source, step, [PanelTile(*rectangle, _webp(image))])

    if overlay.scale is not None:
        image = score_colours(data[0].astype(np.float32) * overlay.scale, valid)
        yield Swatch("scores", None, overlay.is_visible), panel(overlay.title, image)
        return
    image = np.zeros((*valid.shape, 4), np.uint8)
    inside = valid & (data[0] >= 0.5)
    if overlay.title and inside.any():
        image[inside] = (*overlay.colour, MASK_OPACITY)
        yield Swatch("mask", overlay.colour, overlay.is_visible), panel(overlay.title, image)
    if overlay.unknown and not valid.all():
        yield Swatch("unknown", None, overlay.is_unknown_visible), panel(overlay.unknown, unknown_stripes(valid))


def unknown_stripes(valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return (h, w, 4): grey stripes where pixels are not valid, else clear."""
    row, col = np.indices(valid.shape)
    image = np.zeros((*valid.shape, 4), np.uint8)
    image[~valid & ((row + col) // STRIPE_PX % STRIPE_EVERY == 0)] = UNKNOWN_COLOUR
    return image


def _base_tiles(
    data: NDArray[Any], valid: NDArray[np.bool_], stretch: NDArray[np.float32], step: tuple[float, float]
) -> list[PanelTile]:
    tiles = []
    for window in blocks(valid.shape, BASE_TILE_PX):
        rows, cols = window.slices
        rectangle = window.col * step[0], window.row * step[1], window.width * step[0], window.height * step[1]
        tiles.append(PanelTile(*rectangle, _encode(data[:, rows, cols], valid[rows, cols], stretch)))
    return tiles


def _preview(
    data: NDArray[Any], valid: NDArray[np.bool_], stretch: NDArray[np.float32], step: tuple[float, float]
) -> PanelTile:
    """Return the whole scene in at most PREVIEW_PX pixels along its longer side."""
    step_px = -(-max(valid.shape) // PREVIEW_PX)
    data, valid = _averaged(data, valid, step_px)
    height, width = valid.shape
    return PanelTile(
        0, 0, width * step_px * step[0], height * step_px * step[1], _encode(data, valid, stretch, PREVIEW_QUALITY)
    )


def three_bands(data: NDArray[Any]) -> NDArray[Any]:
    """Return (3, h, w) from three bands, or from one grey band."""
    return np.broadcast_to(data, (3, *data.shape[1:]))


def stretch_of(data: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return (2, C) float32: for each band of (C, …) data, the values shown as black and white; valid : (…) bool."""
    if not valid.any():
        return np.repeat(np.array([[0], [1]], np.float32), len(data), axis=1)
    step = max(1, int(np.count_nonzero(valid)) // STRETCH_PIXELS)
    inside = np.arange(0, valid.size, step) if valid.all() else np.flatnonzero(valid)[::step]
    some_of = np.unravel_index(inside, valid.shape)
    some = np.stack([band[some_of] for band in data]).astype(np.float32)
    low, high = np.percentile(some, STRETCH_PERCENT, axis=1)
    return np.stack([low, np.maximum(high, low + 1e-6)]).astype(np.float32)


def _encode(
    data: NDArray[Any], valid: NDArray[np.bool_], stretch: NDArray[np.float32], quality: int = QUALITY
) -> bytes:
    """WebP of a tile of three bands or of one (C, h, w); pixels without data become transparent."""
    low, high = stretch[:, : len(data), None, None]
    values = data.astype(np.float32)
    for step, number in ((np.subtract, low), (np.divide, high - low), (np.multiply, np.float32(255))):
        step(values, number, out=values)
    seen = valid.all()
    if not seen:
        values[:, ~valid] = 0
    image = np.moveaxis(np.clip(values, 0, 255, out=values), 0, 2).astype(np.uint8, order="C")
    if not seen:
        return _webp(np.dstack([*three_bands(np.moveaxis(image, 2, 0)), valid * np.uint8(255)]), quality)
    return _webp(image[:, :, 0] if len(data) == 1 else image, quality)


def _webp(image: NDArray[np.uint8], quality: int = QUALITY) -> bytes:
    """Return (h, w), or (h, w, 3 or 4), encoded."""
    from PIL import Image, WebPImagePlugin  # noqa: F401, without which Pillow loads the formats of all its forty plugins

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=quality, method=0)
    return buffer.getvalue()


def render_window(
    layer: Layer, window: Window, step_px: int, stretch: NDArray[np.float32], quality: int = QUALITY
) -> PanelTile:
    """Render a window of one or three bands averaged by `step_px` as WebP; pixels with part of their data are left out."""
    data, valid = layer.read(window)
    if step_px > 1:
        data, valid = _averaged(data, valid, step_px)
        height, width = (side * step_px for side in valid.shape)
        return PanelTile(window.col, window.row, width, height, _encode(data, valid, stretch, quality))
    return PanelTile(window.col, window.row, window.width, window.height, _encode(data, valid, stretch, quality))


def _averaged(data: NDArray[Any], valid: NDArray[np.bool_], step_px: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Means of squares of (C, h, w), and which of them are valid throughout; the last ones repeat the edge."""
    margin = [(0, -side % step_px) for side in valid.shape]
    parts = _every(np.pad(data, ((0, 0), *margin), mode="edge"), step_px)
    whole = np.logical_and.reduce(_every(np.pad(valid, margin, mode="edge"), step_px))
    return np.asarray(sum(part.astype(np.float32) for part in parts)) / np.float32(len(parts)), np.asarray(whole)


def _every(values: NDArray[Any], step_px: int) -> list[NDArray[Any]]:
    """Return every `step_px`-th pixel (…, h, w) from each place in a square: their mean takes a tenth of the time of a mean by axes."""
    return [values[..., row::step_px, col::step_px] for row in range(step_px) for col in range(step_px)]


def _where_it_matters(
    grid: Grid, positions: NDArray[np.float64], prob: NDArray[np.float64], number: int
) -> Iterator[tuple[Window, int]]:
    """Windows by worth, the FIRST most probable objects first, and the finest averaging, at most COARSEST_M, that shows all."""
    shape, finest_m, step_px = (grid.shape[0], grid.shape[1]), min(gsd_m(grid)), 1
    likely = positions[prob >= 0.5]
    while len(set(_tile_of(likely, shape, step_px))) > number and finest_m * step_px * 2 <= COARSEST_M:
        step_px *= 2
    tile = _tile_of(positions, shape, step_px)
    windows = blocks(shape, DETAIL_TILE_PX * step_px)
    sums = np.bincount(tile[tile >= 0], (prob**2)[tile >= 0], len(windows))
    top = tile[np.argsort(-prob, kind="stable")[:FIRST]]
    for best in dict.fromkeys([*top.tolist(), *np.argsort(-sums, kind="stable").tolist()]):
        if best >= 0 and sums[best] > 0:
            yield windows[best], step_px


def _tile_of(positions: NDArray[np.float64], shape: tuple[int, int], step_px: int) -> NDArray[np.intp]:
    """Return the number of the detail window that contains each position, -1 outside the image."""
    side = DETAIL_TILE_PX * step_px
    columns = -(-shape[1] // side)
    col, row = np.floor(positions / side).astype(np.intp).T
    inside = (positions >= 0).all(axis=1) & (positions[:, 0] < shape[1]) & (positions[:, 1] < shape[0])
    return np.where(inside, row * columns + col, -1)
