"""Settings of the part detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from deepnets4eo.options import option_group, options_from, plain_options

Score = Literal["svm", "ncc"]
Scale = Annotated[float, Field(ge=0.1, le=10)]


@option_group
class PartSettings:
    """How templates are made, trained and applied.

    Parameters
    ----------
    components
        Sub-categories by aspect ratio (5 in the paper); fewer where there are too few boxes for them.
    headings
        Directions over half a turn for which each sub-category has a template; from above, objects have any heading.
    cell_px
        Side of a HOG cell in pixels; None: a fifth of the boxes' median width, 3 to 8.
    scales
        Factors, 0.1 to 10, by which an image is resized, so that objects are also found smaller and larger.
    parts
        Deformable parts of each template, at half the cell size (cells of the whole are then twice as large); 0 for
        none.
    rounds
        Largest number of rounds of hard-negative mining, which ends where the validation score no longer grows.
    penalty
        The C of the linear SVMs.
    score
        "svm" (margin) or "ncc" (the paper's normalised cross-correlation, which has no parts).
    max_iou
        Detections that overlap a better one by more (intersection over union) are dropped.
    min_score
        Probability from which there is a detection.
    max_windows
        Training windows in memory (about 4 MB for each window and scale).

    Raises
    ------
    InputError
        For a value out of range, and for values that exclude each other.

    Examples
    --------
    >>> PartSettings(parts=4).to_dict()["scales"]
    [0.92, 1.09]
    """

    components: int = Field(default=5, ge=1)
    headings: int = Field(default=8, ge=1)
    cell_px: int | None = Field(default=None, ge=2)
    scales: tuple[Scale, ...] = Field(default=(0.92, 1.09), min_length=1)
    parts: int = Field(default=0, ge=0)
    rounds: int = Field(default=4, ge=1)
    penalty: float = Field(default=0.01, gt=0)
    score: Score = "svm"
    max_iou: float = Field(default=0.25, ge=0, le=1)
    min_score: float = Field(default=0.5, ge=0, le=1)
    max_windows: int = Field(default=48, ge=1)

    @model_validator(mode="after")
    def _parts_are_possible(self) -> PartSettings:
        if self.parts and self.cell_px is not None and self.cell_px % 2:
            raise ValueError(f"has cell_px={self.cell_px} with parts={self.parts}; parts need cells of an even side")
        if self.score == "ncc" and self.parts:
            raise ValueError(
                f"has score=ncc with parts={self.parts}, but ncc has no parts. Set parts to 0, or score to svm"
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as a run's card keeps them."""
        return plain_options(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PartSettings:
        """Make settings from plain values. Errors: InputError for a wrong value or an unknown name, with the nearest."""
        return options_from(cls, values, "parts")
