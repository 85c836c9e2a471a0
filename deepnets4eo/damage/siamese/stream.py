"""Training windows from an endless stream of graded pairs, without files.

Takes pairs of arrays with the outlines and grades of their buildings; returns windows around buildings, of each pair as
many whatever the number of its buildings. Buildings without a grade are not learnt from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID
from deepnets4eo.damage.siamese.recipe import StreamSection
from deepnets4eo.grid import Window
from deepnets4eo.segmenters.inputs import DISPLAY_RGB, InputSpec
from deepnets4eo.zonal.outlines import Outlines

Variation = Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]  # (C, h, w) → (3, h, w)
SHOWN_SHARE = 0.5  # of an outline's area that a window must show


@dataclass(frozen=True)
class GradedPair:
    """One site at two dates with graded buildings, in memory.

    Parameters
    ----------
    pre, post
        (C, H, W) uint8, at least red, green and blue; post lies on pre but for what registration leaves.
    outlines
        (N,) polygons in pixels of pre, x = column, y = row, where they truly lie.
    grades
        (N,) uint8, grades 0–3 as visible from above; 255 for buildings that are not learnt from.
    truth
        (N,) uint8, grades 0–3 of the buildings themselves; 255 unknown.
    gsd_m
        Ground size of a pixel, metres.
    style, hazard
        What kind of place it is, and what happened there.

    Examples
    --------
    >>> image = np.zeros((3, 32, 32), np.uint8)
    >>> pair = GradedPair(image, image, np.array([shapely.box(4, 4, 9, 9)]), np.zeros(1, np.uint8),
    ...                   np.zeros(1, np.uint8), 0.25, "suburb", "none")
    >>> pair.at(0.5).pre.shape
    (3, 16, 16)
    """

    pre: NDArray[np.uint8]
    post: NDArray[np.uint8]
    outlines: NDArray[np.object_]
    grades: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    gsd_m: float
    style: str
    hazard: str

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of both images."""
        height, width = self.pre.shape[1:]
        return height, width

    def at(self, gsd_m: float) -> GradedPair:
        """Return the pair with pixels of another size; one that is coarser already stays as it is.

        Parameters
        ----------
        gsd_m
            Ground size of a pixel, metres.
        """
        if self.gsd_m >= 0.95 * gsd_m:
            return self
        shape = tuple(max(1, round(side * self.gsd_m / gsd_m)) for side in self.shape)
        scale = np.array([shape[1] / self.shape[1], shape[0] / self.shape[0]])
        outlines = shapely.transform(self.outlines, lambda points: points * scale)
        pre, post = (_resized(image, shape) for image in (self.pre, self.post))
        return replace(self, pre=pre, post=post, outlines=outlines, gsd_m=gsd_m)


def read_window(
    pair: GradedPair, data: StreamSection, variation: Variation, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """One sample around a building, of each grade of the pair as often: images, grades by pixel, numbers of buildings.

    Parameters
    ----------
    pair
        At the ground size of the training, with a graded building.
    data
        The recipe's section: `tile_px`, `outline_error_m`, `misregistration_px`.
    variation
        How another sensor would show an image; drawn for each date on its own.
    rng
        Source of all draws.

    Returns
    -------
    image_pre, image_post : (3, h, w) float32, scaled as `DISPLAY_RGB` · valid : (h, w) bool · mask : (h, w) int64, 255 outside of
    graded buildings · building : (h, w) int64 from 1 on, 0 for none.
    """
    side = data.tile_px
    grade = rng.choice(np.unique(pair.grades[pair.grades != VOID]))
    centre = shapely.centroid(pair.outlines[rng.choice(np.flatnonzero(pair.grades == grade))])
    corner = np.array([centre.y, centre.x]) - rng.integers(side // 8, side - side // 8, 2)
    row, col = np.clip(corner.astype(int), 0, np.maximum(np.array(pair.shape) - side, 0)).tolist()
    moved = rng.integers(-data.misregistration_px, data.misregistration_px + 1, 2)
    images, valid = {}, np.ones((side, side), bool)
    for name, image, at in (("pre", pair.pre, (row + moved[0], col + moved[1])), ("post", pair.post, (row, col))):
        pixels, has_data = _crop(image, int(at[0]), int(at[1]), side)
        seen = variation(pixels, rng) if rng.random() < data.varied_share else pixels[:3]
        images[f"image_{name}"] = InputSpec({name: DISPLAY_RGB}).prepare({name: seen, "valid": has_data})
        valid &= has_data
    mask, building_of = _labels(pair, row, col, data, valid, rng)
    return images | {"valid": valid, "mask": mask, "building": building_of}


def _labels(
    pair: GradedPair, row: int, col: int, data: StreamSection, valid: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Grades and numbers of the buildings in a window, their outlines as wrong as those of real files."""
    side = data.tile_px
    bounds = shapely.bounds(pair.outlines)
    near = (bounds[:, 0] < col + side) & (bounds[:, 2] > col) & (bounds[:, 1] < row + side) & (bounds[:, 3] > row)
    rows = np.flatnonzero(near & (pair.grades != VOID))
    moved = _moved(pair.outlines[rows], np.array([col, row]), data.outline_error_m / pair.gsd_m, rng)
    inside = shapely.area(shapely.clip_by_rect(moved, 0, 0, side, side)) >= SHOWN_SHARE * shapely.area(moved)
    painted = Outlines.on(moved[inside], shape=(side, side)).paint(Window(0, 0, side, side)).astype(np.int64)
    painted[~valid] = -1
    grade = np.append(pair.grades[rows[inside]], VOID).astype(np.int64)
    return grade[painted], painted + 1


def _moved(
    outlines: NDArray[np.object_], corner: NDArray[np.int64], error_px: float, rng: np.random.Generator
) -> NDArray[np.object_]:
    """Outlines in pixels of a window: all off by one vector, small as a rule; each a little on its own, and in its size."""
    angle, length = rng.uniform(0, 2 * np.pi), error_px * rng.uniform() ** 2
    shared = length * np.array([np.cos(angle), np.sin(angle)])
    own = rng.normal(0, error_px / 8, (len(outlines), 2))
    size = 1 + rng.uniform(-0.1, 0.1, len(outlines)) * (error_px > 0)
    points, owner = shapely.get_coordinates(outlines, return_index=True)
    middle = shapely.get_coordinates(shapely.centroid(outlines))
    points = (points - middle[owner]) * size[owner, None] + middle[owner] + own[owner] + shared - corner
    moved: NDArray[np.object_] = shapely.set_coordinates(outlines.copy(), points)
    return moved


def _crop(image: NDArray[np.uint8], row: int, col: int, side: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A square part of an image, 0 and not valid beyond it."""
    out, valid = np.zeros((len(image), side, side), np.uint8), np.zeros((side, side), bool)
    inside = Window(row, col, side, side).clip(image.shape[1:])
    part = inside.within(Window(row, col, side, side)).slices
    rows, cols = inside.slices
    out[:, part[0], part[1]] = image[:, rows, cols]
    valid[part] = True
    return out, valid


def _resized(image: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An image of fewer pixels, each the mean of what it covers."""
    import torch
    import torch.nn.functional as F

    pixels = torch.from_numpy(np.ascontiguousarray(image))[None].float()
    smaller = F.interpolate(pixels, size=shape, mode="bilinear", antialias=True, align_corners=False)
    out: NDArray[np.uint8] = smaller[0].round().clamp(0, 255).byte().numpy()
    return out
