"""The page for grading the buildings of a sample; see `outputs.served_page` for what all samples share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.damage.review.counts import CANNOT_TELL, CLOUD, NO_BUILDING
from deepnets4eo.damage.review.map_images import MapImages
from deepnets4eo.damage.review.rounds import Rounds
from deepnets4eo.damage.table.vocabulary import GRADES, TITLES, colors
from deepnets4eo.outputs.served_page import SamplePage

OTHERS: dict[str, tuple[str, Any]] = {  # answers that are no grade, without a colour
    NO_BUILDING: ("No building", None),
    CLOUD: ("Under cloud", None),
    CANNOT_TELL: ("Cannot tell", None),
}
MEANINGS = {  # of the two grades that are mistaken for one another; each has a picture in `assets`
    GRADES[1]: "Single parts of the roof are missing or torn, such as tiles or sheets. The building keeps its shape.",
    GRADES[2]: "A part of the roof or of a wall has fallen in, or new water or mud surrounds the building.",
}


class ReviewServer(SamplePage):
    """The page of a sample (GeoPackage) of the map in a folder; `reviewer` is written next to each answer. Raises InputError.

    count : buildings of a round, half of them chosen from earlier answers and half from the sample; None: only the sample.
    """

    def __init__(self, folder: Path, sample: Path, reviewer: str | None = None, count: int | None = None) -> None:
        self.rounds, images = Rounds(folder, sample, count), MapImages.open(folder)
        buildings = self.rounds.buildings
        shapes = buildings.geometry
        visible = ~(shapes.isna() | shapes.is_empty)
        event, palette = images.event, colors()
        about = {
            "unit": "building", "round": self.rounds.size, "event": event.get("name"), "place": event.get("place"),
            "aligned": images.aligned, "synthetic": images.synthetic,
            "meanings": [{"key": grade, "text": text} for grade, text in MEANINGS.items()],
            "dates": {role: event.get(f"date_{role}") for role in images.layers},
        }  # fmt: skip
        numbers = dict(zip(buildings["id"][visible], np.flatnonzero(visible).tolist(), strict=True))
        choices = {grade: (TITLES[grade], palette[grade]) for grade in GRADES} | OTHERS
        super().__init__(sample, images.layers, shapes.to_numpy(), numbers, choices, about, reviewer=reviewer)
        self.assets |= {f"meanings/{grade}": (__package__, f"{grade}.webp") for grade in MEANINGS}

    def samples(self) -> dict[str, Path]:
        """Return the sample, and the files of chosen buildings."""
        return super().samples() | {f"{path.stem}-": path for path in self.rounds.chosen}

    def state(self) -> dict[str, Any]:
        """Return what the answers show, see `Rounds.state`."""
        return self.rounds.state()
