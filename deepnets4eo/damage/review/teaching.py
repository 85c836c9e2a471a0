"""Corrections that teach: grades of a map adjusted to what people answered there, and the choice of buildings to look at next.

Each of three log-odds gets a weighted sum of the map's evidence, and of what buildings look like. The sum is
used if it gained on held-out answers.

The weights come from logistic regression with an offset, with the ridge chosen by cross-validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import entr, logit

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.damage.network.look_model import by_site
from deepnets4eo.damage.review.regression import Side, auc_of
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.grades import Grades, other_of_side
from deepnets4eo.damage.table.probabilities import (
    MIN_PROBABILITY,
    grades_of_sides,
    set_damaged_probability,
    side_log_odds,
)
from deepnets4eo.damage.table.vocabulary import GRADES, MAJOR, is_damaged, is_grade
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import Finding, Phrase

MIN_ANSWERS = 20  # fewer cannot be left out in turn
MIN_EACH = 2  # answers on either side of what divides them
MAX_DEVIATIONS = 3.0  # standard deviations that a column counts at most
LOOK_COLUMNS = 20.0  # of evidence, as which all features of a look count together; at made-up sites better than none, at real ones like 5
NUMBER = dict(zip(GRADES, range(len(GRADES)), strict=True))
SIDES = {
    "damaged": (range(4), MAJOR),
    "minor-damage": (range(2), 1),
    "destroyed": (range(2, 4), 3),
}  # among, worse from


@dataclass(frozen=True)
class Scores:
    """Quality of the grades of answered buildings: log loss, AUC of major damage or worse or None, mean F1."""

    log_loss: float
    auc: float | None
    f1: float


@dataclass(frozen=True)
class Taught:
    """A map's table and grades after a step, its scores before and after, and which of `SIDES` moved.

    code : of the finding by which a map states that it contains answers
    """

    code: ClassVar[str] = "taught"

    buildings: pd.DataFrame
    grades: Grades
    before: Scores | None
    after: Scores | None
    moved: tuple[str, ...]
    answers: int

    @classmethod
    def of_few(cls, buildings: pd.DataFrame, answers: Mapping[int, str]) -> Taught:
        """Leave a map as it is for fewer answers than can teach it."""
        return cls(buildings, grades_of_map(buildings), None, None, (), len(graded_answers(buildings, answers)))

    def with_answers(self, answers: Mapping[int, str]) -> pd.DataFrame:
        """Return the table with the grades that people gave to assessed buildings, for certain."""
        seen = graded_answers(self.buildings, answers)
        rows, numbers = np.array(list(seen), np.intp), np.array([NUMBER[answer] for answer in seen.values()], np.intp)
        grades = self.grades.with_rows(rows, Grades.of_numbers(numbers))
        return Buildings(self.buildings).set_by_person(rows).with_grades(grades).frame

    def within(self, low: float, high: float, answers: Mapping[int, str]) -> Taught:
        """Name as many buildings as damaged as a count by a drawn sample allows: `low` to `high`, answered buildings included.

        If the count is sure, these ends meet, and the map names as many. The probabilities stay.
        """
        seen = graded_answers(self.buildings, answers)
        others = np.setdiff1d(np.flatnonzero(self.grades.known), list(seen))
        damaged = int(is_damaged(np.array([NUMBER[answer] for answer in seen.values()], np.intp)).sum())
        named = int(is_damaged(self.grades.numbers[others]).sum())
        wanted = int(np.clip(named, max(np.ceil(low) - damaged, 0), max(np.floor(high) - damaged, 0)))
        if wanted == named:
            return self
        grades = self.grades.name_damaged(others, wanted)
        return replace(self, buildings=Buildings(self.buildings).with_grades(grades).frame, grades=grades)

    def finding(self) -> Finding:
        """State how many buildings a person graded, and whether the others were graded again."""
        others = Phrase("taught_others" if self.moved else "untaught_others")
        return Finding(self.code, "note", {"answers": self.answers, "others": others}, self.answers)

    def gain(self) -> str:
        """Return what the step gained on unseen answers, in one line."""
        if self.before is None or self.after is None:
            missing = MIN_ANSWERS - self.answers
            return f"the others keep the grades of the map: {missing} more with a grade teach it, which --next {missing} chooses"
        if not self.moved:
            return "nothing was gained on answers that were left out, so that all others keep the grades of the map"
        scores = ", ".join(
            f"{name} {old:.3f} → {new:.3f}"
            for name, old, new in (
                ("mean F1 of the grades", self.before.f1, self.after.f1),
                ("log loss", self.before.log_loss, self.after.log_loss),
                ("AUC of damaged ones", self.before.auc, self.after.auc),
            )
            if old is not None and new is not None
        )
        return f"the others are graded again (borders that moved: {', '.join(self.moved)}; on answers that were left out: {scores})"


def teach(buildings: pd.DataFrame, answers: Mapping[int, str], seed: int = 0, look: Floats | None = None) -> Taught:
    """Refit the decision of a map to what people answered at its site.

    Parameters
    ----------
    buildings : the map's table of N buildings, with its evidence
    answers : row of the table → one of `ANSWERS`, drawn or chosen
    seed : how the answers are divided to measure the step
    look : (N, 496) what buildings look like, as `look_features` measures it; NaN if unknown

    Returns
    -------
    Taught

    Raises
    ------
    InputError
        Fewer than 20 answers name the grade of an assessed building.
    """
    assessed, graded = Buildings(buildings).assessed, graded_answers(buildings, answers)
    if len(graded) < MIN_ANSWERS:
        raise InputError(
            f"{len(graded)} assessed buildings have an answer that names a grade, at least {MIN_ANSWERS} are needed. Look at more."
        )
    rows = (np.cumsum(assessed) - 1)[list(graded)]  # of the assessed buildings
    grade = np.array([NUMBER[answer] for answer in graded.values()])
    part = buildings[assessed]
    log_odds, cuts = _log_odds(part), _cuts(part)
    evidence = _of_answers(_evidence(part, log_odds, None if look is None else look[assessed]), rows)
    new, held_out, moved = log_odds - cuts, (log_odds - cuts)[rows], []
    before = _scores(held_out, grade)
    for number, (name, (among, worse_from)) in enumerate(SIDES.items()):
        used = np.isin(grade, among)
        side = Side(evidence[rows[used]], grade[used] >= worse_from, held_out[used, number])
        if min(side.beyond.sum(), (~side.beyond).sum()) < MIN_EACH:
            continue
        left_out = side.left_out(seed)
        if side.gains(left_out):
            held_out[used, number] = left_out
            new[:, number] += evidence @ side.fit(side.best_ridge(seed))
            moved.append(name)
    grades = grades_of_map(buildings)
    if moved:
        taught = Grades(grades_of_sides(new), _grades(new), grades.kept[assessed])
        grades = grades.with_rows(np.flatnonzero(assessed), taught)
    table = Buildings(buildings).with_grades(grades).frame if moved else buildings
    return Taught(table, grades, before, _scores(held_out, grade), tuple(moved), len(rows))


def choose_next(
    buildings: pd.DataFrame,
    answers: Mapping[int, str],
    listed: Indices,
    count: int,
    seed: int = 0,
    look: Floats | None = None,
) -> Indices:
    """Return the buildings whose answers help most, the most helpful first.

    Parameters
    ----------
    buildings, answers, seed, look : as in `teach`; fewer than 20 answers do not move the map yet
    listed : (n,) rows that people have seen or will see
    count : how many are chosen, at most all others that are assessed

    Returns
    -------
    (count,) int
        Rows of the table.
    """
    assessed = np.flatnonzero(Buildings(buildings).assessed)
    if len(graded_answers(buildings, answers)) >= MIN_ANSWERS:
        buildings = teach(buildings, answers, seed, look).buildings
    part = buildings.iloc[assessed]
    log_odds = _log_odds(part)
    evidence, probabilities = _evidence(part, log_odds), grades_of_sides(log_odds - _cuts(part))
    shares = probabilities / probabilities.sum(axis=1, keepdims=True)
    worth = entr(shares).sum(axis=1) / np.log(len(GRADES))
    if Buildings(part).has_network:
        apart = np.abs(Buildings(part).network - probabilities).sum(axis=1) / 2
        worth = worth + np.nan_to_num(apart)
    left = ~np.isin(assessed, listed)
    far = np.ones(len(assessed))
    if not left.all():
        from sklearn.metrics import pairwise_distances_argmin_min

        far = pairwise_distances_argmin_min(evidence, evidence[~left])[1]  # piece by piece: no matrix of all pairs
    chosen: list[int] = []
    for _ in range(min(count, int(left.sum()))):
        chosen.append(int(np.argmax(np.where(left, worth * far, -1.0))))
        left[chosen[-1]] = False
        to_it = np.linalg.norm(evidence - evidence[chosen[-1]], axis=1)
        far = np.minimum(far, to_it) if len(chosen) > 1 or len(listed) else to_it
    return assessed[chosen]


def can_teach(answers: int) -> bool:
    """Return True if this number of answers with a grade can teach a map."""
    return answers >= MIN_ANSWERS


def graded_answers(buildings: pd.DataFrame, answers: Mapping[int, str]) -> dict[int, str]:
    """Return the answers that name the grade of an assessed building."""
    assessed = Buildings(buildings).assessed
    return {row: answer for row, answer in answers.items() if is_grade(answer) and assessed[row]}


def grades_of_map(buildings: pd.DataFrame) -> Grades:
    """Return the grades that the columns of a map state; the split of a side that is not named is the mean of the map."""
    assessed = Buildings(buildings).assessed
    part = buildings[assessed]
    damage, sure = (part[name].to_numpy(float) for name in ("damage_prob", "confidence"))
    number, rows = np.asarray(part["damage"].map(NUMBER), np.intp), np.arange(len(part))
    p = set_damaged_probability(grades_of_sides(_log_odds(part)), damage)
    side = np.where(is_damaged(number), damage, 1 - damage)
    p[rows, number] = np.minimum(sure, side)
    p[rows, other_of_side(number)] = np.maximum(side - sure, 0.0)
    probabilities = np.full((len(buildings), len(GRADES)), np.nan)
    probabilities[assessed] = p
    named = np.zeros(len(buildings), np.intp)
    named[assessed] = number
    sets = buildings["damage_set"].fillna("").str.split(",")
    kept = np.array([[grade in names for grade in GRADES] for names in sets], bool).reshape(-1, len(GRADES))
    return Grades(probabilities, named, kept)


def _log_odds(buildings: pd.DataFrame) -> Floats:
    """Return (N, 3) log-odds of `side_log_odds`; on sides that do not apply to a building, the mean of the buildings on them."""
    damaged, sure = (buildings[name].to_numpy(float) for name in ("damage_prob", "confidence"))
    grade, within = buildings["damage"].map(NUMBER).to_numpy(), (MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    out = [logit(np.clip(damaged, *within))]
    for worse, whole in ((1, 1 - damaged), (3, damaged)):
        share = logit(np.clip(sure / np.maximum(whole, MIN_PROBABILITY), *within))
        odds = np.where(grade == worse, share, -share)
        here = (grade == worse) | (grade == worse - 1)
        out.append(np.where(here, odds, odds[here].mean() if here.any() else 0.0))
    return np.stack(out, axis=1)


def _cuts(buildings: pd.DataFrame) -> Floats:
    """Return (N, 3) log-odds that divide the grades of the map, from the grades that it assigns, by method."""
    odds, grade = _log_odds(buildings), buildings["damage"].map(NUMBER).to_numpy()
    cuts = np.zeros_like(odds)
    for method in buildings["method"].unique():
        for number, (among, worse_from) in enumerate(SIDES.values()):
            rows = (buildings["method"] == method).to_numpy()
            named = rows & np.isin(grade, among)
            below, above = (odds[named & part, number] for part in (grade < worse_from, grade >= worse_from))
            if len(below) and len(above):
                cuts[rows, number] = (below.max() + above.min()) / 2
    return cuts


def _of_answers(evidence: Floats, rows: Indices) -> Floats:
    """Return evidence (N, K) along directions that distinguish the answered rows: no others get a weight, whatever the penalty."""
    _, sizes, directions = np.linalg.svd(evidence[rows], full_matrices=False)
    return evidence @ directions[sizes > 1e-9 * sizes.max()].T


def _evidence(buildings: pd.DataFrame, log_odds: Floats, look: Floats | None = None) -> Floats:
    """Return (N, K) evidence and log-odds in standard deviations of this site, 0 where not known, and a column of ones."""
    table = Buildings(buildings)
    parts = [table.teaching_values, log_odds]
    if table.prior is not None:  # answers tell what weight a prior deserves
        parts.append(logit(table.prior)[:, None])
    if table.has_network:
        parts.append(side_log_odds(table.network))
    values = np.column_stack(parts)
    values = values[:, np.isfinite(values).any(axis=0)]
    spread = np.nanstd(values, axis=0)
    standard = np.nan_to_num((values - np.nanmean(values, axis=0)) / np.where(spread > 0, spread, 1.0))
    columns = [np.clip(standard, -MAX_DEVIATIONS, MAX_DEVIATIONS), np.ones(len(buildings))]
    if look is not None:
        columns.append(by_site(look) * np.sqrt(LOOK_COLUMNS / look.shape[1]))
    return np.nan_to_num(np.column_stack(columns))


def _grades(log_odds: Floats) -> NDArray[np.intp]:
    """Return (N,) the grade that (N, 3) log-odds name."""
    damaged, minor, destroyed = (log_odds > 0).T
    return np.where(damaged, MAJOR + destroyed, minor).astype(np.intp)


def _scores(log_odds: Floats, grade: NDArray[np.integer]) -> Scores:
    from sklearn.metrics import f1_score

    damaged = is_damaged(grade)
    of_truth = grades_of_sides(log_odds)[np.arange(len(grade)), grade]
    auc = auc_of(damaged, log_odds[:, 0]) if damaged.any() and not damaged.all() else None
    f1 = f1_score(grade, _grades(log_odds), average="macro", labels=np.unique(grade), zero_division=0)
    return Scores(float(-np.log(np.clip(of_truth, 1e-9, 1)).mean()), auc, float(f1))
