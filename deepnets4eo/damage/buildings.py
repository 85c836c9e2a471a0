"""The table of a site's buildings, from evidence to product: names for what its rows are, and the one place that writes grades."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from deepnets4eo.arrays import Mask, Texts
from deepnets4eo.damage.grades import OFF_SIDE, Grades
from deepnets4eo.damage.vocabulary import ASSESSED, BY_WATER, NOT_ASSESSED, PRE_POST

GRADED = ("damage", "damage_prob", "confidence", "damage_set")


@dataclass(frozen=True)
class Buildings:
    """N buildings. frame : id, status, reason and method, evidence, and, once decided, the columns `GRADED`."""

    frame: pd.DataFrame

    @property
    def assessed(self) -> Mask:
        """(N,) buildings that have a grade, or will get one."""
        return (self.frame["status"] == ASSESSED).to_numpy()

    @property
    def compared(self) -> Mask:
        """(N,) buildings that are assessed from both images."""
        return self.assessed & (self.frame["method"] == PRE_POST).to_numpy()

    @property
    def by_water(self) -> Mask:
        """(N,) buildings that are assessed only because water surrounds them."""
        return self.assessed & (self.frame["method"] == BY_WATER).to_numpy()

    @property
    def by_structure(self) -> Mask:
        """(N,) buildings that are assessed, and not only because of water."""
        return self.assessed & ~self.by_water

    def leave_out(self, reasons: Texts) -> Buildings:
        """Set assessed buildings with a reason (N,), else '', to not assessed."""
        rows = self.assessed & (reasons != "")
        return self._with(
            status=np.where(rows, NOT_ASSESSED, self.frame["status"]),
            reason=np.where(rows, reasons, self.frame["reason"]),
            method=np.where(rows, "", self.frame["method"]),
        )

    def set_by_water(self, rows: Mask) -> Buildings:
        """Assess those of some rows (N,) that have no other grade by the water around them."""
        alone = rows & ~self.assessed
        return self._with(
            status=np.where(alone, ASSESSED, self.frame["status"]),
            method=np.where(alone, BY_WATER, self.frame["method"]),
        )

    def add_notes(self, notes: Texts) -> Buildings:
        """Put notes (N,), '' for none, before the reasons."""
        both = zip(notes, self.frame["reason"].fillna(""), strict=True)
        return self._with(reason=np.array(["; ".join(filter(None, pair)) for pair in both], object))

    def with_grades(self, grades: Grades) -> Buildings:
        """Write grade, probability, confidence and set of every building, and why a name does not follow its probability."""
        reason = self.frame["reason"].fillna("")
        unexplained = (reason == "") | reason.isin(OFF_SIDE)  # the latter of an earlier decision
        columns: dict[Any, Any] = {
            **grades.table(self.frame.index),
            "reason": np.where(unexplained, grades.off_side, reason),
        }
        return replace(self, frame=self.frame.assign(**columns))

    def _with(self, **columns: Texts) -> Buildings:
        return replace(self, frame=self.frame.assign(**columns))
