"""A recurrent network that reads the spectrum band by band (Mou et al. 2017)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from deepnets4eo.hyperspectral.patch_layers import check_bands
from deepnets4eo.hyperspectral.pixel_network import Columns, PixelNetwork

HIDDEN = 64


class Mou(PixelNetwork):
    """Mou, Ghamisi and Zhu, TGRS 2017: a gated recurrent unit over the bands; all its states label the pixel.

    First weights are torch's, as in the public comparison. patch_px : 1. Errors: InputError for less than one band.

    >>> sum(parameter.numel() for parameter in Mou(103, 9).parameters())
    85385
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 1) -> None:
        check_bands("Mou et al. 2017", in_channels, lambda bands: bands)
        super().__init__(patch_px, 8 * HIDDEN * in_channels)
        self.recurrent = nn.GRU(1, HIDDEN, batch_first=True)
        self.norm = nn.BatchNorm1d(HIDDEN * in_channels)
        self.output = nn.Linear(HIDDEN * in_channels, num_classes)

    def spectrum_scores(self, spectra: Tensor) -> Tensor:
        """Logits of pixels. spectra : (M, B) → (M, K)"""
        states, _ = self.recurrent(spectra[:, :, None])
        scores: Tensor = self.output(torch.tanh(self.norm(states.flatten(1))))
        return scores

    def prepare_columns(self) -> Columns:
        """A function of pixels in columns: one product a band for all gates, the states' scores summed as they come.

        In float32, as rounding adds up from band to band.
        """
        gates, candidate = self._gate_weights()
        variance, mean = (cast(Tensor, value).float() for value in (self.norm.running_var, self.norm.running_mean))
        scale = 2 * self.norm.weight.float() * (variance + self.norm.eps).rsqrt()
        shift = 2 * self.norm.bias.float() - scale * mean  # twice, for tanh(x) = 2 σ(2x) − 1
        scales, shifts = (values.view(-1, HIDDEN, 1) for values in (scale, shift))
        output = self.output.weight.float()
        weights = 2 * output.unflatten(1, (-1, HIDDEN)).transpose(0, 1)
        offset = (self.output.bias.float() - output.sum(dim=1))[:, None]

        def scores(columns: Tensor) -> Tensor:
            step = _Step(gates, candidate, columns.shape[1])
            total = offset.expand(-1, columns.shape[1]).clone()
            for band, weight, factor, term in zip(columns, weights, scales, shifts, strict=True):
                values = torch.addcmul(term, step.advance(band), factor).sigmoid_()
                total.addmm_(weight, values)
            return total.to(columns.dtype)

        return scores

    def _gate_weights(self) -> tuple[Tensor, Tensor]:
        """Weights of (state, band, 1): (3 × 64, 66) of reset, update and state; (64, 2) of the band alone; the last two twice."""
        of_band, of_state, band_bias, state_bias = (
            cast(Tensor, getattr(self.recurrent, f"{kind}_l0")).float()
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        band = torch.cat([of_band[: 2 * HIDDEN], torch.zeros_like(of_band[2 * HIDDEN :])])
        bias = state_bias + torch.cat([band_bias[: 2 * HIDDEN], torch.zeros_like(band_bias[2 * HIDDEN :])])
        gates = torch.cat([of_state, band, bias[:, None]], dim=1)
        twice = torch.ones_like(gates[:, :1])
        twice[2 * HIDDEN :] = 2
        return gates * twice, 2 * torch.stack([of_band[2 * HIDDEN :, 0], band_bias[2 * HIDDEN :]], dim=1)


class _Step:
    """States (64, M) of pixels in columns, band by band."""

    def __init__(self, gates: Tensor, candidate: Tensor, pixels: int) -> None:
        self.gates, self.candidate = gates, candidate
        self.inputs = torch.zeros(HIDDEN + 2, pixels, device=gates.device)  # the state, the band, ones
        self.inputs[-1] = 1

    def advance(self, band: Tensor) -> Tensor:
        """The states after one more band (M,); overwritten by the next."""
        self.inputs[HIDDEN] = band
        gates = self.gates @ self.inputs
        reset, update = gates[: 2 * HIDDEN].sigmoid_().chunk(2)
        candidate = torch.addcmul(self.candidate @ self.inputs[HIDDEN:], reset, gates[2 * HIDDEN :]).sigmoid_()
        state = self.inputs[:HIDDEN]
        return torch.lerp(candidate.mul_(2).sub_(1), state, update, out=state)
