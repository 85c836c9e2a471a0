"""A recurrent network that reads the spectrum band by band (Mou et al. 2017)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from deepnets4eo.hyperspectral.patch_layers import check_bands
from deepnets4eo.hyperspectral.pixel_network import Columns, PixelNetwork

HIDDEN = 64
BANDS = 8  # whose states are scored together


class Mou(PixelNetwork):
    """Mou, Ghamisi and Zhu, TGRS 2017: a gated recurrent unit over the bands; all its states label the pixel.

    First weights are torch's, as in the public comparison. patch_px : 1. Errors: InputError for less than one band.

    >>> sum(parameter.numel() for parameter in Mou(103, 9).parameters())
    85385
    """

    pixels_at_once = 1536  # the product of a band is small: fewer calls

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 1) -> None:
        check_bands("Mou et al. 2017", in_channels, lambda bands: bands)
        super().__init__(patch_px, in_channels)
        self.recurrent = nn.GRU(1, HIDDEN, batch_first=True)
        self.norm = nn.BatchNorm1d(HIDDEN * in_channels)
        self.output = nn.Linear(HIDDEN * in_channels, num_classes)

    def spectrum_scores(self, spectra: Tensor) -> Tensor:
        """Logits of pixels. spectra : (M, B) → (M, K)"""
        states, _ = self.recurrent(spectra[:, :, None])
        scores: Tensor = self.output(torch.tanh(self.norm(states.flatten(1))))
        return scores

    def prepare_columns(self) -> Columns:
        """Return a function of pixels in columns: one product a band for all gates, in the precision of the network;
        the states stay in float32, as rounding adds up from band to band."""
        gates, of_band = self._gate_weights()
        dtype = self.output.weight.dtype
        scales, shifts = (factors.unbind() for factors in self._norm_weights())
        weights = (2 * self.output.weight).split(BANDS * HIDDEN, dim=1)
        offset = (self.output.bias.float() - self.output.weight.float().sum(dim=1))[:, None]

        def scores(columns: Tensor) -> Tensor:
            total = offset.repeat(1, columns.shape[1])
            unit = _HalvedUnit(gates.to(dtype), of_band, columns.shape[1])
            state = torch.empty_like(unit.state)
            states = columns.new_empty(BANDS * HIDDEN, columns.shape[1])
            kept = states.split(HIDDEN)
            for number, (band, scale, shift) in enumerate(zip(columns.float(), scales, shifts, strict=True)):
                torch.mul(unit.read(band), scale, out=state)
                kept[number % BANDS].copy_(state.add_(shift).sigmoid_())
                if number % BANDS == BANDS - 1:
                    total += weights[number // BANDS] @ states
            rest = weights[-1]
            if rest.shape[1] < len(states):
                total += rest @ states[: rest.shape[1]]
            return total.to(dtype)

        return scores

    def _gate_weights(self) -> tuple[Tensor, Tensor]:
        """Return weights of (half the state, band, 1): (3 × 64, 66) of reset, update and state, and (2, 64, 1) of the
        band and of 1 alone. What tanh is taken of is twice as large, for tanh(x) / 2 = σ(2x) − ½."""
        of_band, of_state, band_bias, state_bias = (
            cast(Tensor, getattr(self.recurrent, f"{kind}_l0")).float()
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        band = torch.cat([of_band[: 2 * HIDDEN], torch.zeros_like(of_band[2 * HIDDEN :])])
        bias = state_bias + torch.cat([band_bias[: 2 * HIDDEN], torch.zeros_like(band_bias[2 * HIDDEN :])])
        gates = torch.cat([2 * of_state, band, bias[:, None]], dim=1)
        gates[2 * HIDDEN :] *= 2
        return gates, 2 * torch.stack([of_band[2 * HIDDEN :], band_bias[2 * HIDDEN :, None]])

    def _norm_weights(self) -> tuple[Tensor, Tensor]:
        """Factors and terms (B, 64, 1) that make 2x of half the states, x being the normalised states."""
        variance, mean = (cast(Tensor, value).float() for value in (self.norm.running_var, self.norm.running_mean))
        scale = self.norm.weight.float() * (variance + self.norm.eps).rsqrt()
        shift = self.norm.bias.float() - scale * mean
        return (4 * scale).view(-1, HIDDEN, 1), (2 * shift).view(-1, HIDDEN, 1)


class _HalvedUnit:
    """The recurrent unit of pixels in columns; it keeps half of its states (64, M), as σ(2x) − ½ returns them. All
    buffers are made once, so that a band takes a few passes over values in the cache."""

    def __init__(self, weights: Tensor, of_band: Tensor, pixels: int) -> None:
        self.weights, self.of_band = weights, of_band
        self.inputs = weights.new_zeros(HIDDEN + 2, pixels)  # the halved state, the band, ones
        self.inputs[-1] = 1
        self.halved, self.band = self.inputs[:HIDDEN], self.inputs[HIDDEN]
        self.products = weights.new_empty(3 * HIDDEN, pixels)
        self.gates = self.products.float()  # itself in float32
        self.reset, self.update, self.of_state = self.gates.chunk(3)
        self.both = self.gates[: 2 * HIDDEN]
        self.state, self.candidate = torch.zeros(2, HIDDEN, pixels, device=weights.device)

    def read(self, band: Tensor) -> Tensor:
        """Halved states (64, M) after one more band (M,), both in float32; overwritten by the next one."""
        self.band.copy_(band)
        torch.mm(self.weights, self.inputs, out=self.products)
        if self.gates is not self.products:
            self.gates.copy_(self.products)
        self.both.sigmoid_()
        torch.mul(band, self.of_band[0], out=self.candidate).add_(self.of_band[1])
        self.candidate.addcmul_(self.reset, self.of_state).sigmoid_().sub_(0.5)
        torch.lerp(self.candidate, self.state, self.update, out=self.state)
        self.halved.copy_(self.state)
        return self.state
