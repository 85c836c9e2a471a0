"""Windows of labelled pairs as samples to train on: image_pre, image_post, mask, building, valid.

Takes split pairs; each window lies around a building, each pre window is moved a little on its own. All draws follow
from (seed, epoch). Nothing of a validation block is window_read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID
from deepnets4eo.damage.siamese.pairs import POST, PRE
from deepnets4eo.damage.siamese.recipe import SiameseRecipe
from deepnets4eo.damage.siamese.scaling import scaled_to
from deepnets4eo.damage.siamese.split import BuildingSplit
from deepnets4eo.grid import Window
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.training.data import Sample

SHOWN_SHARE = 0.5  # of a building's box that a window must show for the building to count as a whole


@dataclass(frozen=True)
class PairWindow:
    """A window of one pair, and how far (rows, columns) its pre image is read beside it."""

    pair: int
    window: Window
    moved_px: tuple[int, int] = (0, 0)

    @property
    def pre_window(self) -> Window:
        """The window that pre is read from."""
        return Window(self.window.row + self.moved_px[0], self.window.col + self.moved_px[1], *self.window[2:])


class PairSamples:
    """Windows of training pairs, scaled: around a building of each grade in turn, or of any.

    split : pairs and the grades of their training buildings. inputs : scaling over all training; with
    `data.scaling: scene` a pair's own is measured when it is first read.
    """

    def __init__(self, split: BuildingSplit, inputs: InputSpec, recipe: SiameseRecipe) -> None:
        self.split, self.inputs, self.data = split, inputs, recipe.data
        self.seed, self.reach_px = recipe.train.seed, recipe.train.misregistration_px
        self._scaled: dict[int, InputSpec] = {}
        rows = [(pair, row, grades[row]) for pair, grades in enumerate(split.train)
                for row in np.flatnonzero(grades != VOID)]  # fmt: skip
        table = np.array(rows, np.int64).reshape(-1, 3)
        groups = np.unique(table[:, 2]) if self.data.sampling == "balanced" else [-1]
        self._groups = [table[(table[:, 2] == group) | (group < 0), :2] for group in groups]

    def windows(self, epoch: int) -> list[PairWindow]:
        """The windows of an epoch, in order."""
        rng = np.random.default_rng([self.seed, epoch])
        return [self._draw(rng) for _ in range(self.data.windows_per_epoch)]

    def read(self, window: PairWindow) -> Sample:
        """One sample: images (C, h, w) float32, mask (grades, void 255) and building (0 none) int64, valid bool."""
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
        """The inputs scaled for one pair."""
        if self.data.scaling == "training":
            return self.inputs
        if pair not in self._scaled:
            labelled = self.split.scenes[pair]
            self._scaled[pair] = scaled_to(self.inputs, labelled.scene, labelled.centres)
        return self._scaled[pair]

    def _draw(self, rng: np.random.Generator) -> PairWindow:
        group = self._groups[rng.integers(len(self._groups))]
        pair, building = group[rng.integers(len(group))]
        labelled, side = self.split.scenes[pair], self.data.tile_px
        at = labelled.centres[building] - rng.integers(side // 8, side - side // 8, 2)
        row, col = np.clip(at, 0, np.maximum(np.array(labelled.shape) - side, 0))
        moved = rng.integers(-self.reach_px, self.reach_px + 1, 2)
        return PairWindow(int(pair), Window(int(row), int(col), side, side), (int(moved[0]), int(moved[1])))

    def _labels(self, window: PairWindow, valid: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Grades by pixel, and numbers from 1 on of the buildings that the window shows well enough."""
        pair, grades = self.split.scenes[window.pair], self.split.train[window.pair]
        painted = pair.outlines.paint(window.window)
        inside = valid & (painted >= 0)
        mask = np.where(inside, grades[painted], VOID).astype(np.int64)
        present = np.unique(painted[inside & (mask != VOID)])
        number = np.zeros(len(grades) + 1, np.int64)  # the last entry is that of -1, no building
        whole = present[_shown_share(pair.boxes[present], window.window) >= SHOWN_SHARE]
        number[whole] = np.arange(1, len(whole) + 1)
        return mask, np.where(inside, number[painted], 0)


def _shown_share(boxes: NDArray[np.int64], window: Window) -> NDArray[np.float64]:
    """(N,) share of each building's box that lies in the window."""
    low = np.maximum(boxes[:, :2], [window.row, window.col])
    high = np.minimum(boxes[:, 2:], [window.row + window.height, window.col + window.width])
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.prod(np.maximum(high - low, 0), axis=1) / np.maximum(area, 1)
