"""Evidence `ev_look`: how damaged a building looks compared with the others of its site, in only the post image, as a score of the decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from deepnets4eo.arrays import Floats
from deepnets4eo.damage.network.look_model import LookModel, look_features
from deepnets4eo.damage.settings import Settings
from deepnets4eo.damage.site.site import Inputs, Site
from deepnets4eo.damage.site.work import TileWork
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.columns import meaning_of
from deepnets4eo.errors import InputError
from deepnets4eo.lazy import check_extra
from deepnets4eo.outputs import Finding, Phrase

NAME, COLUMN = "look", "ev_look"


@dataclass(frozen=True)
class LookScore:
    """The look of buildings, as a score that the decision pools. share : of its log-odds, if its skill were perfect; source : of the model."""

    model: LookModel
    share: float = 0.0
    source: str = LookModel.shipped

    name = NAME
    column = COLUMN

    meaning: ClassVar[Mapping[str, str]] = meaning_of("look")

    @classmethod
    def load(cls, share: float, source: str = LookModel.shipped) -> LookScore:
        """Load the score of a model. Raises MissingExtraError without PyTorch, RunError."""
        check_extra("deep")
        return cls(LookModel.load(source), share, source)

    def measure(self, site: Site) -> Site:
        """Return the site with the score of every building, relative to all assessed buildings."""
        journal = site.work.journal
        features = journal.run(NAME, lambda: look_features(site.post, site.outlines, TileWork(journal.tiles(NAME))))
        scores = self.model.scores(np.where(site.buildings.assessed[:, None], features, np.nan))
        return site.with_columns(pd.DataFrame({COLUMN: scores}), self.meaning, NAME)

    @property
    def weight(self) -> float:
        """Share of its log-odds in the decision."""
        return self.share * self.model.card.skill.value

    def log_odds(self, scores: Floats) -> Floats:
        """Return (N,) log-odds of major damage or worse of scores (N,)."""
        return self.model.card.log_odds(scores)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the manifest."""
        return {"source": self.source, "weight_in_decision": self.weight, "card": asdict(self.model.card)}

    def finding(self, buildings: Buildings) -> Finding:
        """Return the finding on the role of the score in the decision."""
        scores = buildings.values(COLUMN)[buildings.assessed]
        missing = int(np.isnan(scores).sum())
        values = {"missing": missing or None, "assessed": len(scores)}
        if not self.weight:
            return Finding("look_shown", "note", values)
        fitted_on = Phrase("made_up_places")
        if self.source != LookModel.shipped:
            fitted_on = Phrase("graded_buildings", {"number": self.model.card.buildings})
        return Finding("look_used", "note", {**values, "weight": self.weight, "fitted_on": fitted_on})


def look_of_job(inputs: Inputs, settings: Settings, weight: float | None) -> Sequence[LookScore]:
    """Return the look score if the settings give it a share. Raises the errors of `LookScore.load`, and InputError for radar."""
    if settings.look is None and settings.look_from != LookModel.shipped:
        raise InputError(
            f"look_from={settings.look_from} has no share in the decision. Add --set look=0.5, or look=0 to show the score only."
        )
    if settings.look is None:
        return []
    if not inputs.after.is_optical(settings.sensor):
        raise InputError(
            f"{inputs.post.source} looks like radar (speckle); what buildings look like is known of optical images only. Leave out "
            "look, or --set sensor=optical if it is none."
        )
    look = LookScore.load(settings.look, settings.look_from)
    look.model.check_features(settings.look_from)
    return [look]
