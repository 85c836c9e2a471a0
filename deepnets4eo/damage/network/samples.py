"""Windows around buildings of graded pairs as samples to train on: image_pre, image_post, mask, building, valid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Geometries, Indices, Mask
from deepnets4eo.cards import VOID, Legend, SplitPart
from deepnets4eo.damage.network.kept_pairs import KeptPairs
from deepnets4eo.damage.network.pairs import LEGEND, POST, PRE, GradedPair, LabelledPair, scaled_to
from deepnets4eo.damage.network.recipe import DamageData, DamageRecipe
from deepnets4eo.damage.table.vocabulary import is_graded
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.segmenters import InputSpec, LayerInput
from deepnets4eo.training import DataSplit, Sample, SplitRule, StreamSamples, say_learnt_ground
from deepnets4eo.zonal import Outlines

Grades = Sequence[NDArray[np.uint8]]

Labels = tuple[NDArray[np.uint8], NDArray[np.int16]]  # grades by pixel, and numbers of buildings

MAX_NUMBER = np.iinfo(np.int16).max  # of the buildings of a window
SHOWN_SHARE = 0.5  # of a building's box or outline that a window must show for the building to count as a whole


@dataclass(frozen=True)
class BuildingSplit(DataSplit[LabelledPair]):
    """Pairs, and for each part the grades (N,) of their buildings, 255 for those that are not in it."""

    train: Grades = field(default_factory=list)
    val: Grades = field(default_factory=list)

    def counts(self, grades: Grades) -> Indices:
        """Return (K,) numbers of buildings by grade in a part."""
        num_classes = Legend.load(LEGEND).num_classes
        return np.sum([np.bincount(of_pair, minlength=256)[:num_classes] for of_pair in grades], axis=0)

    @property
    def training_pairs(self) -> list[LabelledPair]:
        """Pairs with a training building."""
        return [pair for pair, grades in zip(self.scenes, self.train, strict=True) if is_graded(grades).any()]

    def describe(self) -> dict[str, Any]:
        """Return plain values for the card and the metrics."""
        names = Legend.load(LEGEND).names
        counts = {
            part: dict(zip(names, self.counts(grades).tolist(), strict=True))
            for part, grades in ((SplitPart.train, self.train), (SplitPart.val, self.val))
        }
        validated = [
            pair.name for pair, split in zip(self.scenes, self.splits, strict=True) if SplitPart.val in split.parts
        ]
        return {
            "kind": self.kind, **self.describe_leaks(), "buildings": counts, "pairs": len(self.scenes),
            "validated": validated,
        }  # fmt: skip


def split_buildings(pairs: Sequence[LabelledPair], data: DamageData, seed: int) -> BuildingSplit:
    """Split pairs as the recipe specifies. Raises InputError."""
    rule = SplitRule(
        data.split, data.val_share, seed, val_names=data.val_names, names_key="data.val_names",
        block_px=data.block_px, buffer_px=data.buffer_px, narrow_buffer=True,
    )  # fmt: skip
    groups = [pair.event for pair in pairs] if data.split == "events" else None
    pixels = DataSplit(pairs, rule.assign_blocks(pairs, groups), data.split)
    parts = [pixels.objects_in(number, pair.centres, pair.boxes) for number, pair in enumerate(pairs)]
    train, val = (
        [np.where(inside[part], pair.grades, VOID).astype(np.uint8) for pair, inside in zip(pairs, parts, strict=True)]
        for part in (0, 1)
    )
    split = BuildingSplit(pairs, pixels.splits, data.split, train=train, val=val)
    for part, grades in ((SplitPart.train, split.train), (SplitPart.val, split.val)):
        if not split.counts(grades).any():
            raise InputError(
                f"no graded building is left for the part {part!r} of {len(pairs)} pairs. Change data.val_share, "
                "data.block_px or data.buffer_px, or split by scenes or events."
            )
    say_learnt_ground(split)
    return split


@dataclass(frozen=True)
class PairWindow:
    """A window of a pair (by its number), and the offset (rows, columns) of the pre image that is read with it."""

    pair: int
    window: Window
    moved_px: tuple[int, int] = (0, 0)

    @property
    def pre_window(self) -> Window:
        """The window that pre is read from."""
        return Window(self.window.row + self.moved_px[0], self.window.col + self.moved_px[1], *self.window[2:])


def draw_window(
    centre: NDArray[Any], shape: tuple[int, int], data: DamageData, rng: np.random.Generator, pair: int = 0
) -> PairWindow:
    """Draw a window around a building whose `centre` (2,) is its row and column, inside images of `shape` if it can be."""
    side, reach_px = data.tile_px, data.misregistration_px
    corner = (centre - rng.integers(side // 8, side - side // 8, 2)).astype(int)
    row, col = np.clip(corner, 0, np.maximum(np.array(shape) - side, 0)).tolist()
    moved = rng.integers(-reach_px, reach_px + 1, 2).tolist()
    return PairWindow(pair, Window(row, col, side, side), (moved[0], moved[1]))


class PairSamples:
    """Windows of training pairs, scaled: around a building of each grade in turn, or of any."""

    def __init__(self, split: BuildingSplit, inputs: InputSpec, recipe: DamageRecipe) -> None:
        self.split, self.inputs, self.data = split, inputs, recipe.data
        self.seed = recipe.train.seed
        self._scaled: dict[int, InputSpec] = {}
        rows = [(pair, row, grades[row]) for pair, grades in enumerate(split.train)
                for row in np.flatnonzero(is_graded(grades))]  # fmt: skip
        table = np.array(rows, np.int64).reshape(-1, 3)
        groups = np.unique(table[:, 2]) if self.data.sampling == "balanced" else [-1]
        self._groups = [table[(table[:, 2] == group) | (group < 0), :2] for group in groups]

    def windows(self, epoch: int) -> list[PairWindow]:
        """Return the windows of an epoch, in order."""
        rng = np.random.default_rng([self.seed, epoch])
        return [self._draw(rng) for _ in range(self.data.windows_per_epoch)]

    def read(self, window: PairWindow) -> Sample:
        """Read one sample: images (C, h, w), mask (grades, void 255) uint8, building (0 none) int16, valid bool."""
        pair = self.split.scenes[window.pair]
        post, pre = pair.scene.read(window.window, [POST]), pair.scene.read(window.pre_window, [PRE])
        valid = post["valid"] & pre["valid"]
        for window_read in (window.window, window.pre_window):
            hidden = self.split.hidden_mask(window.pair, window_read)
            valid = valid if hidden is None else valid & ~hidden
        prepared = self.scaling(window.pair).prepare({PRE: pre[PRE], POST: post[POST], "valid": valid})
        mask, building = self._labels(window, valid)
        image_pre, image_post = np.split(prepared, 2)
        return {"image_pre": image_pre, "image_post": image_post, "mask": mask, "building": building, "valid": valid}

    def scaling(self, pair: int) -> InputSpec:
        """Return the inputs scaled for one pair."""
        if self.data.scaling == "training":
            return self.inputs
        if pair not in self._scaled:
            labelled = self.split.scenes[pair]
            self._scaled[pair] = scaled_to(self.inputs, labelled.scene, labelled.centres)
        return self._scaled[pair]

    def _draw(self, rng: np.random.Generator) -> PairWindow:
        group = self._groups[rng.integers(len(self._groups))]
        pair, building = group[rng.integers(len(group))]
        labelled = self.split.scenes[pair]
        return draw_window(labelled.centres[building], labelled.shape, self.data, rng, int(pair))

    def _labels(self, window: PairWindow, valid: Mask) -> Labels:
        """Grades by pixel, and numbers from 1 on of the buildings that the window shows well."""
        pair, grades = self.split.scenes[window.pair], self.split.train[window.pair]
        painted = pair.outlines.paint(window.window)
        inside = valid & (painted >= 0)
        mask = np.where(inside, grades[painted], VOID).astype(np.uint8)
        present = np.unique(painted[inside & is_graded(mask)])
        number = np.zeros(len(grades) + 1, np.int16)  # the last entry is that of -1, no building
        whole = present[_shown_share(pair.boxes[present], window.window) >= SHOWN_SHARE][:MAX_NUMBER]
        number[whole] = np.arange(1, len(whole) + 1)
        return mask, np.where(inside, number[painted], np.int16(0))


def _shown_share(boxes: Indices, window: Window) -> Floats:
    """Return (N,) the share of each building's box inside the window."""
    low = np.maximum(boxes[:, :2], [window.row, window.col])
    high = np.minimum(boxes[:, 2:], [window.row + window.height, window.col + window.width])
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.prod(np.maximum(high - low, 0), axis=1) / np.maximum(area, 1)


