"""Which part of each scene is learnt from and which is validated on.

Takes opened scenes and the data section of a recipe; gives masks, windows and the split as GeoJSON.
No pixel of a validation block is shown to the network in training; random splits break that, and are called leaky.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.dataset_card import TRAIN, DatasetCard
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.tiling.splits import BlockSplit
from deepnets4eo.training.recipe import DataSection
from deepnets4eo.training.scenes import Keep, NamedScene

VAL = "val"
BUFFER_PX = 32
SMALLEST_BLOCK_PX, LARGEST_BLOCK_PX = 64, 512
BLOCKS_ALONG = 5  # of the shorter side, unless that makes blocks too large or too small


@dataclass(frozen=True)
class SampleWindow:
    """A window of one of the scenes."""

    scene: int
    window: Window


@dataclass(frozen=True)
class DataSplit:
    """A split over several scenes; `leaky` when neighbouring pixels may lie in different parts.

    dataset : the card, its split and the part that all of the scenes are of, where they are those of a dataset.
    """

    scenes: Sequence[NamedScene]
    splits: Sequence[BlockSplit]
    kind: str
    dataset: Mapping[str, str] = field(default_factory=dict)

    @property
    def leaky(self) -> bool:
        """Whether scores on the validation part are optimistic by construction."""
        return self.kind == "random"

    def usable(self, scene: int, part: str) -> Keep:
        """A function window -> (h, w) bool: the pixels of a part."""
        return lambda window: self.mask(scene, part, window)

    def mask(self, scene: int, part: str, window: Window) -> NDArray[np.bool_]:
        """(h, w) bool, True for the pixels of the part in a window of that scene; none beyond the edge."""
        split = self.splits[scene]
        if part not in split.parts:
            return np.zeros((window.height, window.width), bool)
        return split.mask(part, window)

    def touches_validation(self, place: SampleWindow) -> bool:
        """Whether a window shows any pixel of a validation block."""
        split = self.splits[place.scene]
        return VAL in split.parts and split.intersects_part(VAL, place.window)

    def places(self, part: str, window_px: int) -> list[SampleWindow]:
        """Windows that cover a part once."""
        return [
            SampleWindow(scene, window)
            for scene, split in enumerate(self.splits)
            if part in split.parts
            for window in split.windows(part, window_px)
        ]

    def random_place(self, scene: int, window_px: int, rng: np.random.Generator) -> SampleWindow:
        """A window centred in the training part of a scene."""
        return SampleWindow(scene, self.splits[scene].random_windows(TRAIN, window_px, 1, rng)[0])

    def areas(self, part: str) -> NDArray[np.float64]:
        """Pixels of the part's blocks in each scene."""
        return np.array([
            sum(block.height * block.width for block in split.blocks(part)) if part in split.parts else 0
            for split in self.splits
        ], float)  # fmt: skip

    def to_geojson(self) -> dict[str, Any]:
        """All blocks of all scenes, with the properties `scene` and `part`."""
        features = []
        for named, split in zip(self.scenes, self.splits, strict=True):
            for feature in split.to_geojson(named.scene.grid)["features"]:
                features.append({**feature, "properties": {"scene": named.name, **feature["properties"]}})
        return {"type": "FeatureCollection", "split": self.describe(), "features": features}

    def describe(self) -> dict[str, Any]:
        """Plain values for the card and the metrics."""
        return {
            "kind": self.kind,
            "leaky": self.leaky,
            "block_px": sorted({split.block_px for split in self.splits}),
            "buffer_px": sorted({split.buffer_px for split in self.splits}),
            "scenes": {named.name: split.parts for named, split in zip(self.scenes, self.splits, strict=True)},
            **({"dataset": dict(self.dataset)} if self.dataset else {}),
        }


def make_split(scenes: Sequence[NamedScene], data: DataSection) -> DataSplit:
    """Split scenes as the recipe says: blocks of each scene, whole scenes, or tiles at random (leaky).

    Errors: InputError when a part would stay empty.
    """
    if data.split == "scenes":
        return DataSplit(scenes, _by_scene(scenes, data), data.split, _dataset(data))
    shares = {TRAIN: 1 - data.val_share, VAL: data.val_share}
    splits = []
    for number, named in enumerate(scenes):
        shape = named.scene.shape
        block_px = data.tile_px if data.split == "random" else data.block_px or _block_px(shape)
        buffer_px = 0 if data.split == "random" else _buffer_px(data, block_px)
        try:
            splits.append(BlockSplit(shape, block_px, buffer_px, shares, data.split_seed + number))
        except InputError as error:
            raise InputError(f"scene {named.name!r} cannot be split: {error} Or set data.split=scenes.") from error
    return DataSplit(scenes, splits, data.split, _dataset(data))


def _dataset(data: DataSection) -> dict[str, str]:
    """Which part of which dataset all scenes are of; its test part is in none of them."""
    if data.dataset is None or data.scenes:
        return {}
    card = DatasetCard.load(data.dataset)
    return {"name": card.name} | ({"split": card.split(data.dataset_split)[0], "part": TRAIN} if card.splits else {})


def _block_px(shape: tuple[int, int]) -> int:
    return int(np.clip(min(shape) // BLOCKS_ALONG, SMALLEST_BLOCK_PX, LARGEST_BLOCK_PX))


def _buffer_px(data: DataSection, block_px: int) -> int:
    return min(BUFFER_PX, block_px // 4) if data.buffer_px is None else data.buffer_px


def _by_scene(scenes: Sequence[NamedScene], data: DataSection) -> list[BlockSplit]:
    names = [named.name for named in scenes]
    if data.val_scenes:
        chosen = {name for name in names if any(fnmatchcase(name, pattern) for pattern in data.val_scenes)}
    else:
        count = max(1, round(data.val_share * len(names)))
        chosen = {names[place] for place in np.random.default_rng(data.split_seed).permutation(len(names))[:count]}
    if not chosen or len(chosen) == len(names):
        raise InputError(
            f"data.split=scenes leaves {len(chosen)} of {len(names)} scenes for validation; both parts need one. "
            f"Scenes are {', '.join(names[:8])}; choose with data.val_scenes, or set data.split=blocks."
        )
    return [
        BlockSplit(named.scene.shape, max(named.scene.shape), 0, {VAL if named.name in chosen else TRAIN: 1.0})
        for named in scenes
    ]
