"""Tiles' scores blended and turned into bytes on the device that computed them; only finished bytes come to the host.

Takes the tiles of one strip in lattice order; does what `stitching` does with NumPy, and never waits for the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import Legend
from deepnets4eo.errors import RunError
from deepnets4eo.prediction.outputs import Product
from deepnets4eo.prediction.stitching import Blender, FinishedBytes
from deepnets4eo.segmenters.transfers import Transfers
from deepnets4eo.tiling import Lattice, Packed, Scores, Tile

FINITE = "finite"  # comes to the host beside the products: whether a tile's scores are


class DeviceArrays:
    """The tensors that a `Blender` sums in."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def zeros(self, shape: tuple[int, ...]) -> Tensor:
        """All 0, float32."""
        return torch.zeros(shape, device=self._device)

    def outer(self, rows: NDArray[np.float32], cols: NDArray[np.float32]) -> Tensor:
        """Product of weights along rows and columns; only these few values are uploaded."""
        sides = (torch.from_numpy(side).to(self._device, non_blocking=True) for side in (rows, cols))
        return torch.outer(*sides)

    def copy(self, array: Tensor) -> Tensor:
        """Return a copy of the values in other memory."""
        return array.clone()


class DeviceStitcher:
    """One strip's tiles: raw scores in, bytes of finished pixels of `products` out; memory on the device is a `Blender`'s."""

    def __init__(
        self, lattice: Lattice, cols: range, legend: Legend, products: Sequence[str], transfers: Transfers
    ) -> None:
        self._tiling, self._products, self._transfers = lattice.tiling, products, transfers
        self._values = torch.tensor(legend.values, dtype=torch.uint8, device=transfers.device)
        self._num_classes = legend.num_classes
        self._finished: list[tuple[int, int, Tensor]] = []
        self._blender = None
        if lattice.tiling.blends:
            self._blender = Blender(lattice, cols, legend.num_channels, self._keep, DeviceArrays(transfers.device))

    @torch.inference_mode()
    def add(self, tile: Tile, scores: Tensor | None) -> FinishedBytes | None:
        """Add a tile's raw scores (K, core, core), None without valid pixels, in lattice order; returns what they finish."""
        if self._blender is not None:
            self._blender.add(tile, None if scores is None else self._to_blend(scores))
        elif scores is not None:
            self._keep(tile.core.row, tile.core.col, scores)
        finished, self._finished = self._finished, []
        if scores is None:
            return None
        ((row, col, mean),) = finished
        return FinishedBytes(row, col, self._start_download(mean, scores.isfinite().all()))

    def _to_blend(self, scores: Tensor) -> Tensor:
        classes, values = scores[: self._num_classes], scores[self._num_classes :]
        return torch.cat([to_blend_scores(classes, self._tiling.scores), values]) if self._num_classes else values

    def _keep(self, row: int, col: int, mean: Tensor) -> None:
        self._finished.append((row, col, mean))

    def _start_download(self, scores: Tensor, finite: Tensor) -> Callable[[], dict[str, ByteImage]]:
        products = (
            {Product.values: scores[self._num_classes :].contiguous()} if Product.values in self._products else {}
        )
        scores = scores[: self._num_classes]
        if Product.labels in self._products:
            products[Product.labels] = self._values[scores.argmax(dim=0)][None]
        if Product.probabilities in self._products or Product.entropy in self._products:
            is_probability = self._tiling.blends and self._tiling.scores == "probabilities"
            proba = scores if is_probability else scores.softmax(dim=0)
            products |= {Product.probabilities: to_bytes(proba), Product.entropy: to_bytes(entropy(proba)[None])}
        wanted = {name: products[name] for name in self._products}
        return partial(_refuse_infinite, self._transfers.download(wanted | {FINITE: finite.to(torch.uint8)[None]}))


def _refuse_infinite(wait: Callable[[], dict[str, ByteImage]]) -> dict[str, ByteImage]:
    """Return the products if the scores behind them are finite. Errors: RunError."""
    arrays = wait()
    if not arrays[FINITE].all():
        raise RunError(
            "the network's scores are not finite: its maps exceed what float16 holds, 65504, or its weights are damaged. "
            "Use --precision float32."
        )
    return {name: array for name, array in arrays.items() if name != FINITE}


def to_blend_scores(raw: Tensor, kind: Scores) -> Tensor:
    """Convert raw scores (K, h, w) to the scores that are summed in the overlap of tiles."""
    if kind == "raw":
        return raw
    return raw.softmax(dim=0) if kind == "probabilities" else raw.log_softmax(dim=0)


def entropy(proba: Tensor) -> Tensor:
    """Shannon entropy of (K, h, w) as a fraction of its maximum log K; 0 for one class."""
    most = math.log(len(proba)) or 1.0
    return torch.special.entr(proba).sum(dim=0) / most


def to_bytes(fraction: Tensor) -> Tensor:
    """Fractions 0–1 as bytes 0–254, rounded to the nearest; contiguous."""
    return (fraction.clamp(0, 1) * Packed.one).round().to(torch.uint8).contiguous()
