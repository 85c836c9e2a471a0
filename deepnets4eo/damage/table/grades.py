"""Decisions on buildings: one distribution over the four grades for each building, which determines every column of the map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices, Mask, Texts
from deepnets4eo.damage.table.probabilities import border_probabilities, fill_between, set_names
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.damage.table.vocabulary import GRADES, MAJOR, is_damaged

SURE = 0.95  # probability of a side (intact or damaged) above which the grades of the other side are excluded at 90 %, which leaves 5 % at either end
POSSIBLE = 0.1  # probability of a side above which not all of its grades are excluded at 90 %
MAX_CONFIDENCE = 0.6  # in a grade that rests on evidence unlike that of the fit


@dataclass(frozen=True)
class Grades:
    """Grades of N buildings. Corrections move the probabilities, and so all columns at once.

    probabilities : (N, 4), NaN for buildings without a grade
    named : (N,) number of the grade that the map names, 0–3; of any value for buildings without a grade
    kept : (N, 4) grades that the evidence does not exclude, as measured at sites left out of the fit
    """

    probabilities: Floats
    named: NDArray[np.intp]
    kept: Mask
    off_side_reasons: ClassVar[tuple[Reason, Reason]] = (Reason.NAMED_TOO, Reason.NOT_NAMED)  # see `off_side`

    @classmethod
    def of_sides(
        cls,
        probabilities: Floats,
        thresholds: Floats | float = 0.5,
        damaged: Mask | None = None,
        kept: Mask | None = None,
    ) -> Grades:
        """Name the grades of buildings.

        probabilities : (N, 4)
        thresholds : of the worse grade within either side, (N, 2) or one number
        damaged : (N,) buildings named with major damage or worse, by default the more probable ones
        kept : (N, 4), by default all
        """
        minor, damage, destroyed = border_probabilities(np.nan_to_num(probabilities)).T
        damaged = damage >= 0.5 if damaged is None else damaged
        kept = np.ones(probabilities.shape, bool) if kept is None else kept
        worse = np.stack([minor, destroyed], axis=1) >= thresholds
        named = np.where(damaged, MAJOR + worse[:, 1], worse[:, 0]).astype(np.intp)
        return cls(probabilities, named, kept)

    @classmethod
    def of_numbers(cls, numbers: Indices) -> Grades:
        """Return grades (N,) that a person has seen: they are certain."""
        certain = np.eye(len(GRADES))[numbers]
        return cls(certain, np.asarray(numbers, np.intp), certain > 0)

    @property
    def known(self) -> Mask:
        """Return (N,) buildings with a grade."""
        return np.asarray(np.isfinite(self.probabilities[:, 0]))

    @property
    def damage(self) -> Floats:
        """Return (N,) probability of major damage or worse; NaN without a grade."""
        return np.asarray(self.probabilities[:, MAJOR:].sum(axis=1))

    @property
    def numbers(self) -> NDArray[np.intp]:
        """Return (N,) numbers of the grades in the table: the named ones, or the likelier of the other side if that side is sure."""
        p, damage = np.nan_to_num(self.probabilities), self.damage
        wrong = np.where(is_damaged(self.named), damage < 1 - SURE, damage > SURE)
        likelier = np.where(damage > SURE, MAJOR + p[:, MAJOR:].argmax(axis=1), p[:, :MAJOR].argmax(axis=1))
        return np.where(wrong, likelier, self.named).astype(np.intp)

    @property
    def confidence(self) -> Floats:
        """Return (N,) probability of the grade in the table."""
        return np.asarray(self.probabilities[np.arange(len(self.named)), self.numbers])

    @property
    def members(self) -> Mask:
        """Return (N, 4) grades that cannot be excluded at 90 %: the named one, those that the evidence keeps, and those between.

        A side that is less probable than 5 % has no grade among them, one that is more probable than 10 % has at least its
        grade next to the other side.
        """
        p = np.nan_to_num(self.probabilities)
        damage = p[:, MAJOR:].sum(axis=1)
        sides = np.repeat(np.stack([damage <= SURE, damage >= 1 - SURE], axis=1), MAJOR, axis=1)
        members = (np.arange(len(GRADES)) == self.numbers[:, None]) | (self.kept & sides)
        members[:, MAJOR - 1] |= (damage < 1 - POSSIBLE) & ~members[:, :MAJOR].any(axis=1)
        members[:, MAJOR] |= (damage > POSSIBLE) & ~members[:, MAJOR:].any(axis=1)
        return fill_between(members)

    @property
    def off_side(self) -> Texts:
        """Return (N,) why a building is named with a grade of the less probable side, else ''."""
        named, probable = is_damaged(self.numbers), self.damage >= 0.5
        return np.select(
            [self.known & named & ~probable, self.known & probable & ~named], list(self.off_side_reasons), ""
        ).astype(object)

    def table(self, index: pd.Index) -> pd.DataFrame:
        """Return the columns damage, damage_prob, confidence and damage_set; None and NaN without a grade."""
        names, sets = np.array(GRADES, object)[self.numbers], set_names(self.members)
        for texts in (names, sets):
            texts[~self.known] = None
        columns = {"damage": names, "damage_prob": self.damage, "confidence": self.confidence, "damage_set": sets}
        return pd.DataFrame(
            {name: pd.Series(values, index, dtype=values.dtype) for name, values in columns.items()}, index=index
        )

    def cap(self, rows: Mask) -> Grades:
        """Limit the confidence in the grades of some rows (N,); the other grade of the same side gains what the given grade loses."""
        p, number = self.probabilities.copy(), self.numbers
        at = np.flatnonzero(rows & (np.nan_to_num(self.confidence) > MAX_CONFIDENCE))
        p[at, other_of_side(number[at])] += p[at, number[at]] - MAX_CONFIDENCE
        p[at, number[at]] = MAX_CONFIDENCE
        return replace(self, probabilities=p)

    def move(self, rows: Mask, probabilities: Floats) -> Grades:
        """Replace the probabilities (N, 4) of some rows (N,); the names stay."""
        return replace(self, probabilities=np.where(rows[:, None], probabilities, self.probabilities))

    def at_least(self, rows: Mask, numbers: Indices | int) -> Grades:
        """Name some rows (N,) with one grade (or (N,) grades) at least, and keep all grades up to it."""
        named = np.where(rows, np.maximum(self.named, numbers), self.named)
        kept = self.kept | (rows[:, None] & (np.arange(len(GRADES)) <= named[:, None]))
        return replace(self, named=named.astype(np.intp), kept=kept)

    def keep_worse(self, rows: Mask) -> Grades:
        """Keep all worse grades than the mildest one of some rows (N,)."""
        kept = self.kept | (np.arange(len(GRADES)) == self.named[:, None])
        return replace(self, kept=np.where(rows[:, None], np.logical_or.accumulate(kept, axis=1), self.kept))

    def name_damaged(self, rows: Indices, count: int) -> Grades:
        """Name `count` of some rows (n,) as damaged, by descending probability; the others get the likelier intact grade.

        The table still names no row as damaged whose probability of damage is below 5 %, and none as intact above 95 %.
        """
        ranked = rows[np.argsort(-self.damage[rows], kind="stable")]
        named, p = self.named.copy(), self.probabilities
        wrong = is_damaged(named[ranked]) != (np.arange(len(ranked)) < count)
        for first, part in ((MAJOR, ranked[:count][wrong[:count]]), (0, ranked[count:][wrong[count:]])):
            named[part] = first + (p[part, first + 1] > p[part, first])
        return replace(self, named=named)

    def with_rows(self, rows: Indices, others: Grades) -> Grades:
        """Replace some rows (n,) by other grades (n,)."""
        probabilities, named, kept = self.probabilities.copy(), self.named.copy(), self.kept.copy()
        probabilities[rows], named[rows], kept[rows] = others.probabilities, others.named, others.kept
        return Grades(probabilities, named, kept)


def other_of_side(numbers: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the other grade of the same side, for each of some grades (N,)."""
    return np.asarray(numbers + 1 - 2 * (numbers % MAJOR), np.intp)
