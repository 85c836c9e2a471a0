"""Splits that follow the labels: single pixels, connected components, and folds of blocks that show every class.

Takes labelled scenes and the data section of a recipe; returns one split a scene. Reads each scene once, by windows: a
labelled pixel counts where all layers are valid. Memory: two bytes a pixel. Refuses scenes without labels.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.dataset_card import TRAIN, VAL
from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window, blocks
from deepnets4eo.tiling.pixel_splits import assign_folds, split_components, split_per_class, split_share
from deepnets4eo.tiling.splits import BlockSplit, SceneSplit
from deepnets4eo.training.recipe import DataSection

log = logging.getLogger(__name__)

LEAKY_KINDS = ("random", "random_pixels", "per_class")  # neighbours may lie in different parts
LABEL_KINDS = ("random_pixels", "per_class", "components", "folds")
BUFFER_PX = 32
READ_PX = 256
SMALLEST_BLOCK_PX, LARGEST_BLOCK_PX = 16, 512
LEAST_BLOCKS = 2  # of a scene
BLOCKS_PER_FOLD = 2  # along the shorter side, unless that makes blocks too small or too large


def split_by_labels(scenes: Sequence[Any], data: DataSection) -> list[SceneSplit]:
    """Split labelled scenes as `data.split` says: random_pixels, per_class, components or folds. Raises InputError
    where scenes have no labels, or a class cannot be in both splits."""
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
    """(h, w) uint8: class indices of a labelled scene; void 255 also where any layer is not valid."""
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
    sides = [data.block_px or min(_block_px(one.shape, data.folds), fitting) for one in labels]
    windows = [blocks(one.shape, side) for one, side in zip(labels, sides, strict=True)]
    of_block = [_counts(one, at, len(names)) for one, at in zip(labels, windows, strict=True)]
    counts = np.concatenate(of_block)
    if len(counts) < data.folds:
        raise InputError(
            f"data.folds={data.folds}, but the scenes have {len(counts)} blocks. {_advice(labels, data.folds)}"
        )
    for named, one, at, side in zip(scenes, labels, windows, sides, strict=True):
        if len(at) < LEAST_BLOCKS:
            raise InputError(
                f"scene {named.name!r} ({one.shape[0]} × {one.shape[1]} px) is one block of {side} px; data.split=folds needs two in  "
                f"each scene. {_advice([one], LEAST_BLOCKS)}"
            )
    fold_of = assign_folds(counts, data.folds, data.split_seed)
    _warn_of_few(counts, fold_of, names, data.folds)
    parts = np.split((fold_of == data.fold).astype(np.int8), np.cumsum([len(at) for at in windows])[:-1])
    shares = {TRAIN: 1 - 1 / data.folds, VAL: 1 / data.folds}
    splits = []
    for named, one, side, part in zip(scenes, labels, sides, parts, strict=True):
        down, across = (-(-length // side) for length in one.shape)
        buffer_px = min(BUFFER_PX, side // 4) if data.buffer_px is None else data.buffer_px
        if buffer_px >= side:
            raise InputError(
                f"scene {named.name!r} ({one.shape[0]} × {one.shape[1]} px) is too small for data.folds={data.folds} of "
                f"blocks of {side} px with a buffer of {buffer_px} px (half a patch, where a network labels patches). Choose "
                f"smaller patches (model.options={{patch_px: …}}), or data.block_px={buffer_px + 1} or more with fewer "
                "data.folds."
            )
        try:
            split = BlockSplit(one.shape, side, buffer_px, shares, data.split_seed, part.reshape(down, across))
        except InputError as error:
            raise InputError(f"scene {named.name!r} cannot be split in folds: {error}") from error
        splits.append(split)
    return splits


def _block_px(shape: tuple[int, ...], folds: int) -> int:
    side = int(np.clip(min(shape) // (BLOCKS_PER_FOLD * folds), SMALLEST_BLOCK_PX, LARGEST_BLOCK_PX))
    return min(side, max(max(shape) // LEAST_BLOCKS, 1))  # of a scene that small there would be one block


def _advice(labels: Sequence[NDArray[np.uint8]], number: int) -> str:
    largest = _largest_px(labels, number)
    if largest < SMALLEST_BLOCK_PX:  # which no recipe can name
        return "Leave data.block_px out, so that blocks are cut as small as needed, or take fewer data.folds."
    return f"Set data.block_px={largest} or less, or leave it out."


def _largest_px(labels: Sequence[NDArray[np.uint8]], number: int) -> int:
    """The largest side of blocks of which the scenes together have so many."""
    sides = range(max(max(one.shape) for one in labels), 0, -1)
    return next(side for side in sides if side == 1 or sum(len(blocks(one.shape, side)) for one in labels) >= number)


def _counts(labels: NDArray[np.uint8], windows: Sequence[Window], num_classes: int) -> NDArray[np.int64]:
    """(blocks, K) pixels of each class."""
    return np.stack([np.bincount(labels[at.slices].ravel(), minlength=256)[:num_classes] for at in windows])


def _warn_of_few(counts: NDArray[np.int64], fold_of: NDArray[np.int64], names: Sequence[str], folds: int) -> None:
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
