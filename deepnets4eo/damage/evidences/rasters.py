"""Means of rasters of scores, such as of change, as evidence of every building; they decide by the weight of a card or of the user."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.addresses import file_name_of
from deepnets4eo.arrays import Floats
from deepnets4eo.damage.images.dates import paths_of
from deepnets4eo.damage.settings import Settings
from deepnets4eo.damage.site.site import Inputs, Site
from deepnets4eo.damage.site.skill import EvidenceCard, card_path
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.columns import is_measured, raster_column
from deepnets4eo.errors import InputError
from deepnets4eo.footprints import Footprints
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, LayerLike
from deepnets4eo.read_as import SCORES, Door
from deepnets4eo.zonal import band_sums

logger = logging.getLogger(__name__)

DEFAULT_WEIGHT = 0.5  # of a card with perfect skill, as for networks
PACKED_ONE = "PACKED_ONE"  # tag of rasters of probabilities as bytes: the byte of probability 1
LOOK_PX = 1024  # longer side of a raster whose values are looked at before the job
FINER = 0.6  # pixels smaller than so many of the post image's are averaged


@dataclass(frozen=True)
class RasterEvidence:
    """A raster of scores as evidence of a damage job.

    Parameters
    ----------
    name : name of the column, `ev_NAME`: lower-case letters, digits and underscores
    source : one score per pixel; of several bands, the band called NAME is read
    weight
        Share of its log-odds in the decision, 0–1. With a card it is multiplied by the card's skill, and None is 0.5.
        Without a card None is 0: shown only; above 0 the mean score is taken as the probability of major damage or worse
        if half of the buildings are damaged.
    card : what the scores show about damage; None reads `STEM.evidence.yaml` next to the raster if it exists

    Raises
    ------
    InputError
        A name or a weight cannot be used.

    Examples
    --------
    >>> RasterEvidence("change", "change.tif").column
    'ev_change'
    """

    name: str
    source: LayerLike
    weight: float | None = None
    card: EvidenceCard | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise InputError(
                f"evidence is named {self.name!r}; expected small letters, digits and underscores, such as change."
            )
        if is_measured(self.column):
            raise InputError(f"evidence {self.name!r} has the name of the job's own column {self.column}. Rename it.")
        if self.weight is not None and not 0 <= self.weight <= 1:
            raise InputError(f"the weight of evidence {self.name!r} is {self.weight}, expected 0 (shown only) to 1.")

    @property
    def column(self) -> str:
        """Name of its column."""
        return raster_column(self.name)

    def open(self, post: Layer, footprints: Footprints | None = None) -> ScoreLayer:
        """Open the raster on the grid of the post image. Errors: GridError, InputError."""
        return _open(self, post)

    @property
    def sources(self) -> list[Any]:
        """The raster and the file of its card, if there is one."""
        card = card_path(self.source) if isinstance(self.source, (str, Path)) else None
        return [self.source, *([card] if card is not None and card.is_file() else [])]


@dataclass(frozen=True)
class ScoreLayer:
    """A raster of scores on the post image's grid, with the scale of its values, and its card and that card's file."""

    evidence: RasterEvidence
    layer: Layer
    scale: float
    card: EvidenceCard | None
    card_file: Path | None
    product: None = None

    @property
    def name(self) -> str:
        """Name of the evidence."""
        return self.evidence.name

    @property
    def column(self) -> str:
        """Name of its column."""
        return self.evidence.column

    @property
    def weight(self) -> float:
        """Share of its log-odds in the decision."""
        if self.card is None:
            return self.evidence.weight or 0.0
        most = DEFAULT_WEIGHT if self.evidence.weight is None else self.evidence.weight
        return most * self.card.skill.value

    def log_odds(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N,) log-odds of major damage or worse for mean scores (N,): by the card, or with the scores as probabilities."""
        if self.card is not None:
            return self.card.log_odds(scores)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(scores) - np.log1p(-scores))

    @property
    def meaning(self) -> dict[str, str]:
        """Return the meaning of the column, in one line."""
        use = f"weight {self.weight:.2f} in the decision" if self.weight else "not in the decision"
        return {self.column: f"mean of the raster {file_name_of(self.layer.source)!r} in the outline on post; {use}"}

    @property
    def paths(self) -> dict[str, str]:
        """Role to file: of the raster, and of its card."""
        return paths_of(self.column, self.layer) | (
            {f"{self.column}_card": str(self.card_file)} if self.card_file else {}
        )

    @property
    def rasters(self) -> tuple[ScoreLayer, ...]:
        """Itself, which the page shows."""
        return (self,)

    @property
    def identity(self) -> list[Any]:
        """Return the values that shape the column, so that a journal recognises the job."""
        return [self.column, self.scale, str(self.card), self.weight, self.layer]

    def measure(self, site: Site) -> Site:
        """Return the site with the mean score of every building."""
        workers = site.settings.workers
        mean = site.work.journal.run(
            f"scores-{self.column}", lambda: mean_scores([self], site.outlines, workers)
        )  # fmt: skip
        return site.with_columns(mean, self.meaning, self.name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the manifest."""
        card = None if self.card is None else asdict(self.card)
        return {"source": self.layer.source, "weight_in_decision": self.weight, "card": card}

    def finding(self, buildings: Buildings) -> Finding:
        """Return the finding on the role of the raster in the decision."""
        card = self.card
        scores = buildings.values(self.column)[buildings.assessed]
        missing = int(np.isnan(scores).sum())
        values = {"name": Finding.verbatim(repr(self.name)), "missing": missing or None, "assessed": len(scores)}
        if self.weight and card is not None:
            measured = {"skill": card.skill.value, "auc": card.auc_major_or_worse, "buildings": card.buildings}
            made_up = {"synthetic": card.buildings if card.synthetic else None}
            return Finding("evidence_used", "note", {**values, **measured, **made_up, "weight": self.weight})
        if self.weight:
            return Finding("evidence_unvalidated", "caution", {**values, "weight": self.weight})
        if card is not None and card.skill.why:
            return Finding("evidence_without_skill", "caution", {**values, "reason": card.skill.why})
        return Finding("evidence_shown", "note", values)


def rasters_of_job(inputs: Inputs, settings: Settings, weight: float | None) -> Sequence[ScoreLayer]:
    """Return the rasters of scores that a job was given."""
    return [evidence for evidence in inputs.evidences if isinstance(evidence, ScoreLayer)]


def values_at_a_glance(layer: Layer) -> Floats:
    """Return the valid values (K,) of an overview of one band."""
    values, valid, _ = layer.thumbnail(LOOK_PX)
    return np.asarray(values[0][valid])


def _open(evidence: RasterEvidence, post: Layer) -> ScoreLayer:
    one_band = _one_band(Layer.open(evidence.source), evidence.name)
    layer = SCORES.assess(one_band, Door(evidence.column)).report()
    layer.covered_share(post.grid, evidence.column)
    values, valid, _ = layer.thumbnail(LOOK_PX)
    infinite = np.isinf(values[0]).any() and not np.isinf(layer.nodata or 0.0)
    if infinite or not np.isfinite(values[0][valid]).any():
        raise InputError(
            f"evidence {evidence.name!r} ({layer.source}) holds {'infinite' if infinite else 'no'} values; expected finite "
            "scores, NaN or nodata where there is none. Replace them."
        )
    same_units = (layer.grid.crs is None) == (post.grid.crs is None)
    finer = same_units and layer.gsd_m < FINER * post.gsd_m
    scale = 1 / float(layer.tags.get(PACKED_ONE, "1"))
    card, file = evidence.card, None
    if card is None and isinstance(evidence.source, (str, Path)) and card_path(evidence.source).is_file():
        file = card_path(evidence.source)
        card = EvidenceCard.read(file)
    return ScoreLayer(evidence, layer.on(post.grid, "average" if finer else "bilinear"), scale, card, file)


def _one_band(layer: Layer, name: str) -> Layer:
    if layer.count == 1:
        return layer
    if layer.band_names.count(name) != 1:
        raise InputError(
            f"evidence {name!r} ({layer.source}) has {layer.count} bands, {', '.join(layer.band_names)}; expected one, or "
            f"one called {name}. Name the evidence as the band is called, or give a raster with one band."
        )
    return layer.subset([layer.bands[layer.band_names.index(name)]])


def mean_scores(layers: Sequence[ScoreLayer], outlines: NDArray[np.object_], workers: int) -> pd.DataFrame:
    """Return the mean score of N buildings, one column per raster; NaN without a valid pixel. Raises InputError."""
    columns = {}
    for layer in layers:
        logger.info("measuring %s …", layer.column)
        mean = columns[layer.column] = band_sums(layer.layer, outlines, workers=workers).mean[:, 0] * layer.scale
        known = mean[np.isfinite(mean)]
        if not len(known):
            raise InputError(
                f"evidence {layer.evidence.name!r} ({layer.layer.source}) has no valid pixel in any building. Check its "
                "nodata and its place with `deepnets4eo check`."
            )
        if layer.weight and layer.card is None and (known.min() < 0 or known.max() > 1):
            raise InputError(
                f"evidence {layer.evidence.name!r} has scores of {known.min():.3g} to {known.max():.3g}; with a weight and "
                "without a card they must be probabilities, 0–1. Fit a card (EvidenceCard.fit), or leave the weight out."
            )
    return pd.DataFrame(columns)
