"""Split of the data into training and validation: the one builder of splits, for every task.

No pixel of a validation block is seen in training; random splits break that, and are called leaky. Memory: two bytes per pixel.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.addresses import portable_name
from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.cards import VOID, DatasetCard, SplitPart
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import Keep, SplitMap
from deepnets4eo.grid import Grid, Window, blocks
from deepnets4eo.rasters import CogWriter
from deepnets4eo.tiling import BlockSplit, SceneSplit, random_windows
from deepnets4eo.training.ground import ground_groups, learnt_share, twins_of
from deepnets4eo.training.pixel_splits import assign_folds, split_components, split_per_class, split_share
from deepnets4eo.training.recipe import DataSection, RecipeType

WHOLE = "none"  # kind of a split without validation part
SMALLEST_BLOCK_PX, LARGEST_BLOCK_PX = 64, 512
BLOCKS_ALONG = 5  # of the shorter side, unless that makes blocks too large or too small
log = logging.getLogger(__name__)
MIN_LEARNT = 0.01  # of the validated ground: less are edges
LEAKY_KINDS = ("random", "random_pixels", "per_class")  # neighbours may lie in different parts
LABEL_KINDS = ("random_pixels", "per_class", "components", "folds")
BUFFER_PX = 32
READ_PX = 256
SMALLEST_FOLD_BLOCK_PX = 16
MIN_BLOCKS = 2  # of a scene
VIEWS, MAX_WINDOWS, MIN_BATCHES = 16, 1000, 2  # windows an epoch: views of each pixel, and their bounds
BLOCKS_PER_FOLD = 2  # along the shorter side, unless that makes blocks too small or too large


class SplitScene(Protocol):
    """Interface that a split needs from a scene."""

    @property
    def name(self) -> str:
        """The name of the scene, unique among all scenes."""

    @property
    def grid(self) -> Grid:
        """Return the grid of the scene's pixels."""


SceneT = TypeVar("SceneT", bound=SplitScene)


@dataclass(frozen=True)
class SampleWindow:
    """A window of one of the scenes; scene : its index."""

    scene: int
    window: Window


