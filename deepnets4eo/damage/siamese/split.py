"""Which buildings are learnt from and which validated on: by blocks of each image, by image, or by event.

Takes labelled pairs and the recipe; deals out whole buildings, so that none lies in both parts. Refuses divisions that
leave a part without a graded building.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.damage.siamese.pairs import LEGEND, LabelledPair
from deepnets4eo.damage.siamese.recipe import PairSection
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.tiling.splits import BlockSplit

TRAIN, VAL = "train", "val"
SMALLEST_BLOCK_PX, LARGEST_BLOCK_PX, BLOCKS_ALONG = 64, 512, 5


@dataclass(frozen=True)
class BuildingSplit:
    """Pairs dealt out.

    splits : the blocks of each pair. train, val : (N,) grades of its buildings, 255 for all that are not in the part.
    """

    pairs: Sequence[LabelledPair]
    splits: Sequence[BlockSplit]
    train: Sequence[NDArray[np.uint8]]
    val: Sequence[NDArray[np.uint8]]
    kind: str

    def hidden(self, pair: int, window: Window) -> NDArray[np.bool_] | None:
        """(h, w) bool, pixels of validation blocks that training must not see; None where there are none."""
        split = self.splits[pair]
        if VAL not in split.parts or not split.intersects_part(VAL, window):
            return None
        return split.mask(VAL, window)

    def counts(self, part: Sequence[NDArray[np.uint8]]) -> NDArray[np.int64]:
        """(K,) buildings of each grade in a part."""
        num_classes = Legend.load(LEGEND).num_classes
        return np.sum([np.bincount(grades, minlength=256)[:num_classes] for grades in part], axis=0)

    def to_geojson(self) -> dict[str, Any]:
        """All blocks of all pairs, with the properties `scene` and `part`."""
        features = []
        for pair, split in zip(self.pairs, self.splits, strict=True):
            for feature in split.to_geojson(pair.grid)["features"]:
                features.append({**feature, "properties": {"scene": pair.name, **feature["properties"]}})
        return {"type": "FeatureCollection", "split": self.describe(), "features": features}

    def describe(self) -> dict[str, Any]:
        """Plain values for the card and the metrics."""
        names = Legend.load(LEGEND).names
        counts = {
            part: dict(zip(names, self.counts(grades).tolist(), strict=True))
            for part, grades in ((TRAIN, self.train), (VAL, self.val))
        }
        validated = [pair.name for pair, split in zip(self.pairs, self.splits, strict=True) if VAL in split.parts]
        return {
            "kind": self.kind,
            "leaky": False,
            "buildings": counts,
            "pairs": len(self.pairs),
            "validated": validated,
        }


def split_buildings(pairs: Sequence[LabelledPair], data: PairSection, seed: int) -> BuildingSplit:
    """Deal out pairs as the recipe says. Errors: InputError when a part has no graded building."""
    splits = _blocks(pairs, data, seed) if data.split == "blocks" else _split_whole_pairs(pairs, data, seed)
    dealt = [_assign_building(pair, split) for pair, split in zip(pairs, splits, strict=True)]
    division = BuildingSplit(pairs, splits, [train for train, _ in dealt], [val for _, val in dealt], data.split)
    for part, grades in ((TRAIN, division.train), (VAL, division.val)):
        if not division.counts(grades).any():
            raise InputError(
                f"no graded building is left for the part {part!r} of {len(pairs)} pairs. Change data.val_share, "
                "data.block_px or data.buffer_px, or split by scenes or events."
            )
    return division


def _blocks(pairs: Sequence[LabelledPair], data: PairSection, seed: int) -> list[BlockSplit]:
    shares = {TRAIN: 1 - data.val_share, VAL: data.val_share}
    splits = []
    for number, pair in enumerate(pairs):
        shape = pair.shape
        block_px = data.block_px or int(np.clip(min(shape) // BLOCKS_ALONG, SMALLEST_BLOCK_PX, LARGEST_BLOCK_PX))
        try:
            splits.append(BlockSplit(shape, block_px, min(data.buffer_px, block_px - 1), shares, seed + number))
        except InputError as error:
            raise InputError(f"pair {pair.name!r} cannot be split: {error} Or set data.split=scenes.") from error
    return splits


def _split_whole_pairs(pairs: Sequence[LabelledPair], data: PairSection, seed: int) -> list[BlockSplit]:
    """Each pair as a whole in one part, those of one event together where events are dealt out."""
    groups = [pair.event if data.split == "events" else pair.name for pair in pairs]
    names = sorted(set(groups))
    if data.val_names:
        chosen = {name for name in names if any(fnmatchcase(name, pattern) for pattern in data.val_names)}
    else:
        count = max(1, round(data.val_share * len(names)))
        chosen = {names[place] for place in np.random.default_rng(seed).permutation(len(names))[:count]}
    if not chosen or len(chosen) == len(names):
        raise InputError(
            f"data.split={data.split} leaves {len(chosen)} of {len(names)} for validation; both parts need one. "
            f"There are {', '.join(names[:8])}; choose with data.val_names, or set data.split=blocks."
        )
    return [
        BlockSplit(pair.shape, max(pair.shape), 0, {VAL if group in chosen else TRAIN: 1.0})
        for pair, group in zip(pairs, groups, strict=True)
    ]


def _assign_building(pair: LabelledPair, split: BlockSplit) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Grades to learn from and to validate on; a building goes where its middle lies, or nowhere."""
    row, col = (pair.centres // split.block_px).T
    part = np.array(split.parts, dtype=object)[split.block_assignment[row, col]]
    train = (part == TRAIN) & ~_near_validation(pair.boxes, split)
    return np.where(train, pair.grades, VOID).astype(np.uint8), np.where(part == VAL, pair.grades, VOID).astype(
        np.uint8
    )


def _near_validation(boxes: NDArray[np.int64], split: BlockSplit) -> NDArray[np.bool_]:
    """Buildings that reach into a validation block or its buffer."""
    near = np.zeros(len(boxes), bool)
    for block in split.blocks(VAL) if VAL in split.parts and TRAIN in split.parts else []:
        reach = block.grown(split.buffer_px)
        near |= (
            (boxes[:, 0] < reach.row + reach.height) & (boxes[:, 2] > reach.row)
            & (boxes[:, 1] < reach.col + reach.width) & (boxes[:, 3] > reach.col)
        )  # fmt: skip
    return near
