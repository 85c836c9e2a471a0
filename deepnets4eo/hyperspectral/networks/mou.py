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
        """A function of pixels in columns: one product a band for all gates; the scores of several bands are summed at once.

        That product is computed in the network's precision, all else in float32, as rounding adds up from band to band.
        """
        gates, of_band = self._gate_weights()
        scales, shifts = self._norm_weights()
        weights = 2 * self.output.weight.float()
        offset = (self.output.bias.float() - self.output.weight.float().sum(dim=1))[:, None]

        def scores(columns: Tensor) -> Tensor:
            total = offset.expand(-1, columns.shape[1]).clone()
            unit = _HalvedUnit(gates.to(columns.dtype), columns.shape[1])
            bands = columns.split(BANDS)
            per_part = zip(bands, scales.split(BANDS), shifts.split(BANDS), strict=True)
            for (part, scale, shift), weight in zip(per_part, weights.split(BANDS * HIDDEN, dim=1), strict=True):
                candidates = (part.float()[:, None] * of_band[0]).add_(of_band[1])
                values = unit.read(part, candidates).mul(scale).add_(shift).sigmoid_()
                total.addmm_(weight, values.flatten(0, 1))
            return total.to(columns.dtype)

        return scores

    def _gate_weights(self) -> tuple[Tensor, Tensor]:
        """Weights of (half the state, band, 1): (3 × 64, 66) of reset, update and state; (2, 64, 1) of the band and of 1 alone.

        What tanh is taken of is twice as large, for tanh(x) / 2 = σ(2x) − ½.
        """
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
    """The recurrent unit of pixels in columns; it keeps half of its states (64, M), as σ(2x) − ½ returns them."""

    def __init__(self, gates: Tensor, pixels: int) -> None:
        self.gates = gates
        self.inputs = gates.new_zeros(HIDDEN + 2, pixels)  # the halved state, the band, ones
        self.inputs[-1] = 1
        self.state = torch.zeros(HIDDEN, pixels, device=gates.device)

    def read(self, bands: Tensor, candidates: Tensor) -> Tensor:
        """Halved states (n, 64, M) after each of n more bands (n, M). candidates : (n, 64, M), of the bands; overwritten."""
        states = torch.empty_like(candidates)
        for band, candidate, state in zip(bands, candidates, states, strict=True):
            self.inputs[:HIDDEN], self.inputs[HIDDEN] = self.state, band
            gates = (self.gates @ self.inputs).float()
            reset, update = gates[: 2 * HIDDEN].sigmoid_().chunk(2)
            candidate.addcmul_(reset, gates[2 * HIDDEN :]).sigmoid_().sub_(0.5)
            self.state = torch.lerp(candidate, self.state, update, out=state)
        return states
