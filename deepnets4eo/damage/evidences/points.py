"""Clouds of points or surface models as evidence: height loss, rubble and debris of every building."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.damage.settings import Settings
from deepnets4eo.damage.site.site import Inputs, Site
from deepnets4eo.damage.site.skill import EvidenceCard
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.columns import meaning_of
from deepnets4eo.damage.table.vocabulary import POST_ONLY, PRE_POST
from deepnets4eo.errors import InputError
from deepnets4eo.footprints import Footprints
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer

if TYPE_CHECKING:
    from deepnets4eo.points import HeightSource

logger = logging.getLogger(__name__)

NAME = "points"
COLUMN = "ev_points_come_down"
DEFAULT_WEIGHT = 0.5  # of a card with perfect skill, as for rasters and networks
MEANING = meaning_of("points")
SOURCES = dict(
    zip(
        MEANING,
        ("collapsed_share", "roof_height_loss_m", "rubble_share", "debris_m3", "debris_low_m3", "debris_high_m3"),
        strict=True,
    )
)
MIN_ROOF_SEEN_SHARE = (
    0.5  # share of a roof from which what has come down of it is known; walls and edges do not show it
)
# Fitted by experiments/rubble.py on scans from the air of miniature cities that no test uses
CARDS = {PRE_POST: EvidenceCard(-4.761, 14.636, 1.0, 808), POST_ONLY: EvidenceCard(-2.661, 7.007, 0.986, 653)}


@dataclass(frozen=True)
class PointEvidence:
    """Heights of one or two dates as evidence.

    Parameters
    ----------
    post : after the event: a file of points (LAS, LAZ, …), a `PointCloud`, or a surface model
    pre : before it
    weight : share of its log-odds in the decision, 0–1, multiplied by the card's skill; 0 shows the columns only

    Raises
    ------
    InputError
        A weight out of range.

    Examples
    --------
    >>> PointEvidence("post.laz", "pre.laz").method
    'pre_post'
    """

    post: HeightSource
    pre: HeightSource | None = None
    weight: float = DEFAULT_WEIGHT

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise InputError(f"the weight of the points is {self.weight}, expected 0 (shown only) to 1.")

    @property
    def method(self) -> str:
        """Return the method: from both dates if there are heights of both, else only from the post date."""
        return POST_ONLY if self.pre is None else PRE_POST

    @property
    def paths(self) -> dict[str, str]:
        """Role to file, of those that are files."""
        roles = {"points_post": self.post, "points_pre": self.pre}
        return {role: str(source) for role, source in roles.items() if isinstance(source, (str, Path))}

    def open(self, post: Layer, footprints: Footprints) -> PointScore:
        """Check the heights. Errors: InputError, GridError for heights that cannot be used."""
        check_point_evidence(self, footprints)
        return PointScore(self)

    def measure(self, footprints: Footprints) -> pd.DataFrame:
        """Return the columns (N rows) of all footprints. Raises InputError, GridError for heights that cannot be used."""
        from deepnets4eo.points import debris_volumes

        logger.info("measuring height loss and debris …")
        table = debris_volumes(self.post, footprints, self.pre).buildings
        table["collapsed_share"] = table["collapsed_share"].where(table["roof_seen_share"] >= MIN_ROOF_SEEN_SHARE)
        return pd.DataFrame({name: table[source].to_numpy(float) for name, source in SOURCES.items()})


@dataclass(frozen=True)
class PointScore:
    """The share that has come down, as a score that the decision pools."""

    evidence: PointEvidence

    name = NAME
    column = COLUMN
    meaning = MEANING

    rasters = ()

    @property
    def paths(self) -> dict[str, str]:
        """Role to file, of those that are files."""
        return self.evidence.paths

    @property
    def identity(self) -> list[Any]:
        """Return the values that shape the columns, so that a journal recognises the job."""
        return [self.evidence.weight, *map(_heights, (self.evidence.post, self.evidence.pre))]

    def measure(self, site: Site) -> Site:
        """Return the site with height loss and debris of every building."""
        columns = site.work.journal.run(NAME, lambda: self.evidence.measure(site.inputs.footprints))
        return site.with_columns(columns, MEANING, NAME)

    @property
    def card(self) -> EvidenceCard:
        """Return the card of what the share shows about damage."""
        return CARDS[self.evidence.method]

    @property
    def weight(self) -> float:
        """Share of its log-odds in the decision."""
        return self.evidence.weight * self.card.skill.value

    def log_odds(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N,) log-odds of major damage or worse of shares (N,)."""
        return self.card.log_odds(scores)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the manifest."""
        return {"source": self.evidence.paths, "weight_in_decision": self.weight, "card": asdict(self.card)}

    def finding(self, buildings: Buildings) -> Finding:
        """Return the finding on the role of the points in the decision."""
        shares = buildings.values(COLUMN)[buildings.assessed]
        missing = int(np.isnan(shares).sum())
        values = {"missing": missing or None, "assessed": len(shares)}
        if not self.weight:
            return Finding("points_shown", "note", values)
        measured = {"auc": self.card.auc_major_or_worse, "buildings": self.card.buildings}
        return Finding("points_used", "note", {**values, **measured, "weight": self.weight})


def points_of_job(inputs: Inputs, settings: Settings, weight: float | None) -> Sequence[PointScore]:
    """Return the point clouds that a job was given."""
    return [evidence for evidence in inputs.evidences if isinstance(evidence, PointScore)]


def _heights(source: HeightSource | None) -> Any:
    """Return what identifies heights: a file, a layer, or coordinates in memory."""
    if isinstance(source, (str, Path)):
        return Path(source)
    return getattr(source, "xyz", source)


def check_point_evidence(points: PointEvidence, footprints: Footprints) -> None:
    """Refuse heights that cannot be used, before long work. Errors: InputError, GridError."""
    from deepnets4eo.points import check_heights

    if footprints.crs is None:
        raise InputError(
            f"footprints {footprints.source} lie in pixels; clouds of points need them in a CRS. Give georeferenced ones."
        )
    check_heights(points.post, footprints, points.pre, measured=True)