Variation = Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]  # (C, h, w) → (3, h, w)
GSD_DRAW = 7  # beside a pair's seed, so that no other draw follows from the same numbers


@dataclass(frozen=True)
class MadeUpPairs:
    """Pairs that are made while the network learns.

    Parameters
    ----------
    make_pair : seed → pair with a graded building
    validation : pairs that are never learnt from
    variation : how another sensor would show an image: (C, h, w) uint8 and a generator → (3, h, w) uint8
    drawn_by : the code outside of this package that makes pairs, e.g. its hash: pairs kept from other code are not read
    """

    make_pair: Callable[[int], GradedPair]
    validation: Sequence[GradedPair]
    variation: Variation
    drawn_by: str = ""


def made_up_samples(made_up: MadeUpPairs, recipe: DamageRecipe, folder: Path) -> StreamSamples[GradedPair]:
    """Return endless windows of pairs, each pair with pixels of about the size that the recipe specifies.

    With `data.kept_pairs` the pairs are drawn once and kept in `folder`, or in `data.pairs_folder`.
    """
    data = recipe.data

    def make_resized(seed: int) -> GradedPair:
        spread = np.random.default_rng([seed, GSD_DRAW]).uniform(-data.gsd_spread, data.gsd_spread)
        return made_up.make_pair(seed).at_gsd(data.gsd_m * float(np.exp(spread)))

    home = Path(data.pairs_folder or folder)
    kept = KeptPairs.of(data, home, make_resized, made_up.drawn_by) if data.kept_pairs else make_resized
    scaled = recipe.train.photometric > 0  # light is changed in standard deviations
    return StreamSamples(
        kept, lambda pair, rng: read_window(pair, data, made_up.variation, rng, scaled=scaled), data.windows_per_epoch,
        data.windows_per_pair, recipe.train.seed, data.processes, scenes=data.kept_pairs, mixed_scenes=data.mixed_pairs,
    )  # fmt: skip


