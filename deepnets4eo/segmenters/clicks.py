"""Clicks, pixels whose class a person names, as a layer of a network.

A channel for each class, with full discs that fall from 1 to 0 around clicks (Lenczner et al. 2020, DISIR).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from deepnets4eo.arrays import ByteImage, Indices, Mask
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.segmenters.inputs import InputSpec, LayerInput


class ClickDisc:
    """A click as a network sees it: a disc that fades towards its edge."""

    radius_px: ClassVar[int] = 5
    peak: ClassVar[int] = 255  # in the middle, as it is stored


# of training windows, so that scenes without any click are labelled as well
SHARE_WITHOUT_CLICKS = 0.3


@dataclass(frozen=True)
class Clicks:
    """Clicks at pixels rows, cols (n,) of a scene that assign classes (n,), in the order of the clicks."""

    rows: Indices
    cols: Indices
    classes: Indices

    @classmethod
    def none(cls) -> Clicks:
        """No click yet."""
        return cls(*(np.empty(0, np.intp) for _ in range(3)))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def pixels(self) -> list[tuple[int, int]]:
        """(row, column) of each."""
        return list(zip(self.rows.tolist(), self.cols.tolist(), strict=True))

    def with_click(self, row: int, col: int, index: int) -> Clicks:
        """Return the clicks followed by one more click."""
        return self.with_others(Clicks(*(np.array([value], np.intp) for value in (row, col, index))))

    def with_others(self, others: Clicks) -> Clicks:
        """Return the clicks followed by other clicks."""
        return Clicks(*(np.append(getattr(self, name), getattr(others, name)) for name in ("rows", "cols", "classes")))

    def where(self, which: Mask) -> Clicks:
        """Those of a mask (n,)."""
        return Clicks(self.rows[which], self.cols[which], self.classes[which])

    def shift(self, rows: int, cols: int) -> Clicks:
        """Return the clicks shifted by these rows and columns."""
        return Clicks(self.rows + rows, self.cols + cols, self.classes)

    def inside(self, window: Window, margin_px: int = 0) -> Mask:
        """Return (n,) whether each click is in a window, or less than a margin outside its edge."""
        rows, cols = self.rows - window.row + margin_px, self.cols - window.col + margin_px
        height, width = window.height + 2 * margin_px, window.width + 2 * margin_px
        return np.asarray((rows >= 0) & (rows < height) & (cols >= 0) & (cols < width))

    def near(self, window: Window) -> Clicks:
        """Those whose discs reach into a window."""
        return self.where(self.inside(window, ClickDisc.radius_px - 1))

    def channels(self, num_classes: int, window: Window) -> ByteImage:
        """Return (K, h, w) uint8 with the discs that reach into a window, 0 elsewhere."""
        around = 2 * ClickDisc.radius_px
        padded = np.zeros((num_classes, window.height + 2 * around, window.width + 2 * around), np.uint8)
        inside = self.near(window)
        tops, lefts = (
            positions + ClickDisc.radius_px + 1 for positions in (inside.rows - window.row, inside.cols - window.col)
        )
        for top, left, index in zip(tops, lefts, inside.classes, strict=True):
            part = padded[index, top : top + len(DISC), left : left + len(DISC)]
            np.maximum(part, DISC, out=part)
        return padded[:, around:-around, around:-around]

    def mask(self, window: Window) -> ByteImage:
        """Return (h, w) uint8 with the classes of clicked pixels of a window, void 255 elsewhere."""
        mask = np.full((window.height, window.width), VOID, np.uint8)
        inside = self.where(self.inside(window)).shift(-window.row, -window.col)
        mask[inside.rows, inside.cols] = inside.classes
        return mask


def _disc() -> ByteImage:
    """Return (2 r − 1, 2 r − 1) uint8, falling from the middle to 0 at the radius r."""
    away = np.arange(1 - ClickDisc.radius_px, ClickDisc.radius_px)
    distance = np.hypot(away[:, None], away)
    return np.rint(ClickDisc.peak * np.clip(1 - distance / ClickDisc.radius_px, 0, 1)).astype(np.uint8)


DISC = _disc()


def with_clicks(inputs: InputSpec, legend: Legend) -> InputSpec:
    """Return inputs of a network that also takes clicks, in the last channels. Errors: InputError if they have such a layer."""
    if InputSpec.click_layer in inputs.layers:
        raise InputError(
            f"a layer is called {InputSpec.click_layer!r}, which a training with clicks makes itself. Call it otherwise."
        )
    zeros, spread = (0.0,) * legend.num_classes, (float(ClickDisc.peak),) * legend.num_classes
    layer = LayerInput(tuple(legend.names), zeros, spread, 0.0, float(ClickDisc.peak), optional=True)
    return replace(inputs, layers={**inputs.layers, InputSpec.click_layer: layer})


def draw_clicks(mask: ByteImage, most: int, rng: np.random.Generator) -> Clicks:
    """Clicks of training on labels (h, w), void 255: none in 30 % of the cases, else 1 to `most` anywhere."""
    known = np.flatnonzero(mask != VOID)
    if rng.random() < SHARE_WITHOUT_CLICKS or not len(known):
        return Clicks.none()
    rows, cols = np.divmod(rng.choice(known, int(rng.integers(1, most + 1))), mask.shape[1])
    return Clicks(rows, cols, mask[rows, cols].astype(np.intp))