@dataclass(frozen=True)
class DataSplit(Generic[SceneT]):
    """A split over several scenes, of the dataset's part that `dataset` names; `leaky` if neighbours may be in different splits."""

    scenes: Sequence[SceneT]
    splits: Sequence[SceneSplit]
    kind: str
    dataset: Mapping[str, str] = field(default_factory=dict)

    @property
    def leaky(self) -> bool:
        """Return whether validation scores are optimistic by construction: neighbours or the same ground are learnt from."""
        return self.mixes_neighbours or self.learnt_ground > MIN_LEARNT

    @property
    def mixes_neighbours(self) -> bool:
        """Return whether neighbours in one scene may be in different parts."""
        return self.kind in LEAKY_KINDS

    @cached_property
    def learnt_ground(self) -> float:
        """The share of the validated ground that other scenes let the training learn from."""
        return learnt_share(self.scenes, self.splits, SplitPart.train, SplitPart.val) if self.validated else 0.0

    def describe_leaks(self) -> dict[str, Any]:
        """Return whether the split is leaky and, if it is, the share of validated ground that is learnt from."""
        learnt = {"learnt_ground": round(self.learnt_ground, 4)} if self.learnt_ground > MIN_LEARNT else {}
        return {"leaky": self.leaky, **learnt}

    @property
    def validated(self) -> bool:
        """Return whether any part of the scenes is kept for validation."""
        return any(SplitPart.val in split.parts for split in self.splits)

    def usable(self, scene: int, part: str) -> Keep:
        """Return a function window -> (h, w) bool: the pixels of a part."""
        return lambda window: self.mask(scene, part, window)

    def mask(self, scene: int, part: str, window: Window) -> Mask:
        """Return (h, w) whether a pixel in a window of that scene is of the part; False beyond the edge."""
        split = self.splits[scene]
        if part not in split.parts:
            return np.zeros((window.height, window.width), bool)
        return split.mask(part, window)

    def touches_validation(self, scene: int, window: Window) -> bool:
        """Return whether training must not see all of a window: it reaches into a validation block, and the split is not leaky."""
        split = self.splits[scene]
        return (
            not self.mixes_neighbours and SplitPart.val in split.parts and split.intersects_part(SplitPart.val, window)
        )

    def hidden_mask(self, scene: int, window: Window) -> Mask | None:
        """Return (h, w) bool, the pixels of a window that training must not see; None if it may see all."""
        return self.mask(scene, SplitPart.val, window) if self.touches_validation(scene, window) else None

    def windows(self, part: str, window_px: int) -> list[SampleWindow]:
        """Windows that cover a part once."""
        return [
            SampleWindow(scene, window)
            for scene, split in enumerate(self.splits)
            if part in split.parts
            for window in split.windows(part, window_px)
        ]

    def random_window(self, scene: int, window_px: int, rng: np.random.Generator) -> SampleWindow:
        """Draw a window centred in the training part of a scene; if the whole scene is training, a window anywhere inside."""
        split = self.splits[scene]
        if self.kind == WHOLE:
            return SampleWindow(scene, random_windows(split.shape, window_px, 1, rng)[0])
        return SampleWindow(scene, self.splits[scene].random_windows(SplitPart.train, window_px, 1, rng)[0])

    def areas(self, part: str) -> Floats:
        """Pixels of the part in each scene, the buffer of blocks included."""
        return np.array([split.area(part) if part in split.parts else 0 for split in self.splits], float)

    def objects_in(self, scene: int, centres: Indices, boxes: Indices) -> tuple[Mask, Mask]:
        """Return which objects of a scene are for training and which for validation, by their centres (N, 2) and reach."""
        split = self.splits[scene]
        return split.contains(SplitPart.train, centres) & ~split.near(SplitPart.val, boxes), split.contains(
            SplitPart.val, centres
        )

    def to_geojson(self) -> dict[str, Any]:
        """All blocks of all scenes, with the properties `scene` and `part`."""
        features = []
        for named, split in zip(self.scenes, self.splits, strict=True):
            for feature in split.to_geojson(named.grid)["features"]:
                features.append({**feature, "properties": {"scene": named.name, **feature["properties"]}})
        return {"type": "FeatureCollection", "split": self.describe(), "features": features}

    def describe(self) -> dict[str, Any]:
        """Plain values for the card and the metrics."""
        sizes = [split.describe() for split in self.splits]
        return {
            "kind": self.kind,
            **self.describe_leaks(),
            **{name: sorted({size[name] for size in sizes}) for name in sizes[0] if name.endswith("_px")},
            **{name: sum(size[name] for size in sizes) for name in sizes[0] if name.endswith("_pixels")},
            "scenes": {named.name: split.parts for named, split in zip(self.scenes, self.splits, strict=True)},
            **({"dataset": dict(self.dataset)} if self.dataset else {}),
        }


