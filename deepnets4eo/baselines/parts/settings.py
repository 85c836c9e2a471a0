"""What a part detector is asked to be: numbers a user may change, each with its reason.

Plain values, checked where they are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from deepnets4eo.errors import InputError

Score = Literal["svm", "ncc"]


@dataclass(frozen=True)
class PartSettings:
    """How templates are made, trained and applied.

    components : sub-categories by aspect ratio (5 in the paper); fewer where there are too few boxes for them
    headings : directions over half a turn that every component has a template for; seen from above, things head
        anywhere and look much the same turned by 180°
    cell_px : side of a HOG cell; None takes a fifth of the boxes' median width, 3 to 8
    scales : factors an image is resized by, so that things are found smaller and larger than in training
    parts : deformable parts of each template, at half the cell size; 0 leaves the whole alone. With parts, the cells
        of the whole are twice as large
    rounds : of hard-negative mining at most; it ends where the validation score no longer grows
    penalty : C of the linear SVMs
    score : "svm" (margin) or "ncc" (the paper's normalised cross-correlation, which has no parts)
    max_iou : detections that overlap a better one by more are dropped
    min_score : probability below which there is no detection
    max_windows : training windows held in memory (about 4 MB each and scale)
    """

    components: int = 5
    headings: int = 8
    cell_px: int | None = None
    scales: tuple[float, ...] = (0.92, 1.09)
    parts: int = 0
    rounds: int = 4
    penalty: float = 0.01
    score: Score = "svm"
    max_iou: float = 0.25
    min_score: float = 0.5
    max_windows: int = 48

    def __post_init__(self) -> None:
        least = {"components": 1, "headings": 1, "rounds": 1, "max_windows": 1, "parts": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise InputError(f"{name} is {getattr(self, name)}, expected {value} or more.")
        if self.cell_px is not None and self.cell_px < 2:
            raise InputError(f"cell_px is {self.cell_px}, expected 2 or more.")
        if self.parts and self.cell_px is not None and self.cell_px % 2:
            raise InputError(f"cell_px is {self.cell_px} with parts={self.parts}; parts need cells of an even side.")
        if not self.scales or not all(0.1 <= scale <= 10 for scale in self.scales):
            raise InputError(f"scales are {self.scales}, expected one or more between 0.1 and 10.")
        if self.score not in ("svm", "ncc"):
            raise InputError(f"score is {self.score!r}, expected svm or ncc.")
        if self.score == "ncc" and self.parts:
            raise InputError(
                f"score is ncc with parts={self.parts}; it knows no parts. Set parts to 0, or score to svm."
            )
        if not self.penalty > 0:
            raise InputError(f"penalty is {self.penalty}, expected a positive number.")
        for name in ("max_iou", "min_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected 0 to 1.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as kept in a run's card."""
        return asdict(self) | {"scales": list(self.scales)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PartSettings:
        """The settings that `to_dict` gave, or those of a recipe. Errors: InputError for an unknown name."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise InputError(f"unknown settings {unknown} of a part detector. Choose from {', '.join(known)}.")
        plain = dict(values)
        if "scales" in plain:
            plain["scales"] = tuple(float(scale) for scale in plain["scales"])
        return cls(**plain)
