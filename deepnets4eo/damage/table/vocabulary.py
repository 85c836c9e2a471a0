"""Words of a damage map's columns (grades, statuses, methods), and the titles and colours that every product shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Mask
from deepnets4eo.cards import VOID
from deepnets4eo.outputs import Phrase

SUBJECT = "Building damage"  # of titles

GRADES = ("no-damage", "minor-damage", "major-damage", "destroyed")  # by rising severity
BORDERS = GRADES[1:]  # the border below each of them
MAJOR = 2  # grades from this index on count as damaged
DAMAGED = GRADES[MAJOR:]  # what damage_prob is the probability of

STATUSES = ("assessed", "not_assessed")
UNGRADED = STATUSES[1].replace("_", "-")  # the class of buildings without a grade, written as grades are
NOT_KNOWN = "not-known"  # in place of a grade where the images do not show how many buildings are damaged
QUARTERS = tuple(
    f"{NOT_KNOWN}-{quarter}" for quarter in (1, 2, 3, 4)
)  # their classes, by rank: the first most probably damaged
CLASSES = (*GRADES, *QUARTERS, UNGRADED)

PRE_POST, POST_ONLY = "pre_post", "post_only"
METHODS = (PRE_POST, POST_ONLY, "water")  # what a building is assessed from; the last if only its water is known

LOOKS = 40  # buildings in the sample that `review` draws of a map by default; advice names the same number
WIDE = 0.5  # an interval of the share of damaged buildings that is wider says nothing


_GREY = (140, 140, 140)
_RAMP = (
    (205, 80, 255),
    (172, 104, 210),
    (142, 116, 168),
    (125, 125, 130),
)  # of `QUARTERS`: violet, which no grade has, to grey

_GRADE_TITLES = ("No visible damage", "Minor damage", "Major damage", "Destroyed")
_QUARTER_TITLES = tuple(f"Not known: {rank} quarter" for rank in ("first", "second", "third", "last"))
TITLES = dict(zip(CLASSES, (*_GRADE_TITLES, *_QUARTER_TITLES, "Not assessed"), strict=True))
MANY_UNKNOWN = 0.2  # outlines without a grade, as a share of the others, from which they are part of the result


def worst_first(classes: Sequence[str]) -> tuple[str, ...]:
    """Return classes in the order of lists: the grades by falling severity, then the others."""
    return (*(name for name in reversed(GRADES) if name in classes), *(name for name in classes if name not in GRADES))


def look_at(buildings: int) -> Phrase:
    """Return the advice to look at the sample that `review` draws of a map of so many buildings."""
    return Phrase("look_at", {"number": LOOKS}) if buildings > LOOKS else Phrase("look_at_all")


def is_damaged(numbers: NDArray[np.integer]) -> Mask:
    """Return which numbers of grades are major damage or worse."""
    return np.asarray(numbers >= MAJOR)


def is_graded(numbers: NDArray[np.integer]) -> Mask:
    """Return which numbers are grades, and not void."""
    return np.asarray(numbers != VOID)


def is_grade(name: str) -> bool:
    """Return True if a word, such as an answer, names a grade."""
    return name in GRADES


def is_wide(interval: tuple[float, float]) -> bool:
    """Return True if an interval of the share of damaged buildings is too wide to state their number."""
    return interval[1] - interval[0] > WIDE


def colors() -> dict[str, tuple[int, int, int]]:
    """Return red, green and blue (0–255) of every class: the grades, the quarters of unknown damage, and buildings without a grade."""
    from deepnets4eo.cards import Legend

    legend = Legend.load("xbd")
    palette = dict(zip(QUARTERS, _RAMP, strict=True)) | {UNGRADED: _GREY}
    for grade in GRADES:
        red, green, blue = legend.classes[legend.index(grade)].color
        palette[grade] = (int(red), int(green), int(blue))
    return palette
