"""Images on their grid and keys of colours, drawn with matplotlib; works without a screen."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage, Mask
from deepnets4eo.grid import Grid, apply_affine

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

STRETCH_PERCENT = (2, 98)
SIDE_IN = 6.0


class FigureStyle:
    """Sizes and marks that all figures share."""

    max_px: ClassVar[int] = 1000  # longer side of what is read for a figure
    with_key_in: ClassVar[tuple[float, float]] = (SIDE_IN + 2.0, SIDE_IN)  # inches of a figure with a key of colours
    synthetic_mark: ClassVar[str] = " (SYNTHETIC)"


def drawn_text(text: str) -> str:
    """Text of users and files as matplotlib draws it letter by letter: a pair of $ would make a formula, or an error, of it.

    >>> print(drawn_text("tile $1_$2"))
    tile \\$1_\\$2
    """
    return text.replace("$", r"\$")


def make_axes(axes: Axes | None = None, size_in: tuple[float, float] = (SIDE_IN, SIDE_IN)) -> Axes:
    """Return the given Axes, or the Axes of a new figure of (width, height) inches."""
    if axes is not None:
        return axes
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size_in, layout="constrained")[1]


def make_row(number: int, *, with_key: bool = False) -> list[Axes]:
    """Create a figure with Axes next to each other and room for a colour key at the right, and return the Axes."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(SIDE_IN * number + (2.0 if with_key else 0), SIDE_IN), layout="constrained")
    return list(figure.subplots(1, number, squeeze=False)[0])


def stretch(bands: NDArray[Any], valid: Mask) -> ByteImage:
    """Bands (1 or 3, h, w) between their 2nd and 98th percentile as (h, w, 4) uint8, clear where not valid."""
    image = np.zeros((*valid.shape, 4), np.uint8)
    image[..., 3] = np.where(valid, 255, 0)
    if not valid.any():
        return image
    for channel in range(3):
        band = bands[channel if len(bands) >= 3 else 0].astype(np.float64)
        low, high = np.percentile(band[valid], STRETCH_PERCENT)
        share = np.clip((band - low) / (high - low), 0, 1) if high > low else np.full(band.shape, 0.5)
        image[..., channel] = np.where(valid, share * 255, 0)
    return image


def score_colours(scores: NDArray[np.floating], valid: Mask) -> ByteImage:
    """Return scores (h, w), 0–1, as (h, w, 4) uint8 from yellow to red, clear below 0.1 and where not valid."""
    share = np.where(valid, scores, 0).astype(np.float32)
    image = np.zeros((*share.shape, 4), np.uint8)
    image[..., 0], image[..., 1] = 255, np.clip(230 * (1.2 - share), 0, 230)
    image[..., 3] = np.where(share > 0.1, 40 + 190 * np.clip(share, 0, 1), 0)
    return image


def draw_image(axes: Axes, image: ByteImage, grid: Grid, title: str = "") -> Axes:
    """Draw an image (h, w, 3 or 4) uint8 in the coordinates of its grid, which may be turned."""
    from matplotlib.transforms import Affine2D

    a, (height, width) = grid.affine, image.shape[:2]
    onto_ground = Affine2D(np.array([[a.a, a.b, a.c], [a.d, a.e, a.f], [0, 0, 1]]))
    axes.imshow(image, extent=(0, width, height, 0), transform=onto_ground + axes.transData, interpolation="nearest")
    corners = apply_affine(a, np.array([(0, 0), (width, 0), (0, height), (width, height)], np.float64))
    (left, low), (right, high) = corners.min(axis=0), corners.max(axis=0)
    axes.set(xlim=(left, right), ylim=(high, low) if a.e > 0 else (low, high), aspect=aspect_ratio(grid))
    axes.set(xticks=[], yticks=[], title=drawn_text(title))
    return axes


def aspect_ratio(grid: Grid) -> float:
    """Return the height of a map unit divided by its width: 1, except in longitude and latitude, whose degrees differ."""
    if grid.crs is None or not grid.crs.geographic:
        return 1.0
    _, latitude = grid.affine * (grid.shape[1] / 2, grid.shape[0] / 2)
    return 1 / max(math.cos(math.radians(latitude)), 0.01)


def color_patches(entries: Iterable[tuple[tuple[int, int, int], str]]) -> list[Patch]:
    """One swatch a pair of a colour (R, G, B 0–255) and its name."""
    from matplotlib.patches import Patch

    return [
        Patch(facecolor=(red / 255, green / 255, blue / 255), edgecolor="0.5", label=drawn_text(name))
        for (red, green, blue), name in entries
    ]


def add_key(axes: Axes, entries: Iterable[tuple[tuple[int, int, int], str]]) -> Axes:
    """Add a colour key to the right of the Axes; the Axes become narrower if there is no room for the key."""
    key = axes.legend(handles=color_patches(entries), loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    figure = axes.figure
    if figure.get_layout_engine() is None:  # one that the caller made: nothing makes room in it
        axes.set_anchor("W")
        axes.apply_aspect()
        beyond = (key.get_window_extent().x1 - figure.bbox.x1) / figure.bbox.width
        left, low, width, height = axes.get_position().bounds
        if 0 < beyond < width:
            axes.set_position((left, low, width - beyond, height))
    return axes