def read_window(
    pair: GradedPair, data: DamageData, variation: Variation, rng: np.random.Generator, *, scaled: bool = False
) -> Sample:
    """Read one sample around a building, with equal chances for each grade of the pair; `variation` is drawn for each date.

    Images are display values, uint8, which `DamageCriterion` standardises on its device; `scaled`: standardised here.
    """
    grade = rng.choice(np.unique(pair.grades[is_graded(pair.grades)]))
    centre = shapely.centroid(pair.outlines[rng.choice(np.flatnonzero(pair.grades == grade))])
    drawn = draw_window(np.array([centre.y, centre.x]), pair.shape, data, rng)
    images, valid = {}, np.ones((data.tile_px, data.tile_px), bool)
    for name, image, window in ((PRE, pair.pre, drawn.pre_window), (POST, pair.post, drawn.window)):
        pixels, has_data = _crop(image, window)
        seen = variation(pixels, rng) if rng.random() < data.varied_share else pixels[:3]
        spec = InputSpec({name: LayerInput.display_rgb})
        images[f"image_{name}"] = (
            spec.prepare({name: seen, "valid": has_data}) if scaled else np.ascontiguousarray(seen)
        )
        valid &= has_data
    mask, building = _labels_of_made_up(pair, drawn.window, data, valid, rng)
    return images | {"valid": valid, "mask": mask, "building": building}


def _labels_of_made_up(
    pair: GradedPair, window: Window, data: DamageData, valid: Mask, rng: np.random.Generator
) -> Labels:
    """Return grades and numbers of the buildings in a window, with outlines as inaccurate as in real files."""
    row, col, side, _ = window
    bounds = shapely.bounds(pair.outlines)
    near = (bounds[:, 0] < col + side) & (bounds[:, 2] > col) & (bounds[:, 1] < row + side) & (bounds[:, 3] > row)
    rows = np.flatnonzero(near & is_graded(pair.grades))
    moved = _moved(pair.outlines[rows], np.array([col, row]), data.outline_error_m / pair.gsd_m, rng)
    whole = shapely.area(shapely.clip_by_rect(moved, 0, 0, side, side)) >= SHOWN_SHARE * shapely.area(moved)
    inside = np.flatnonzero(whole)[:MAX_NUMBER]
    painted = Outlines.on(moved[inside], shape=(side, side)).paint(Window(0, 0, side, side))
    painted = np.where(valid, painted, -1).astype(np.int16)
    grade = np.append(pair.grades[rows[inside]], VOID).astype(np.uint8)
    return grade[painted], painted + np.int16(1)


def _moved(outlines: Geometries, corner: Indices, error_px: float, rng: np.random.Generator) -> Geometries:
    """Outlines in pixels of a window: all off by one vector; each a little on its own, and in its size."""
    angle, length = rng.uniform(0, 2 * np.pi), error_px * rng.uniform() ** 2
    shared = length * np.array([np.cos(angle), np.sin(angle)])
    own = rng.normal(0, error_px / 8, (len(outlines), 2))
    size = 1 + rng.uniform(-0.1, 0.1, len(outlines)) * (error_px > 0)
    points, owner = shapely.get_coordinates(outlines, return_index=True)
    middle = shapely.get_coordinates(shapely.centroid(outlines))
    points = (points - middle[owner]) * size[owner, None] + middle[owner] + own[owner] + shared - corner
    moved: Geometries = shapely.set_coordinates(outlines.copy(), points)
    return moved


def _crop(image: NDArray[np.uint8], window: Window) -> tuple[NDArray[np.uint8], Mask]:
    """Return a window of an image, 0 and not valid beyond the image."""
    out, valid = np.zeros((len(image), *window[2:]), np.uint8), np.zeros(window[2:], bool)
    inside = window.clip(image.shape[1:])
    part, (rows, cols) = inside.within(window).slices, inside.slices
    out[:, part[0], part[1]], valid[part] = image[:, rows, cols], True
    return out, valid
