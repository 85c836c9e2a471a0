"""Settings of the part detector, its templates over HOG cells, and their correlation with a map of cells. Inputs are not checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deepnets4eo.arrays import Boxes, FloatImage, Floats, Indices
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.options import option_group, options_from, plain_options

PAD_CELLS = 1  # of surroundings on each side of the box: the outline's gradient lies on its edge

Score = Literal["svm", "ncc"]
Scale = Annotated[float, Field(ge=0.1, le=10)]


@option_group
class PartSettings:
    """How templates are made, trained and applied.

    Parameters
    ----------
    components : sub-categories by aspect ratio (5 in the paper); fewer where there are too few boxes for them
    headings
        Directions over half a turn for which each sub-category has a template; from above, objects have any heading.
    cell_px : side of a HOG cell in pixels; None: a fifth of the boxes' median width, 3 to 8
    scales : factors, 0.1 to 10, by which an image is resized, so that objects are also found smaller and larger
    rounds : largest number of rounds of hard-negative mining, which ends where the validation score no longer grows
    penalty : the C of the linear SVMs
    score : "svm" (margin) or "ncc" (the paper's normalised cross-correlation)
    max_iou : detections that overlap a better one by more (intersection over union) are dropped
    min_score : probability from which there is a detection
    max_windows : training windows in memory (about 4 MB for each window and scale)

    Raises
    ------
    InputError
        For a value out of range.

    Examples
    --------
    >>> PartSettings(headings=4).to_dict()["scales"]
    [0.92, 1.09]
    """

    components: int = Field(default=5, ge=1)
    headings: int = Field(default=8, ge=1)
    cell_px: int | None = Field(default=None, ge=2)
    scales: tuple[Scale, ...] = Field(default=(0.92, 1.09), min_length=1)
    rounds: int = Field(default=4, ge=1)
    penalty: float = Field(default=0.01, gt=0)
    score: Score = "svm"
    max_iou: float = Field(default=0.25, ge=0, le=1)
    min_score: float = Field(default=0.5, ge=0, le=1)
    max_windows: int = Field(default=48, ge=1)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as a run's card keeps them."""
        return plain_options(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PartSettings:
        """Make settings from plain values. Errors: InputError for a wrong value or an unknown name, with the nearest."""
        return options_from(cls, values, "parts")


@dataclass(frozen=True)
class Shapes:
    """Sizes and headings of T templates: things (T, 3) length, width (pixels in training), heading (radians); component
    (T,) sub-category; sizes (T, 2) rows and columns of cells in use; cell_px, the side of a cell."""

    things: Floats
    component: Indices
    sizes: Indices
    cell_px: int

    @classmethod
    def from_medians(cls, medians: Floats, headings: int, cell_px: int) -> Shapes:
        """Return templates for each component's median length and width (K, 2), at evenly spread headings."""
        angles = np.arange(headings) * (math.pi / headings)
        things = np.array([(length, width, angle) for length, width in medians for angle in angles])
        component = np.repeat(np.arange(len(medians)), headings)
        cos, sin = np.abs(np.cos(things[:, 2])), np.abs(np.sin(things[:, 2]))
        tall = things[:, 0] * sin + things[:, 1] * cos
        wide = things[:, 0] * cos + things[:, 1] * sin
        sizes = np.ceil(np.column_stack([tall, wide]) / cell_px - 0.25).astype(np.int64) + 2 * PAD_CELLS
        return cls(things, component, sizes, cell_px)

    def __len__(self) -> int:
        return len(self.things)

    @property
    def frame(self) -> tuple[int, int]:
        """Rows and columns of cells that contain every template."""
        rows, cols = self.sizes.max(axis=0)
        return int(rows), int(cols)

    @property
    def corner(self) -> Indices:
        """(T, 2) row and column in the frame where each template begins."""
        return (np.array(self.frame) - self.sizes) // 2

    def boxes(self, template: Indices, rows: Indices, cols: Indices, scale: tuple[float, float]) -> Boxes:
        """Return boxes of templates whose frames begin at these rows and columns of cells of an image resized by `scale`."""
        middle = (self.corner + self.sizes / 2)[template] + np.column_stack([rows, cols])
        boxes = np.empty((len(template), 5))
        boxes[:, :2] = middle * self.cell_px / np.array(scale)
        boxes[:, 2:4] = self.things[template, :2] / math.sqrt(scale[0] * scale[1])
        boxes[:, 4] = self.things[template, 2]
        return boxes


@dataclass(frozen=True)
class TemplateBank:
    """Weights of T templates: (T, 31, H, W) float32, H × W the frame, 0 outside a template; bias, slope, offset (T,)
    float32: the logit of the probability is slope · score + offset."""

    shapes: Shapes
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    slope: NDArray[np.float32]
    offset: NDArray[np.float32]

    def with_calibration(self, slope: NDArray[np.float32], offset: NDArray[np.float32]) -> TemplateBank:
        """Return the same templates with another calibration."""
        return replace(self, slope=slope, offset=offset)

    def without_calibration(self) -> TemplateBank:
        """Return the same templates, whose logits are the SVMs' margins."""
        ones = np.ones(len(self.shapes), np.float32)
        return self.with_calibration(ones, np.zeros(len(self.shapes), np.float32))


@name_missing_extra()
def correlate(
    cells: FloatImage, weights: NDArray[np.float32], *, normalised: bool = False, threads: int = 1
) -> FloatImage:
    """Return every template on every position of a map of cells (31, R, C): (T, R − H + 1, C − W + 1) float32.
    normalised : the score of Randrianarivo et al. 2015, Σ(t·I) / √Σ(t²·I²), 0 where both are 0; else Σ(t·I). The same
    bits whatever the machine's number of threads, as `threads` are used."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            cells_in, kernels = torch.from_numpy(np.ascontiguousarray(cells))[None], torch.from_numpy(weights)
            scores = torch.nn.functional.conv2d(cells_in, kernels)[0]
            if normalised:
                norm = torch.nn.functional.conv2d(cells_in**2, kernels**2)[0]
                scores = torch.where(norm > 1e-12, scores / norm.clamp_min(1e-12).sqrt(), 0.0)
            return np.asarray(scores.numpy())
    finally:
        torch.set_num_threads(before)


def pad_half_frame(cells: FloatImage, frame: tuple[int, int]) -> FloatImage:
    """Return cells with half a frame of zeros around, so that objects cut by the border are found, too."""
    rows, cols = frame[0] // 2, frame[1] // 2
    return np.pad(cells, ((0, 0), (rows, rows), (cols, cols)))
