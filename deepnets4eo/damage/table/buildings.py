"""The table of a site's buildings, from evidence to product: what its rows are, and the one file that writes their status and grades."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import shapely

from deepnets4eo.arrays import Floats, Indices, Mask, Texts
from deepnets4eo.damage.table.columns import columns_of, evidence_names, meaning_of, meanings, needs_pre, teaching_names
from deepnets4eo.damage.table.grades import Grades
from deepnets4eo.damage.table.reasons import BY_NETWORK, Reason
from deepnets4eo.damage.table.vocabulary import (
    CLASSES,
    DAMAGED,
    GRADES,
    METHODS,
    NOT_KNOWN,
    QUARTERS,
    STATUSES,
    UNGRADED,
)
from deepnets4eo.errors import InputError

if TYPE_CHECKING:
    import geopandas as gpd

ASSESSED, NOT_ASSESSED = STATUSES
PRE_POST, POST_ONLY, BY_WATER = METHODS
NETWORK = columns_of("network")
PRIOR, WITH_PRIOR = columns_of("priors")


@dataclass(frozen=True)
class Buildings:
    """N buildings.

    Attributes
    ----------
    frame
        id, status, reason and method, `ev_…` float columns, dx_px and dy_px (how far the outline was moved on the post
        image, pixels right and down), and, once decided, the columns `graded_columns`.
    meaning : of each column of evidence
    before : the columns that need only one image, measured on the pre image
    displaced : (N,) roofs displaced by more than 3 m in the post image
    agreement
        (N,) of the edge directions of roofs in both images, 0–1, as measured; the column `ev_roof_match` is relative to
        the best roofs of the site.
    """

    frame: pd.DataFrame
    meaning: Mapping[str, str] = field(default_factory=dict)
    before: pd.DataFrame | None = None
    displaced: Mask | None = None
    agreement: Floats | None = None
    graded_columns: ClassVar[tuple[str, ...]] = ("damage", "damage_prob", "confidence", "damage_set")
    rank_columns: ClassVar[tuple[str, ...]] = ("damage_rank", "likeliest")  # of `without_unknown_grades`
    map_columns: ClassVar[tuple[str, ...]] = ("id", *graded_columns, "status", "reason", "method", "dx_px", "dy_px")

    @classmethod
    def of_evidence(
        cls, ids: Texts, evidence: pd.DataFrame, reasons: Texts, compared: Mask, shift_px: Floats
    ) -> Buildings:  # fmt: skip
        """Put a table together, without evidence of the buildings (N,) that have a reason not to be assessed."""
        assessed = reasons == ""
        frame = evidence.where(pd.Series(assessed, evidence.index), np.nan)
        frame.insert(0, "id", ids)
        frame["status"] = np.where(assessed, ASSESSED, NOT_ASSESSED)
        frame["reason"] = Reason.sentences(reasons)
        frame["method"] = np.where(assessed, np.where(compared, PRE_POST, POST_ONLY), "").astype(object)
        frame["dx_px"], frame["dy_px"] = np.nan_to_num(shift_px).T
        return cls(frame, meanings(evidence.columns))

    @classmethod
    def not_assessed(cls, ids: Texts, reasons: Texts | str) -> Buildings:
        """Return buildings that cannot be assessed, for one reason or each for its own."""
        reasons = np.full(len(ids), reasons, object) if isinstance(reasons, str) else reasons
        columns = {
            "id": ids,
            "status": NOT_ASSESSED,
            "reason": Reason.sentences(reasons),
            "method": "",
            "dx_px": 0.0,
            "dy_px": 0.0,
        }
        return cls(pd.DataFrame(columns).astype(dict.fromkeys(("status", "reason", "method"), object)))

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def names(self) -> list[str]:
        """Columns of evidence."""
        return list(self.meaning)

    @property
    def assessed(self) -> Mask:
        """Return (N,) buildings that have a grade, or will get one."""
        return (self.frame["status"] == ASSESSED).to_numpy(bool)

    @property
    def compared(self) -> Mask:
        """Return (N,) buildings that are assessed from both images."""
        return self.assessed & (self.method == PRE_POST)

    @property
    def by_post(self) -> Mask:
        """Return (N,) buildings that are assessed from only the post image."""
        return self.assessed & (self.method == POST_ONLY)

    @property
    def leaning(self) -> Mask:
        """Return (N,) buildings that are assessed from both images, whose roof is displaced in the post image."""
        return self.compared & (False if self.displaced is None else self.displaced)

    @property
    def by_water(self) -> Mask:
        """Return (N,) buildings that are assessed only because water surrounds them."""
        return self.assessed & (self.method == BY_WATER)

    @property
    def by_structure(self) -> Mask:
        """Return (N,) buildings that are assessed, and not only because of water."""
        return self.assessed & (self.method != BY_WATER)

    @property
    def method(self) -> Texts:
        """Return (N,) what buildings are assessed from, one of `METHODS`, else ''."""
        return self.frame["method"].to_numpy(object)

    @property
    def damaged(self) -> Mask:
        """Return (N,) buildings whose grade is major damage or worse."""
        return self.frame["damage"].isin(DAMAGED).to_numpy(bool)

    @property
    def graded(self) -> Mask:
        """Return (N,) buildings whose grade is known."""
        return self.frame["damage"].isin(GRADES).to_numpy(bool)

    @property
    def is_ranked(self) -> bool:
        """Return whether the buildings are ranked, since the images do not show how many are damaged."""
        return set(self.rank_columns) <= set(self.frame.columns)

    @property
    def ranked(self) -> int:
        """Return the number of buildings with a rank; 0 if the buildings are not ranked."""
        return int(self.frame["damage_rank"].max()) if self.is_ranked and self.assessed.any() else 0

    @property
    def shown_classes(self) -> tuple[str, ...]:
        """Return the classes that products of these buildings distinguish: the grades, the quarters if ranked, and buildings without a grade."""
        return tuple(name for name in CLASSES if self.is_ranked or name not in QUARTERS)

    @property
    def classes(self) -> pd.Series:
        """Return the grade of each building, the quarter of its rank if its grade is not known, or the class of buildings without one."""
        grades = self.frame["damage"].fillna(UNGRADED)
        if not self.is_ranked:
            return grades
        rank = self.values("damage_rank")
        quarter = np.ceil(len(QUARTERS) * np.nan_to_num(rank, nan=1.0) / max(self.ranked, 1)).astype(int) - 1
        return grades.mask(grades == NOT_KNOWN, np.array(QUARTERS, object)[quarter])

    @property
    def network(self) -> Floats:
        """Return (N, 4) the probabilities of the grades by the network, NaN for buildings that it did not grade."""
        return self.frame.reindex(columns=NETWORK).to_numpy(float)

    @property
    def has_network(self) -> bool:
        """Return True if a network graded buildings."""
        return set(NETWORK) <= set(self.frame.columns)

    @property
    def graded_by_network(self) -> Mask:
        """Return (N,) buildings with the probabilities of the network."""
        return np.asarray(np.isfinite(self.network).all(axis=1))

    @property
    def prior(self) -> Floats | None:
        """Return (N,) probability of major damage or worse by the priors; None without priors."""
        return self.values(PRIOR) if PRIOR in self.frame else None

    @property
    def damage_with_prior(self) -> Floats | None:
        """Return (N,) probability of major damage or worse by evidence and priors; None without priors."""
        return self.values(WITH_PRIOR) if WITH_PRIOR in self.frame else None

    @property
    def evidence_names(self) -> list[str]:
        """Return the columns of evidence in the table, including columns of priors."""
        return evidence_names(self.frame.columns)

    @property
    def teaching_values(self) -> Floats:
        """Return (N, K) the evidence from which answers teach."""
        return self.frame[teaching_names(self.frame.columns)].to_numpy(float)

    @property
    def height_lost_m(self) -> Floats:
        """Return (N,) metres of height that each building lost between two surface models; NaN if unknown."""
        name = "ev_height_loss_m"
        return self.values(name) if name in self.frame else np.full(len(self), np.nan)

    def values(self, column: str) -> Floats:
        """Return (N,) values of a column of numbers."""
        return self.frame[column].to_numpy(float)

    def because(self, *reasons: Reason) -> Mask:
        """Return (N,) buildings with one of these reasons."""
        return self.frame["reason"].isin([reason.sentence for reason in reasons]).to_numpy(bool)

    def by_network_because(self, reason: Reason) -> Mask:
        """Return (N,) buildings that only the network graded, as the model could not for this reason."""
        return self.frame["reason"].eq(BY_NETWORK + reason.sentence).to_numpy(bool)

    def reason_counts(self, rows: Mask | None = None) -> dict[str, int]:
        """Count the buildings, or some rows (N,) of them, by reason, the commonest first."""
        return _tally(self.frame["reason"] if rows is None else self.frame.loc[rows, "reason"])

    def method_counts(self) -> dict[str, int]:
        """Count the assessed buildings by what they are assessed from, the commonest first."""
        return _tally(self.frame.loc[self.assessed, "method"])

    def counts(self) -> dict[str, int]:
        """Count the buildings of every grade, and those without one."""
        counts = self.classes.value_counts()
        return {name: int(counts.get(name, 0)) for name in self.shown_classes}

    def without_pre(self) -> Buildings:
        """Assess all buildings from only the post image, without the evidence that needs both."""
        kept = {name: text for name, text in self.meaning.items() if not needs_pre(name)}
        frame = self.frame.drop(columns=[name for name in self.meaning if name not in kept])
        return Buildings(frame.assign(method=np.where(self.compared, POST_ONLY, self.method)), kept)

    def seen_once(self, evidence: pd.DataFrame) -> Buildings:
        """Return the buildings that are compared as if only the image of this evidence (N rows) existed."""
        status = np.where(self.compared, ASSESSED, NOT_ASSESSED)
        frame = pd.DataFrame({"status": status, "method": POST_ONLY}, self.frame.index)
        return Buildings(pd.concat([frame, evidence], axis=1))

    def all_by_post(self) -> Buildings:
        """Return the buildings as if all could be assessed from the post image."""
        return self._with(status=ASSESSED, method=POST_ONLY)

    def leave_out(self, reasons: Texts) -> Buildings:
        """Set assessed buildings with a reason (N,), else '', to not assessed."""
        rows = self.assessed & (reasons != "")
        return self._with(
            status=np.where(rows, NOT_ASSESSED, self.frame["status"]),
            reason=np.where(rows, Reason.sentences(reasons), self.frame["reason"]),
            method=np.where(rows, "", self.frame["method"]),
        )

    def set_by_water(self, rows: Mask) -> Buildings:
        """Assess the buildings among some rows (N,) that have no other grade by the water around them."""
        alone = rows & ~self.assessed
        return self._with(
            status=np.where(alone, ASSESSED, self.frame["status"]),
            method=np.where(alone, BY_WATER, self.frame["method"]),
        )

    def set_by_network(self, rows: Mask, reasons: Texts) -> Buildings:
        """State that only the network graded some rows (N,), and the reasons (N,) why the model did not."""
        return self._with(reason=np.where(rows, BY_NETWORK + Reason.sentences(reasons), self.frame["reason"]))

    def set_by_person(self, rows: Indices) -> Buildings:
        """State that a person graded some rows (n,)."""
        reason = self.frame["reason"].to_numpy(object, copy=True)
        reason[rows] = Reason.BY_PERSON.sentence
        return self._with(reason=reason)

    def add_notes(self, notes: Texts) -> Buildings:
        """Put notes (N,), '' for none, before the reasons."""
        both = zip(notes, self.frame["reason"].fillna(""), strict=True)
        return self._with(reason=np.array(["; ".join(filter(None, pair)) for pair in both], object))

    def with_columns(self, columns: Mapping[str, Any], meaning: Mapping[str, str]) -> Buildings:
        """Add columns (N,) of evidence, blank for buildings that are not assessed. meaning : of each."""
        assessed = self.assessed
        added: dict[Any, Any] = {name: np.where(assessed, columns[name], np.nan) for name in meaning}
        return replace(self, frame=self.frame.assign(**added), meaning={**self.meaning, **meaning})

    def with_network(self, pair: Floats | None, post: Floats | None, *, leaves_displaced: bool = False) -> Buildings:
        """Add the probabilities (N, 4) of the network, from both images or only the post image.

        post : also for `leaning` buildings, at the position of their roof
        leaves_displaced : whether `leaning` buildings get the probabilities from only the post image
        """
        graded = np.full((len(self), len(NETWORK)), np.nan)
        for rows, probabilities in ((self.compared, pair), (self.by_post, post)):
            if probabilities is not None:
                graded = np.where(rows[:, None], probabilities, graded)
        if leaves_displaced:
            graded[self.leaning] = np.nan if post is None else post[self.leaning]
        return self.with_columns(dict(zip(NETWORK, graded.T, strict=True)), meaning_of("network"))

    def with_priors(self, prior: Floats, together: Floats) -> Buildings:
        """Add the probabilities (N,) by the priors, and by evidence and priors together; buildings without a grade have a prior, too."""
        columns: dict[Any, Any] = {PRIOR: prior, WITH_PRIOR: together}
        return replace(self, frame=self.frame.assign(**columns), meaning={**self.meaning, **meaning_of("priors")})

    def with_inundated(self, inundated: Texts) -> Buildings:
        """Add the column that states whether new water surrounds each building (N,)."""
        return self._with(inundated=inundated)

    def with_grades(self, grades: Grades) -> Buildings:
        """Write grade, probability, confidence and set of every building, and why a name does not follow its probability."""
        reason = self.frame["reason"].fillna("")
        unexplained = (reason == "") | self.because(*Grades.off_side_reasons)  # the latter of an earlier decision
        columns: dict[Any, Any] = {
            **grades.table(self.frame.index),
            "reason": np.where(unexplained, Reason.sentences(grades.off_side), reason),
        }
        return replace(self, frame=self.frame.assign(**columns))

    def without_unknown_grades(self) -> Buildings:
        """Return the buildings of a site whose damaged share is not known: the grade is `NOT_KNOWN` unless it is certain.

        A grade is certain if the evidence excludes all others at 90 %, or if the building is in new water. Added columns: damage_rank,
        1 for the building that is most probably damaged; likeliest, the grade without this rule.
        """
        if self.is_ranked:
            return self.with_likeliest_grades().without_unknown_grades()
        assessed, grade = self.assessed, self.frame["damage"]
        only_one = self.frame["damage_set"].eq(grade).to_numpy(bool)
        in_water = (
            self.frame["inundated"].eq("yes").to_numpy(bool) if "inundated" in self.frame else np.zeros(len(self), bool)
        )
        certain = only_one | (in_water & grade.ne(GRADES[0]).to_numpy(bool))
        rank = np.full(len(self), np.nan)
        order = np.argsort(-self.values("damage_prob")[assessed], kind="stable")
        rank[np.flatnonzero(assessed)[order]] = np.arange(1, len(order) + 1)
        off_side = self.because(*Grades.off_side_reasons)  # of grades that are not stated
        reason = self.frame["reason"].mask(off_side & ~certain, "")
        named = grade.mask(assessed & ~certain, NOT_KNOWN)
        return self._with(damage=named, reason=reason, damage_rank=rank, likeliest=grade)

    def with_likeliest_grades(self) -> Buildings:
        """Return the buildings with the likeliest grade of each, without the columns of `without_unknown_grades`."""
        if not self.is_ranked:
            return self
        frame = self.frame.assign(damage=self.frame["likeliest"])
        return replace(self, frame=frame.drop(columns=list(self.rank_columns)))

    def check(self) -> None:
        """Refuse the table of a map whose columns are missing or hold other values. Errors: InputError."""
        frame = self.frame
        missing = [name for name in (*self.map_columns, "geometry") if name not in frame.columns]
        if missing:
            raise InputError(
                f"buildings has no column {', '.join(missing)}. A damage map needs {', '.join(self.map_columns)}."
            )
        assessed = self.assessed
        for name, allowed, rows in (
            ("status", STATUSES, frame),
            ("damage", (*GRADES, NOT_KNOWN), frame[assessed]),
            ("method", METHODS, frame[assessed]),
        ):
            strange = set(rows[name].unique()) - set(allowed)
            if strange:
                raise InputError(f"buildings.{name} holds {sorted(map(str, strange))}, expected {', '.join(allowed)}.")
        if frame.loc[~assessed, "damage"].notna().any():
            raise InputError(f"buildings.damage is set where status is {NOT_ASSESSED}. Set it to None there.")
        if not frame.loc[assessed, "damage_prob"].between(0, 1).all():
            raise InputError("buildings.damage_prob is outside [0, 1] or missing for assessed buildings.")
        if not frame["id"].is_unique:
            twice = frame.loc[frame["id"].duplicated(), "id"].iloc[0]
            raise InputError(
                f"buildings.id is not unique: {twice} occurs more than once. Give every building its own id."
            )

    def _with(self, **columns: Any) -> Buildings:
        return replace(self, frame=self.frame.assign(**columns))


def _tally(column: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in column.value_counts().items()}


def hash_table(frame: gpd.GeoDataFrame) -> str:
    """Return the hash of the columns, the CRS and the geometry."""
    columns = pd.DataFrame(frame.drop(columns=frame.geometry.name))
    digest = hashlib.sha256(f"{list(columns.dtypes.items())} {frame.crs}".encode())
    if columns.shape[1]:  # pandas 2 hashes no table without columns
        digest.update(pd.util.hash_pandas_object(columns, index=False).to_numpy().tobytes())
    for outline in shapely.to_wkb(frame.geometry.to_numpy()):
        digest.update(outline or b"-")
    return digest.hexdigest()
