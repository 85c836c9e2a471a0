"""Further evidence, which takes part in the decision by a score: what it measures, and what it gives.

An evidence is one file: a class with what `Evidence` names, and a function that says whether a job has it, under the entry point
`deepnets4eo.evidences`. The job measures it, writes its columns, pools its score and says what it did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from deepnets4eo.arrays import Geometries
from deepnets4eo.damage.calibration.pool import Score
from deepnets4eo.damage.evidence.table import EvidenceTable
from deepnets4eo.damage.vocabulary import ASSESSED
from deepnets4eo.errors import InputError

if TYPE_CHECKING:
    from deepnets4eo.footprints.read import Footprints
    from deepnets4eo.jobs.journal import Journal
    from deepnets4eo.rasters.scene import Layer
    from deepnets4eo.registration import Registration


@dataclass(frozen=True)
class Site:
    """What an evidence measures.

    Parameters
    ----------
    post : image after the event
    pre : image before it, or None
    registration : how `pre` lies on POST, or None
    footprints : as they were read
    outlines : (N,) where POST shows the buildings, in its CRS
    table : the evidence that is known so far, a row a building
    journal : keeps what takes long, so that a job that was broken off goes on
    workers : threads
    """

    post: Layer
    pre: Layer | None
    registration: Registration | None
    footprints: Footprints
    outlines: Geometries
    table: EvidenceTable
    journal: Journal
    workers: int


class Evidence(Score, Protocol):
    """A score with its columns."""

    @property
    def meaning(self) -> Mapping[str, str]:
        """Column → what it holds, with unit and range; that of the score among them."""

    def measure(self, site: Site) -> pd.DataFrame:
        """The columns of all N buildings, NaN where they are not known. Errors: InputError, GridError."""


def with_further(site: Site, evidences: Sequence[Evidence]) -> EvidenceTable:
    """The table with the columns of each evidence, measured one after the other; blank where a building is not assessed."""
    table = site.table
    assessed = (table.frame["status"] == ASSESSED).to_numpy()
    for evidence, columns in _measured(site, evidences):
        added = {name: np.where(assessed, columns[name], np.nan) for name in evidence.meaning}
        table = replace(table, frame=table.frame.assign(**added), meaning=table.meaning | dict(evidence.meaning))
    return table


def _measured(site: Site, evidences: Sequence[Evidence]) -> Iterator[tuple[Evidence, pd.DataFrame]]:
    for evidence in evidences:
        columns = evidence.measure(site)
        if len(columns) != len(site.table.frame) or not {*evidence.meaning} <= {*columns.columns}:
            raise InputError(
                f"the evidence {evidence.name} measured {len(columns)} rows of {', '.join(map(str, columns.columns))}; expected "
                f"{len(site.table.frame)} of {', '.join(evidence.meaning)}. Its plugin does not fit this version."
            )
        yield evidence, columns
