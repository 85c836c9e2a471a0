"""Labels of a small scene corrected click by click: discs as inputs of a network, and weights that adapt to the clicks.

Only weights of normalisation and of the last layer move, held to the scores before (DISIR, DISCA: Lenczner et al. 2020),
without the discs, which would explain the clicks by themselves.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

import numpy as np

from deepnets4eo.arrays import Batch, ByteImage, FloatImage, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.prediction.options import Measure
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter, last_layer
from deepnets4eo.segmenters.clicks import ClickDisc, Clicks
from deepnets4eo.segmenters.segmenter import STRIDE_PX
from deepnets4eo.tiling import best_class, entropy

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Adaptation:
    """Options for adapting weights to clicks.

    Parameters
    ----------
    steps : Steps of gradient descent after each click; 0 adapts nothing.
    lr : Rate of the descent.
    hold : Weight of the mean absolute difference from the probabilities before the first click.
    side_px : Side of the windows around the newest clicks that the steps are taken on.
    windows : Number of these windows.
    """

    steps: int = 3
    lr: float = 0.03
    hold: float = 3.0
    side_px: int = 64
    windows: int = 16

    def window(self, row: int, col: int, shape: tuple[int, int]) -> Window:
        """Return the window around a click, moved inside an image (h, w); sides are multiples of 32 if the image is large enough."""
        side_h, side_w = (min(self.side_px, side // STRIDE_PX * STRIDE_PX or side) for side in shape)
        top, left = (
            int(np.clip(centre - side // 2, 0, size - side))
            for centre, side, size in zip((row, col), (side_h, side_w), shape, strict=True)
        )
        return Window(top, left, side_h, side_w)


USUAL = Adaptation()
AT_ONCE = 4  # clicks whose steps are taken where weights begin to follow what was clicked before


class ClickSession:
    """One scene, its labels, and the clicks on it.

    Errors: InputError (other channels).

    Parameters
    ----------
    segmenter : Not changed. A segmenter trained without clicks only adapts its weights.
    image : (C, H, W) float32
        As `InputSpec.prepare` returns it, with or without the channels of the clicks.
    adaptation : How the weights follow.
    discs : Whether a network that was trained with clicks receives them as input.
    clicks : Clicks made before; the weights have not followed them.
    weights : Initial weights, from a session of another image with the same network; by default the network's own.
    """

    def __init__(
        self,
        segmenter: NetworkSegmenter,
        image: FloatImage,
        adaptation: Adaptation = USUAL,
        *,
        discs: bool = True,
        clicks: Clicks | None = None,
        weights: list[Tensor] | None = None,
    ) -> None:
        inputs, count = segmenter.inputs, segmenter.legend.num_classes
        self.takes_clicks = InputSpec.click_layer in inputs.layers
        own = inputs.in_channels - (count if self.takes_clicks else 0)
        if len(image) not in (own, inputs.in_channels):
            raise InputError(
                f"the image has {len(image)} channels, the network learnt from {own}. Prepare it by its inputs."
            )
        self.segmenter = copy.copy(segmenter)
        self.segmenter.module = copy.deepcopy(segmenter.module)
        self.image, self.adaptation, self.num_classes = image[:own], adaptation, count
        self.clicks, self.discs, self.follows = Clicks.none(), discs, adaptation.steps > 0
        self._weights = adapted_weights(self.segmenter.module, count)
        self._first = self.weights
        self.probabilities = self._start = self._predict()
        self._before: list[tuple[Clicks, list[Tensor], bool]] = []
        if clicks is not None or weights is not None:
            self._restore(clicks or Clicks.none(), weights or self._first)

    @property
    def labels(self) -> ByteImage:
        """Return (H, W) uint8 indices of the classes; a clicked pixel has the class that was named."""
        labels = np.asarray(best_class(self.probabilities))
        labels[self.clicks.rows, self.clicks.cols] = self.clicks.classes
        return labels

    @property
    def first_labels(self) -> ByteImage:
        """Return (H, W) uint8 labels of the network as it was, without any click."""
        return np.asarray(best_class(self._start))

    @property
    def weights(self) -> list[Tensor]:
        """A copy of the weights that follow clicks, as they are now."""
        return [weight.detach().clone() for weight in self._weights]

    @property
    def undoable(self) -> int:
        """Return how many clicks and changes of `follow` can be undone."""
        return len(self._before)

    def click(self, row: int, col: int, index: int) -> ByteImage:
        """Say that a pixel is of a class; returns the new labels. Errors: InputError outside the image or the classes."""
        height, width = self.image.shape[1:]
        if not (0 <= row < height and 0 <= col < width and 0 <= index < self.num_classes):
            raise InputError(
                f"a click on row {row}, column {col} names class {index}; the image has {height} x {width} pixels, the network "
                f"{self.num_classes} classes. Click inside."
            )
        self._before.append((self.clicks, self.weights, self.follows))
        self.clicks = self.clicks.with_click(row, col, index)
        if self.follows:
            self._adapt(self.adaptation)
        self.probabilities = self._predict()
        return self.labels

    def follow(self, *, on: bool) -> ByteImage:
        """Let the weights follow the clicks made so far and those to come, or take all back that they followed; returns the labels."""
        self._before.append((self.clicks, self.weights, self.follows))
        self.follows = on
        if on and len(self.clicks):
            self._adapt(replace(self.adaptation, steps=self.adaptation.steps * min(len(self.clicks), AT_ONCE)))
        self._restore(self.clicks, self.weights if on else self._first)
        return self.labels

    def undo(self) -> ByteImage:
        """Take the last click or change of `follow` back, with what it changed; returns the labels before it."""
        if self._before:
            clicks, weights, self.follows = self._before.pop()
            self._restore(clicks, weights)
        return self.labels

    def _restore(self, clicks: Clicks, weights: list[Tensor]) -> None:
        import torch

        self.clicks = clicks
        with torch.no_grad():
            for weight, other in zip(self._weights, weights, strict=True):
                weight.copy_(other)
        self.probabilities = self._predict()

    def batch(self) -> Batch:
        """Return the present input of the network, (1, C, H, W) float32."""
        height, width = self.image.shape[1:]
        return self._tile(Window(0, 0, height, width), discs=self.discs)[None]

    def _tile(self, window: Window, *, discs: bool = False) -> FloatImage:
        rows, cols = window.slices
        image = self.image[:, rows, cols]
        if not self.takes_clicks:
            return image
        seen = self.clicks if discs else Clicks.none()
        return np.concatenate([image, seen.channels(self.num_classes, window).astype(np.float32) / ClickDisc.peak])

    def _predict(self) -> FloatImage:
        return self.segmenter.predict_proba(self.batch())[0]

    def _adapt(self, how: Adaptation) -> None:
        """Take a few steps on windows around the newest clicks, all of one size inside the image."""
        shape = self.image.shape[1:]
        windows = [how.window(*pixel, shape) for pixel in self.clicks.pixels[: -how.windows - 1 : -1]]
        start = np.stack([self._start[:, rows, cols] for rows, cols in (window.slices for window in windows)])
        masks = np.stack([self.clicks.mask(window) for window in windows])
        adapt(self.segmenter, self._weights, np.stack([self._tile(window) for window in windows]), masks, start, how)


def adapted_weights(module: nn.Module, num_classes: int) -> list[Tensor]:
    """Return the weights that clicks adapt: scale and shift of every normalisation, and the last layer."""
    from torch import nn

    norms = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
    parts = [part for part in module.modules() if isinstance(part, norms)]
    return [weight for part in [*parts, last_layer(module, num_classes)[1]] for weight in part.parameters()]


def adapt(
    segmenter: NetworkSegmenter,
    weights: list[Tensor],
    batch: FloatImage,
    mask: ByteImage,
    start: FloatImage,
    how: Adaptation,
) -> None:
    """Move weights by clicks: cross-entropy at clicked pixels of mask (N, h, w), and distance from `start` (N, K, h, w)."""
    import torch
    import torch.nn.functional as F

    from deepnets4eo.cards import VOID

    image, held = (segmenter.transfers.upload(array) for array in (batch, start))
    target = torch.from_numpy(mask).to(image.device).long()
    module = segmenter.module
    optimizer = torch.optim.SGD(weights, lr=how.lr)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    for weight in weights:
        weight.requires_grad_(True)
    for _ in range(how.steps):
        output = module(image)
        logits = output[0] if isinstance(output, tuple) else output
        loss = (
            F.cross_entropy(logits, target, ignore_index=VOID) + how.hold * (logits.softmax(dim=1) - held).abs().mean()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def next_click(session: ClickSession, measure: Measure = "entropy", where: Mask | None = None) -> tuple[int, int]:
    """Return the pixel that a person should click next.

    Errors: InputError (an unknown measure).

    Parameters
    ----------
    session : The scene with the clicks so far; not changed.
    measure : "entropy" of the classes, or "margin" between the two best ones.
    where : (H, W) bool
        Pixels to choose from, by default all.

    Returns
    -------
    Row and column, more than ten pixels away from every click.
    """
    from scipy.ndimage import uniform_filter

    if measure not in get_args(Measure):
        raise InputError(f"the next click is chosen by {measure!r}; expected one of {', '.join(get_args(Measure))}.")
    if measure == "margin":
        best = np.partition(session.probabilities, -2, axis=0)[-2:]
        worth = 1 - (best[1] - best[0])
    else:
        worth = entropy(session.probabilities)
    worth = uniform_filter(worth, 2 * ClickDisc.radius_px + 1, mode="constant", cval=float(worth.min()))
    if where is not None:
        worth[~where] = -np.inf
    for row, col in session.clicks.pixels:
        rows, cols = (
            slice(max(centre - 2 * ClickDisc.radius_px, 0), centre + 2 * ClickDisc.radius_px + 1)
            for centre in (row, col)
        )
        worth[rows, cols] = -np.inf
    row, col = divmod(int(worth.argmax()), worth.shape[1])
    return row, col
