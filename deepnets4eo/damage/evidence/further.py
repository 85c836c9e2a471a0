"""Further evidence, which takes part in the decision by a score: what each gives, and those of a job, found by entry point.

An evidence is a file: a class with what `Evidence` names, and a function that says whether a job has it, under the entry point
`deepnets4eo.evidences`. The job measures it, writes its columns, pools its score and says what it did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from deepnets4eo.arrays import Geometries
from deepnets4eo.damage.calibration.pool import Score, check_weights
from deepnets4eo.damage.evidence.table import EvidenceTable
from deepnets4eo.damage.vocabulary import ASSESSED
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.options import split_names
from deepnets4eo.plugins import EVIDENCES, load_plugin, plugins_of

if TYPE_CHECKING:
    from deepnets4eo.damage.inputs.opening import Inputs
    from deepnets4eo.damage.inputs.registered_scene import RegisteredScene
    from deepnets4eo.damage.inputs.settings import Settings
    from deepnets4eo.jobs.journal import Journal

OWN = ("rasters", "points", "look")  # asked for by settings of their own; their columns come in this order


@dataclass(frozen=True)
class Site:
    """What an evidence measures.

    Parameters
    ----------
    scene : the registered images, and what else the job was given
    outlines : (N,) where POST shows the buildings, in its CRS
    table : the evidence that is known so far, a row a building
    journal : keeps what takes long, so that a job that was broken off goes on
    """

    scene: RegisteredScene
    outlines: Geometries
    table: EvidenceTable
    journal: Journal


class Evidence(Score, Protocol):
    """A score with its columns."""

    @property
    def meaning(self) -> Mapping[str, str]:
        """Column → what it holds, with unit and range; that of the score among them."""

    def measure(self, site: Site) -> pd.DataFrame:
        """The columns of all N buildings, NaN where they are not known. Errors: InputError, GridError."""


def open_evidence(inputs: Inputs, settings: Settings) -> tuple[Evidence, ...]:
    """The further evidence of a job, opened and checked before long work. Errors: InputError."""
    installed, asked = plugins_of(EVIDENCES), _asked(settings.evidences)
    unknown = asked.keys() - installed.keys() | asked.keys() & set(OWN)
    if unknown:
        hint = name_hint(min(unknown), installed.keys() - set(OWN), "Install the package that has it.")
        raise InputError(f"--set evidences names {', '.join(sorted(unknown))}, which no installed package has. {hint}")
    found: list[Evidence] = []
    for name in (*OWN, *asked):
        found += load_plugin(installed[name])(inputs, settings, asked.get(name))
    check_weights(found)
    return tuple(found)


def _asked(text: str) -> dict[str, float | None]:
    """Name → weight of NAME or NAME=WEIGHT, with commas between."""
    return dict(_name_and_weight(one) for one in split_names(text))


def _name_and_weight(text: str) -> tuple[str, float | None]:
    name, equals, weight = text.partition("=")
    try:
        share = float(weight) if equals else None
    except ValueError:
        share = -1.0
    if share is not None and not 0 <= share <= 1:
        raise InputError(
            f"--set evidences has {text}; expected NAME, or NAME=WEIGHT with a weight of 0 (shown only) to 1."
        )
    return name.strip(), share


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