@dataclass(frozen=True)
class SplitRule:
    """Rule for splitting scenes: "blocks" of each scene, "random" blocks without buffer (leaky), or whole scenes or groups."""

    kind: str
    val_share: float
    seed: int
    val_names: Sequence[str] = ()
    names_key: str = "data.val_scenes"
    block_px: int | None = None
    buffer_px: int | None = None
    narrow_buffer: bool = False

    @property
    def whole(self) -> bool:
        """Return whether all of every scene is learnt from, and nothing validated."""
        return self.val_share == 0 and not self.val_names

    def split_scene(self, name: str, shape: tuple[int, int], number: int) -> BlockSplit:
        """Split one scene into blocks; number : its index, so that no two scenes are split alike."""
        block_px = self.block_px or int(np.clip(-(-min(shape) // BLOCKS_ALONG), SMALLEST_BLOCK_PX, LARGEST_BLOCK_PX))
        buffer_px = min(BUFFER_PX, block_px // 4) if self.buffer_px is None else self.buffer_px
        if self.narrow_buffer:
            buffer_px = min(buffer_px, block_px - 1)
        shares = {SplitPart.train: 1 - self.val_share, SplitPart.val: self.val_share}
        try:
            return BlockSplit(shape, block_px, 0 if self.kind == "random" else buffer_px, shares, self.seed + number)
        except InputError as error:
            raise InputError(f"scene {name!r} cannot be split: {error} Or set data.split=scenes.") from error

    def choose_validation(self, names: Sequence[str]) -> set[str]:
        """Choose the names that are validated on as a whole. Errors: InputError if none or all are chosen."""
        if self.val_names:
            chosen = {name for name in names if any(fnmatchcase(name, pattern) for pattern in self.val_names)}
        else:
            count = max(1, round(self.val_share * len(names)))
            chosen = {names[index] for index in np.random.default_rng(self.seed).permutation(len(names))[:count]}
        if not chosen or len(chosen) == len(names):
            raise InputError(
                f"data.split={self.kind} leaves {len(chosen)} of {len(names)} {self.kind} for validation; both parts need "
                f"one. There are {', '.join(names[:8])}; choose with {self.names_key}, or set data.split=blocks."
            )
        return chosen

    def assign_blocks(self, scenes: Sequence[SplitScene], groups: Sequence[str] | None = None) -> list[BlockSplit]:
        """Assign every block to training or validation only by the seed of the rule; `groups` name what stays together."""
        shapes = [(int(scene.grid.shape[0]), int(scene.grid.shape[1])) for scene in scenes]
        if self.whole:
            return [BlockSplit(shape, max(shape), 0, {SplitPart.train: 1.0}) for shape in shapes]
        if self.kind in ("blocks", "random"):
            pairs = zip(twins_of(scenes), scenes, shapes, strict=True)  # the same pixels are in the same blocks
            return [self.split_scene(scene.name, shape, twin) for twin, scene, shape in pairs]
        names = list(dict.fromkeys(scene.name for scene in scenes)) if groups is None else sorted(set(groups))
        chosen = (_choose_ground(scenes, self) if groups is None else set()) or self.choose_validation(names)
        group_of = [scene.name for scene in scenes] if groups is None else groups
        return [
            BlockSplit(shape, max(shape), 0, {SplitPart.val if group in chosen else SplitPart.train: 1.0})
            for shape, group in zip(shapes, group_of, strict=True)
        ]


def _choose_ground(scenes: Sequence[SplitScene], rule: SplitRule) -> set[str]:
    """Choose validation scenes if some scenes show the ground of others; keep all scenes of one ground together.

    Returns an empty set if this is not needed or not possible."""
    groups = [] if rule.val_names else ground_groups(scenes)
    members: dict[int, list[str]] = {}
    for scene, first in zip(scenes, groups, strict=False):
        members.setdefault(first, []).append(scene.name)
    if not 1 < len(members) < len(scenes):
        return set()
    wanted, chosen = max(1, round(rule.val_share * len(scenes))), list[str]()
    drawn = [list(members)[index] for index in np.random.default_rng(rule.seed).permutation(len(members))]
    for first in drawn:
        if len(chosen) + len(members[first]) <= wanted:
            chosen += members[first]
    log.info(
        "%d scenes show the ground of others, and are validated on or learnt from together with them.",
        len(scenes) - len(members),
    )
    smallest: list[str] = min(members.values(), key=len)
    return set(chosen or smallest)


def say_learnt_ground(split: DataSplit[Any]) -> None:
    """Warn where validated ground is learnt from in other scenes."""
    if split.learnt_ground > MIN_LEARNT:
        log.warning(
            "%.0f %% of the validated ground is learnt from in other scenes that overlap it or are the same under another name, so the scores are "
            "leaky. Choose scenes apart from the others with data.split=scenes and data.val_scenes, or mosaic the tiles (gdalbuildvrt) "
            "and split that in blocks.", 100 * split.learnt_ground,
        )  # fmt: skip


def make_split(scenes: Sequence[SceneT], data: DataSection) -> DataSplit[SceneT]:
    """Split scenes according to the data section of a recipe.

    Errors: InputError when a part would stay empty, or a class cannot be in both.

    Parameters
    ----------
    scenes : scenes with a name and a grid, e.g. of `open_scenes` or `open_layers`.
    data
        `split`: blocks of each scene, whole scenes, or tiles at random (leaky), by `val_share`, `val_scenes`, `split_seed`,
        `block_px` and `buffer_px`; without the first two all is learnt from. Of labelled scenes see also `split_by_labels`.

    Returns
    -------
    The parts `train` and `val` of every scene; only `train` if nothing is validated.
    """
    rule = SplitRule(
        data.split, data.val_share, data.split_seed, val_names=data.val_scenes,
        block_px=data.tile_px if data.split == "random" else data.block_px, buffer_px=data.buffer_px,
    )  # fmt: skip
    splits: Sequence[SceneSplit]
    if data.split in LABEL_KINDS and not rule.whole:
        splits = split_by_labels(scenes, data)
    else:
        splits = rule.assign_blocks(scenes)
    split = DataSplit(scenes, splits, WHOLE if rule.whole else data.split, _dataset(data))
    say_learnt_ground(split)
    return split


def windows_by_area(split: DataSplit[Any], recipe: RecipeType) -> RecipeType:
    """Return the recipe with its windows per epoch, by the area that is learnt from if `data.windows_per_epoch` is 0."""
    data = recipe.data
    if data.windows_per_epoch:
        return recipe
    views = math.ceil(VIEWS * split.areas(SplitPart.train).sum() / data.tile_px**2)
    count = min(max(views, MIN_BATCHES * recipe.train.usual_batch_size), MAX_WINDOWS)
    log.info("data.windows_per_epoch=0: %d windows an epoch, by the area that is learnt from", count)
    return recipe.model_copy(update={"data": data.model_copy(update={"windows_per_epoch": count})})


def _dataset(data: DataSection) -> dict[str, str]:
    """Return the dataset and the part that all scenes are from; its test part is in none of them."""
    if data.dataset is None or data.scenes:
        return {}
    card = DatasetCard.load(data.dataset)
    return {"name": card.name} | (
        {"split": card.split(data.dataset_split)[0], "part": SplitPart.train} if card.splits else {}
    )


def write_split_maps(split: DataSplit[Any], out: Path) -> list[Path]:
    """Write `split/SCENE.tif` (1 learnt, 2 withheld, 255 neither) for each scene that is divided, and return the rasters."""
    paths: list[Path] = []
    for number, (named, of_scene) in enumerate(zip(split.scenes, split.splits, strict=True)):
        if not {SplitPart.train, SplitPart.val} <= set(of_scene.parts):
            continue
        path = _map_path(out / SplitMap.folder, named.name, paths)
        tags = {SplitMap.scene_tag: named.name, "LEGEND": json.dumps(SplitMap.legend.to_dict())}
        with CogWriter(path, named.grid, nodata=VOID, categorical=True, tags=tags) as writer:
            for window in writer.windows:
                learnt, withheld = (split.mask(number, part, window) for part in (SplitPart.train, SplitPart.val))
                parts = np.select([withheld, learnt], [SplitMap.withheld, SplitMap.learnt], VOID)
                writer.write(window, parts.astype(np.uint8))
        paths.append(path)
    return paths


def _map_path(folder: Path, name: str, used: list[Path]) -> Path:
    """Return a file path named like the scene, with special characters of its name replaced."""
    stem = portable_name(name)
    taken = {path.name.lower() for path in used}  # disks of Windows and macOS take A.tif and a.tif for one file
    return folder / (f"{stem}-{len(used)}.tif" if f"{stem}.tif".lower() in taken else f"{stem}.tif")


def split_by_labels(scenes: Sequence[Any], data: DataSection) -> list[SceneSplit]:
    """Split scenes by random_pixels, per_class, components or folds; InputError without labels, or for a class in one split only."""
    if not all(hasattr(named, "labels") for named in scenes):
        raise InputError(f"data.split={data.split} follows labels, and this task has none. Set data.split=blocks.")
    labels, names = [valid_labels(named) for named in scenes], scenes[0].labels.legend.names
    seed = data.split_seed
    if data.split == "random_pixels":
        return list(split_share(labels, names, data.val_share, seed))
    if data.split == "per_class":
        return list(split_per_class(labels, names, data.pixels_per_class, seed))
    if data.split == "components":
        buffer_px = BUFFER_PX if data.buffer_px is None else data.buffer_px
        return list(split_components(labels, names, data.val_share, buffer_px, seed))
    return list(_folds(scenes, labels, names, data))


def valid_labels(named: Any) -> NDArray[np.uint8]:
    """Return (h, w) uint8 class indices of a labelled scene; void 255 also where any layer is not valid."""
    labels = np.empty(named.scene.shape, np.uint8)
    layers = [name for name in named.scene.layers if name != "labels"]
    for window in blocks(labels.shape, READ_PX):
        labels[window.slices] = values = named.labels.reader.read(window)
        if (values != VOID).any():  # cubes of gigabytes often have few labels
            labels[window.slices] = np.where(named.scene.read(window, layers)["valid"], values, VOID)
    return labels


def _folds(
    scenes: Sequence[Any], labels: Sequence[NDArray[np.uint8]], names: Sequence[str], data: DataSection
) -> list[BlockSplit]:
    """Blocks of all scenes in k folds; fold number `data.fold` is validated on."""
    fitting = _largest_px(labels, data.folds)  # else a small scene has fewer blocks than folds
    sides = [data.block_px or min(_block_px(raster.shape, data.folds), fitting) for raster in labels]
    windows = [blocks(raster.shape, side) for raster, side in zip(labels, sides, strict=True)]
    of_block = [_counts(raster, cells, len(names)) for raster, cells in zip(labels, windows, strict=True)]
    counts = np.concatenate(of_block)
    if len(counts) < data.folds:
        raise InputError(
            f"data.folds={data.folds}, but the scenes have {len(counts)} blocks. {_advice(labels, data.folds)}"
        )
    for named, raster, cells, side in zip(scenes, labels, windows, sides, strict=True):
        if len(cells) < MIN_BLOCKS:
            raise InputError(
                f"scene {named.name!r} ({raster.shape[0]} × {raster.shape[1]} px) is one block of {side} px; data.split=folds needs two in  "
                f"each scene. {_advice([raster], MIN_BLOCKS)}"
            )
    fold_of = assign_folds(counts, data.folds, data.split_seed)
    _warn_of_few(counts, fold_of, names, data.folds)
    parts = np.split((fold_of == data.fold).astype(np.int8), np.cumsum([len(cells) for cells in windows])[:-1])
    shares = {SplitPart.train: 1 - 1 / data.folds, SplitPart.val: 1 / data.folds}
    splits = []
    for named, raster, side, part in zip(scenes, labels, sides, parts, strict=True):
        down, across = (-(-length // side) for length in raster.shape)
        buffer_px = min(BUFFER_PX, side // 4) if data.buffer_px is None else data.buffer_px
        if buffer_px >= side:
            raise InputError(
                f"scene {named.name!r} ({raster.shape[0]} × {raster.shape[1]} px) is too small for data.folds={data.folds} of "
                f"blocks of {side} px with a buffer of {buffer_px} px (half a patch, where a network labels patches). Choose "
                f"smaller patches (model.options={{patch_px: …}}), or data.block_px={buffer_px + 1} or more with fewer "
                "data.folds."
            )
        try:
            split = BlockSplit(raster.shape, side, buffer_px, shares, data.split_seed, part.reshape(down, across))
        except InputError as error:
            raise InputError(f"scene {named.name!r} cannot be split in folds: {error}") from error
        splits.append(split)
    return splits


def _block_px(shape: tuple[int, ...], folds: int) -> int:
    side = int(np.clip(min(shape) // (BLOCKS_PER_FOLD * folds), SMALLEST_FOLD_BLOCK_PX, LARGEST_BLOCK_PX))
    return min(side, max(max(shape) // MIN_BLOCKS, 1))  # of a scene that small there would be one block


def _advice(labels: Sequence[NDArray[np.uint8]], number: int) -> str:
    largest = _largest_px(labels, number)
    if largest < SMALLEST_FOLD_BLOCK_PX:  # which no recipe can name
        return "Leave data.block_px out, so that blocks are cut as small as needed, or take fewer data.folds."
    return f"Set data.block_px={largest} or less, or leave it out."


def _largest_px(labels: Sequence[NDArray[np.uint8]], number: int) -> int:
    """Return the largest side of blocks that divides the scenes into at least `number` blocks in total."""
    sides = range(max(max(raster.shape) for raster in labels), 0, -1)
    return next(
        side for side in sides if side == 1 or sum(len(blocks(raster.shape, side)) for raster in labels) >= number
    )


def _counts(labels: NDArray[np.uint8], windows: Sequence[Window], num_classes: int) -> Indices:
    """(blocks, K) pixels of each class."""
    return np.stack([np.bincount(labels[window.slices].ravel(), minlength=256)[:num_classes] for window in windows])


def _warn_of_few(counts: Indices, fold_of: Indices, names: Sequence[str], folds: int) -> None:
    """Warn of classes that are not in every fold: they are missing where such a fold is validated on, or from training."""
    few = [
        f"{name} in {len(set(fold_of[showing]))}"
        for name, showing in zip(names, counts.T > 0, strict=True)
        if showing.any() and len(set(fold_of[showing])) < folds
    ]
    if few:
        log.warning(
            "Not in all %d folds: %s. Such classes lie in too few blocks: set a smaller data.block_px, or fewer folds.",
            folds, ", ".join(few),
        )  # fmt: skip
