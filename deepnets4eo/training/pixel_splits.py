"""Assignment of a scene's single pixels to parts such as training and validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window, blocks
from deepnets4eo.tiling import outline

NO_PART, IN_TRAINING, IN_VALIDATION = 0, 1, 2  # values of a part map
PARTS = ("train", "val")
CELL_PX = 64  # of the GeoJSON, which counts pixels by cell

PartMap = NDArray[np.uint8]
Labels = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class PixelSplit:
    """Pixels of a scene by `part_map` (h, w): 1 training, at least `buffer_px` from 2 validation, 0 neither."""

    part_map: PartMap
    buffer_px: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Return (h, w) of the scene, pixels."""
        height, width = self.part_map.shape
        return height, width

    @property
    def parts(self) -> list[str]:
        """Names of the parts; the first is trained on."""
        return list(PARTS)

    def mask(self, part: str, window: Window) -> Mask:
        """Return (h, w) whether a pixel of the window belongs to a part; False beyond the edge."""
        inside = np.zeros((window.height, window.width), bool)
        clipped = window.clip(self.shape)
        inside[clipped.within(window).slices] = self.part_map[clipped.slices] == self._value(part)
        return inside

    def area(self, part: str) -> int:
        """Pixels of a part."""
        return int(np.count_nonzero(self.part_map == self._value(part)))

    def intersects_part(self, part: str, window: Window) -> bool:
        """Return whether a window shows any pixel of a part."""
        return bool((self.part_map[window.clip(self.shape).slices] == self._value(part)).any())

    def windows(self, part: str, window_px: int) -> list[Window]:
        """Windows that do not overlap and show every pixel of a part; others of its pixels are not in the part."""
        return [window for window in blocks(self.shape, window_px) if self.intersects_part(part, window)]

    def random_windows(self, part: str, window_px: int, count: int, rng: np.random.Generator) -> list[Window]:
        """`count` windows centred on pixels of a part, moved inside the scene."""
        pixels = np.flatnonzero(self.part_map == self._value(part))
        centres = np.stack(np.unravel_index(rng.choice(pixels, count), self.shape), axis=1)
        last = np.maximum(np.array(self.shape) - window_px, 0)
        corners = np.clip(centres - window_px // 2, 0, last)
        return [Window(int(row), int(col), window_px, window_px) for row, col in corners]

    def contains(self, part: str, pixels: Indices) -> Mask:
        """Return (N,) whether a pixel, of (N, 2) rows and columns inside the scene, is of a part."""
        return np.asarray(self.part_map[pixels[:, 0], pixels[:, 1]] == self._value(part))

    def near(self, part: str, boxes: Indices) -> Mask:
        """Return (N,) which boxes (rows and columns: first, after the last) are nearer to a part than the buffer."""
        windows = [Window(row, col, below - row, right - col) for row, col, below, right in boxes.tolist()]
        return np.array([self.intersects_part(part, window.grow(self.buffer_px)) for window in windows], bool)

    def describe(self) -> dict[str, int]:
        """Width of the buffer and pixels of each part."""
        return {"buffer_px": self.buffer_px} | {f"{part}_pixels": self.area(part) for part in PARTS}

    def to_geojson(self, grid: Grid) -> dict[str, Any]:
        """Cells of 64 pixels as a GeoJSON FeatureCollection, with the number of pixels of each part; WGS 84, or pixels."""
        features = []
        for window in blocks(self.shape, CELL_PX):
            counts = np.bincount(self.part_map[window.slices].ravel(), minlength=3)[[IN_TRAINING, IN_VALIDATION]]
            if counts.any():
                properties = dict(zip(PARTS, counts.tolist(), strict=True))
                features.append({"type": "Feature", "properties": properties, "geometry": outline(grid, window)})
        return {"type": "FeatureCollection", "split": self.describe(), "features": features}

    def _value(self, part: str) -> int:
        if part not in PARTS:
            raise InputError(f"the split has the parts {list(PARTS)}, not {part!r}. Use one of them.")
        return PARTS.index(part) + 1


def split_share(labels: Labels, names: Sequence[str], val_share: float, seed: int) -> list[PixelSplit]:
    """Validate on a random share of the labelled pixels of each class; InputError names classes of a single pixel."""
    counts = count_classes(labels, len(names))
    single = [name for name, count in zip(names, counts, strict=True) if count == 1]
    if single:
        raise InputError(
            f"data.split=random_pixels: {', '.join(single)} has one labelled pixel, and two parts need two. Label more, "
            "or make the class void in the legend."
        )
    learnt = [
        int(np.clip(round((1 - val_share) * count), min(count, 1), max(count - 1, 0))) for count in counts.tolist()
    ]
    return _draw(labels, learnt, seed)


def split_per_class(labels: Labels, names: Sequence[str], number: int, seed: int) -> list[PixelSplit]:
    """Learn from `number` random pixels of each class, validate on all others; InputError names classes without more."""
    counts = count_classes(labels, len(names))
    small = {name: int(count) for name, count in zip(names, counts, strict=True) if 0 < count <= number}
    if small:
        listed = ", ".join(f"{name} {count:,}" for name, count in small.items())
        raise InputError(
            f"data.split=per_class learns from {number} pixels of each class and validates on the others; too few are "
            f"labelled of {listed}. Set data.pixels_per_class to {max(min(small.values()) - 1, 1)} or less, use "
            "data.split=random_pixels, or make these classes void in the legend."
        )
    return _draw(labels, [number if count else 0 for count in counts], seed)


def split_components(
    labels: Labels, names: Sequence[str], val_share: float, buffer_px: int, seed: int
) -> list[PixelSplit]:
    """Assign connected components as a whole, about `val_share` to validation; InputError names classes left without a part."""
    rng = np.random.default_rng(seed)
    part_maps = [np.zeros(raster.shape, np.uint8) for raster in labels]
    whole = []
    for class_index, name in enumerate(names):
        regions, sizes = _components(labels, class_index)
        if len(sizes) == 1:
            whole.append(name)
        elif len(sizes):
            values = np.append(NO_PART, _choose(sizes, val_share, rng)).astype(np.uint8)
            for part_map, numbers in zip(part_maps, regions, strict=True):
                part_map |= values[numbers]
    if whole:
        raise InputError(
            f"data.split=components: {', '.join(whole)} {'lies' if len(whole) == 1 else 'each lie'} in one connected "
            "component, which cannot be in both parts. Use data.split=folds, which cuts components, or make "
            f"{'the class' if len(whole) == 1 else 'these classes'} void in the legend."
        )
    splits = [PixelSplit(_with_buffer(part_map, buffer_px), buffer_px) for part_map in part_maps]
    _check_learnt(splits, labels, names, buffer_px)
    return splits


def assign_folds(counts: Indices, folds: int, seed: int) -> Indices:
    """Return the fold (N,) of each block so that each class, by counts (N, K), is spread evenly over folds; rare ones first."""
    rng = np.random.default_rng(seed)
    fold_of = np.full(len(counts), -1)
    pixels = np.zeros((folds, counts.shape[1]), np.int64)
    order = rng.permutation(len(counts))
    for class_index in np.argsort(np.count_nonzero(counts, axis=0), kind="stable"):
        waiting = [block for block in order if counts[block, class_index] and fold_of[block] < 0]
        for block in sorted(waiting, key=lambda block: -counts[block, class_index]):
            fold_of[block] = min(range(folds), key=lambda fold: (pixels[fold, class_index], pixels[fold].sum(), fold))
            pixels[fold_of[block]] += counts[block]
    for block in order[fold_of[order] < 0]:
        fold_of[block] = np.argmin(np.bincount(fold_of[fold_of >= 0], minlength=folds))
    return fold_of


def count_classes(labels: Labels, num_classes: int) -> Indices:
    """Return (K,) the number of labelled pixels of each class in all scenes."""
    return np.sum(
        [np.bincount(raster.ravel(), minlength=256)[:num_classes] for raster in labels], axis=0, dtype=np.int64
    )


def _draw(labels: Labels, learnt: Sequence[int], seed: int) -> list[PixelSplit]:
    """Draw `learnt` training pixels of each class at random over all scenes; the class's other pixels are for validation."""
    rng = np.random.default_rng(seed)
    part_maps = [np.zeros(raster.shape, np.uint8) for raster in labels]
    for class_index, number in enumerate(learnt):
        pixels = [np.flatnonzero(raster == class_index) for raster in labels]
        ends = np.cumsum([len(indices) for indices in pixels])
        values = np.full(ends[-1], IN_VALIDATION, np.uint8)
        values[rng.choice(ends[-1], number, replace=False)] = IN_TRAINING
        for part_map, positions, of_scene in zip(part_maps, pixels, np.split(values, ends[:-1]), strict=True):
            part_map.ravel()[positions] = of_scene
    return [PixelSplit(part_map) for part_map in part_maps]


def _components(labels: Labels, class_index: int) -> tuple[list[NDArray[np.int32]], Indices]:
    """Numbers of the components of a class, counted from 1 over all scenes, (h, w) int32 each; pixels of each component."""
    from scipy import ndimage

    regions, total = [], 0
    for raster in labels:
        numbers, count = ndimage.label(raster == class_index, np.ones((3, 3), bool))
        numbers[numbers > 0] += total
        regions.append(numbers)
        total += count
    sizes = np.sum([np.bincount(numbers.ravel(), minlength=total + 1)[1:] for numbers in regions], axis=0)
    return regions, sizes


def _choose(sizes: Indices, val_share: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return (n,) the part of each component of a class: at random, as near to the share as whole components come; both parts have one."""
    values, missing = np.full(len(sizes), IN_TRAINING, np.uint8), val_share * sizes.sum()
    for component in rng.permutation(len(sizes)):
        if abs(missing - sizes[component]) < abs(missing):
            values[component] = IN_VALIDATION
            missing -= sizes[component]
    if (values == IN_TRAINING).all():
        values[np.argmin(sizes)] = IN_VALIDATION
    elif (values == IN_VALIDATION).all():
        values[np.argmin(sizes)] = IN_TRAINING
    return values


def _with_buffer(part_map: PartMap, buffer_px: int) -> PartMap:
    """Return the parts without training pixels nearer than `buffer_px` to a validation pixel, in rows and columns."""
    from scipy.ndimage import maximum_filter

    if not buffer_px:
        return part_map
    near = maximum_filter(part_map == IN_VALIDATION, 2 * buffer_px + 1, mode="constant")
    return np.where(near & (part_map == IN_TRAINING), np.uint8(NO_PART), part_map)


def _check_learnt(splits: Sequence[PixelSplit], labels: Labels, names: Sequence[str], buffer_px: int) -> None:
    learnt = count_classes(
        [np.where(split.part_map == IN_TRAINING, raster, 255) for split, raster in zip(splits, labels, strict=True)],
        len(names),
    )
    lost = [
        name for name, kept, all_of_it in zip(names, learnt, count_classes(labels, len(names)), strict=True)
        if all_of_it and not kept
    ]  # fmt: skip
    if lost:
        raise InputError(
            f"data.split=components: all training pixels of {', '.join(lost)} lie within {buffer_px} px of validation. "
            "Set another data.split_seed, or a smaller data.buffer_px."
        )
