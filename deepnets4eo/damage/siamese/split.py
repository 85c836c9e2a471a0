"""Which buildings are learnt from and which validated on: by blocks of each image, by image, or by event.

Takes labelled pairs and the recipe; assigns whole buildings, so that none is in both parts. Refuses splits that leave a
part without a graded building.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.damage.siamese.pairs import LEGEND, LabelledPair
from deepnets4eo.damage.siamese.recipe import PairSection
from deepnets4eo.errors import InputError
from deepnets4eo.training.splits import TRAIN, VAL, DataSplit, SplitRule, assign_blocks

Grades = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class BuildingSplit(DataSplit[LabelledPair]):
    """Pairs and the grades of their buildings by part.

    train, val : for each pair (N,) grades of its buildings, 255 for all that are not in the part.
    """

    train: Grades = field(default_factory=list)
    val: Grades = field(default_factory=list)

    def counts(self, grades: Grades) -> NDArray[np.int64]:
        """(K,) buildings of each grade in a part."""
        num_classes = Legend.load(LEGEND).num_classes
        return np.sum([np.bincount(of_pair, minlength=256)[:num_classes] for of_pair in grades], axis=0)

    @property
    def training_pairs(self) -> list[LabelledPair]:
        """Pairs with a training building."""
        return [pair for pair, grades in zip(self.scenes, self.train, strict=True) if (grades != VOID).any()]

    def describe(self) -> dict[str, Any]:
        """Plain values for the card and the metrics."""
        names = Legend.load(LEGEND).names
        counts = {
            part: dict(zip(names, self.counts(grades).tolist(), strict=True))
            for part, grades in ((TRAIN, self.train), (VAL, self.val))
        }
        validated = [pair.name for pair, split in zip(self.scenes, self.splits, strict=True) if VAL in split.parts]
        return {
            "kind": self.kind, "leaky": self.leaky, "buildings": counts, "pairs": len(self.scenes),
            "validated": validated,
        }  # fmt: skip


def split_buildings(pairs: Sequence[LabelledPair], data: PairSection, seed: int) -> BuildingSplit:
    """Split pairs as the recipe says. Errors: InputError when a part has no graded building."""
    rule = SplitRule(
        data.split, data.val_share, seed, val_names=data.val_names, names_key="data.val_names",
        block_px=data.block_px, buffer_px=data.buffer_px, narrow_buffer=True,
    )  # fmt: skip
    groups = [pair.event if data.split == "events" else pair.name for pair in pairs]
    pixels = DataSplit(pairs, assign_blocks(pairs, rule, groups), data.split)
    parts = [pixels.objects_in(number, pair.centres, pair.boxes) for number, pair in enumerate(pairs)]
    train, val = (
        [np.where(inside[part], pair.grades, VOID).astype(np.uint8) for pair, inside in zip(pairs, parts, strict=True)]
        for part in (0, 1)
    )
    split = BuildingSplit(pairs, pixels.splits, data.split, train=train, val=val)
    for part, grades in ((TRAIN, split.train), (VAL, split.val)):
        if not split.counts(grades).any():
            raise InputError(
                f"no graded building is left for the part {part!r} of {len(pairs)} pairs. Change data.val_share, "
                "data.block_px or data.buffer_px, or split by scenes or events."
            )
    return split
