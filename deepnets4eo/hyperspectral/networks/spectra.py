"""Networks of single spectra: fully connected, convolved along the bands, read band by band, and an autoencoder.

Spectra come in rows for training, and in columns for whole cubes: each layer is then one product of matrices, and the
values of a batch of pixels stay in a processor's cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier, check_bands, initialise, map_pixels

Columns = Callable[[Tensor], Tensor]


class PixelNetwork(PatchClassifier):
    """Base of networks of single spectra: subclasses have `spectrum_scores`, and `prepare_columns` where it is faster.
    Errors: InputError for patches of more than one pixel."""

    pixels_at_once = 512  # their values stay in the cache

    def __init__(self, patch_px: int, in_channels: int) -> None:
        if patch_px != 1:
            raise InputError(
                f"patch_px={patch_px} was given, but {type(self).__name__} labels a pixel by its spectrum alone. Leave it "
                "out, or choose a network of patches."
            )
        super().__init__(1, 0, 0, in_channels)

    def spectrum_scores(self, spectra: Tensor) -> Tensor:
        """Logits of pixels. spectra : (M, B) → (M, K)"""
        raise TypeError(f"{type(self).__name__} does not implement spectrum_scores")

    def prepare_columns(self) -> Columns | None:
        """A function of few pixels in columns, (B, M) → (K, M), or None: `spectrum_scores` of many pixels is as fast."""
        return None

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of pixels as patches. patches : (N, B, 1, 1) → (N, K)"""
        self.check_patches(patches)
        return self.spectrum_scores(patches.flatten(1))

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Logits of all pixels. cube : (N, B, h, w) → (N, K, h, w)"""
        whole = self.training or torch.compiler.is_compiling()  # batch statistics need all pixels; a graph has no loops
        columns = None if whole else self.prepare_columns()
        if columns is None:
            return map_pixels(self.spectrum_scores, cube, None if whole else self.pixels_at_once)
        bands = cube.transpose(0, 1)
        parts = bands.flatten(1).split(self.pixels_at_once, dim=1)
        of_columns = torch.cat([columns(part.contiguous()) for part in parts], dim=1)
        return of_columns.unflatten(1, bands.shape[1:]).transpose(0, 1)


def band_products(rows: Tensor, weight: Tensor, step: int) -> Tensor:
    """Return products of a matrix with windows of rows, `step` apart: rows (R, M), weight (O, window) → (windows, O,
    M)."""
    windows = rows.unfold(0, weight.shape[1], step).transpose(1, 2)
    return torch.bmm(weight.expand(len(windows), -1, -1), windows)


def half_tanh(doubled: Tensor, term: Tensor) -> Tensor:
    """Return tanh(x) / 2 of values 2x = doubled + term as σ(2x) − ½, in float32 and a tenth of the time of torch's tanh
    on CPUs. `doubled` is overwritten where it is float32."""
    return doubled.float().add_(term).sigmoid_().sub_(0.5).to(doubled.dtype)


NN_WIDTHS = (2048, 4096, 2048)
NN_DROPOUT = 0.5


class FullyConnected(PixelNetwork):
    """Three hidden layers of 2048, 4096 and 2048 units on single spectra; the baseline of Audebert et al., GRSM 2019.

    dropout : half of the units of each hidden layer are left out in training.

    >>> sum(parameter.numel() for parameter in FullyConnected(103, 9).parameters())
    17014793"""

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 1, dropout: bool = False) -> None:
        super().__init__(patch_px, in_channels)
        layers: list[nn.Module] = []
        for before, after in zip((in_channels, *NN_WIDTHS), NN_WIDTHS, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(NN_DROPOUT if dropout else 0)]
        self.layers = nn.Sequential(*layers, nn.Linear(NN_WIDTHS[-1], num_classes))
        initialise(self.modules(), nn.init.kaiming_normal_, zero_bias=True)

    def spectrum_scores(self, spectra: Tensor) -> Tensor:
        """Logits of pixels. spectra : (M, B) → (M, K)"""
        scores: Tensor = self.layers(spectra)
        return scores


HU_MAPS = 20
HU_HIDDEN = 100
HU_RANGE = 0.05  # of first weights


class Hu(PixelNetwork):
    """One convolution along the spectrum, one pooling, one hidden layer (Hu et al., Journal of Sensors 2015).

    The kernel is a ninth of the spectrum, the pooling a fifth of the kernel, both rounded up.

    >>> network = Hu(200, 16)
    >>> network.kernel, network.pool, network.length
    (23, 5, 35)"""

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 1) -> None:
        check_bands("Hu et al. 2015", in_channels, lambda bands: bands)
        super().__init__(patch_px, in_channels)
        self.kernel = -(-in_channels // 9)
        self.pool = -(-self.kernel // 5)
        self.length = (in_channels - self.kernel + 1) // self.pool
        self.convolution = nn.Conv1d(1, HU_MAPS, self.kernel)
        self.pooling = nn.MaxPool1d(self.pool)
        self.hidden = nn.Linear(HU_MAPS * self.length, HU_HIDDEN)
        self.output = nn.Linear(HU_HIDDEN, num_classes)
        initialise(self.modules(), partial(nn.init.uniform_, a=-HU_RANGE, b=HU_RANGE), zero_bias=True)

    def spectrum_scores(self, spectra: Tensor) -> Tensor:
        """Logits of pixels. spectra : (M, B) → (M, K)"""
        maps = torch.tanh(self.pooling(self.convolution(spectra[:, None])))
        scores: Tensor = self.output(torch.tanh(self.hidden(maps.flatten(1))))
        return scores

    def prepare_columns(self) -> Columns:
        """A function of pixels in columns: convolution and pooling as products of all positions that are pooled together."""
        kernel = self.convolution.weight[:, 0]
        pooled = 2 * torch.cat([F.pad(kernel, (shift, self.pool - 1 - shift)) for shift in range(self.pool)])
        bias, hidden_bias, output_bias = (
            cast(Tensor, layer.bias)[:, None] for layer in (self.convolution, self.hidden, self.output)
        )
        bias, hidden_bias, output = 2 * bias.float(), 2 * hidden_bias.float(), 2 * self.output.weight
        hidden = 4 * self.hidden.weight.unflatten(1, (HU_MAPS, self.length)).transpose(1, 2).flatten(1)

        def scores(columns: Tensor) -> Tensor:
            at_shifts = band_products(columns, pooled, self.pool).split(HU_MAPS, dim=1)
            maps = at_shifts[0]
            for other in at_shifts[1:]:
                maps = torch.maximum(maps, other)
            values = hidden @ half_tanh(maps, bias).flatten(0, 1)
            return torch.addmm(output_bias, output, half_tanh(values, hidden_bias))

        return scores


MOU_HIDDEN = 64
MOU_BANDS = 8  # whose states are scored together


class Mou(PixelNetwork):
    """Mou, Ghamisi and Zhu, TGRS 2017: a gated recurrent unit over the bands; all its states label the pixel.

    First weights are torch's, as in the public comparison.

    >>> sum(parameter.numel() for parameter in Mou(103, 9).parameters())
    85385"""

    pixels_at_once = 1536  # the product of a band is small: fewer calls

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 1) -> None:
        check_bands("Mou et al. 2017", in_channels, lambda bands: bands)
        super().__init__(patch_px, in_channels)
        self.recurrent = nn.GRU(1, MOU_HIDDEN, batch_first=True)
        self.norm = nn.BatchNorm1d(MOU_HIDDEN * in_channels)
        self.output = nn.Linear(MOU_HIDDEN * in_channels, num_classes)

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
        weights = (2 * self.output.weight).split(MOU_BANDS * MOU_HIDDEN, dim=1)
        offset = (self.output.bias.float() - self.output.weight.float().sum(dim=1))[:, None]

        def scores(columns: Tensor) -> Tensor:
            total = offset.repeat(1, columns.shape[1])
            unit = _HalvedUnit(gates.to(dtype), of_band, columns.shape[1])
            state = torch.empty_like(unit.state)
            states = columns.new_empty(MOU_BANDS * MOU_HIDDEN, columns.shape[1])
            kept = states.split(MOU_HIDDEN)
            for number, (band, scale, shift) in enumerate(zip(columns.float(), scales, shifts, strict=True)):
                torch.mul(unit.read(band), scale, out=state)
                kept[number % MOU_BANDS].copy_(state.add_(shift).sigmoid_())
                if number % MOU_BANDS == MOU_BANDS - 1:
                    total += weights[number // MOU_BANDS] @ states
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
        band = torch.cat([of_band[: 2 * MOU_HIDDEN], torch.zeros_like(of_band[2 * MOU_HIDDEN :])])
        bias = state_bias + torch.cat([band_bias[: 2 * MOU_HIDDEN], torch.zeros_like(band_bias[2 * MOU_HIDDEN :])])
        gates = torch.cat([2 * of_state, band, bias[:, None]], dim=1)
        gates[2 * MOU_HIDDEN :] *= 2
        return gates, 2 * torch.stack([of_band[2 * MOU_HIDDEN :], band_bias[2 * MOU_HIDDEN :, None]])

    def _norm_weights(self) -> tuple[Tensor, Tensor]:
        """Factors and terms (B, 64, 1) that make 2x of half the states, x being the normalised states."""
        variance, mean = (cast(Tensor, value).float() for value in (self.norm.running_var, self.norm.running_mean))
        scale = self.norm.weight.float() * (variance + self.norm.eps).rsqrt()
        shift = self.norm.bias.float() - scale * mean
        return (4 * scale).view(-1, MOU_HIDDEN, 1), (2 * shift).view(-1, MOU_HIDDEN, 1)


class _HalvedUnit:
    """The recurrent unit of pixels in columns; it keeps half of its states (64, M), as σ(2x) − ½ returns them. All
    buffers are made once, so that a band takes a few passes over values in the cache."""

    def __init__(self, weights: Tensor, of_band: Tensor, pixels: int) -> None:
        self.weights, self.of_band = weights, of_band
        self.inputs = weights.new_zeros(MOU_HIDDEN + 2, pixels)  # the halved state, the band, ones
        self.inputs[-1] = 1
        self.halved, self.band = self.inputs[:MOU_HIDDEN], self.inputs[MOU_HIDDEN]
        self.products = weights.new_empty(3 * MOU_HIDDEN, pixels)
        self.gates = self.products.float()  # itself in float32
        self.reset, self.update, self.of_state = self.gates.chunk(3)
        self.both = self.gates[: 2 * MOU_HIDDEN]
        self.state, self.candidate = torch.zeros(2, MOU_HIDDEN, pixels, device=weights.device)

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


BOULCH_FIRST, BOULCH_LATER = 32, 16  # maps
BOULCH_CODE = 3
BOULCH_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class Boulch(PixelNetwork):
    """Boulch, Audebert and Dubucq, GRETSI 2017: the spectrum (4 bands at least) is halved until one value of three maps is left, the code.

    One linear layer labels the code, one reconstructs the spectrum.

    >>> network = Boulch(103, 9)
    >>> network.code(torch.zeros(2, 103)).shape, sum(parameter.numel() for parameter in network.parameters())
    (torch.Size([2, 3]), 5635)
    """

    pixels_at_once = 1024  # few values of each: fewer calls
    reconstruction_weight = 0.1

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 1) -> None:
        check_bands("Boulch et al. 2017", in_channels, lambda bands: bands // 4)  # two blocks at least
        super().__init__(patch_px, in_channels)
        blocks, maps, length = [], 1, in_channels
        while length > 1:
            width = BOULCH_FIRST if maps == 1 else BOULCH_LATER
            blocks.append(
                nn.Sequential(nn.Conv1d(maps, width, 3, padding=1), nn.MaxPool1d(2), nn.ReLU(), nn.BatchNorm1d(width))
            )
            maps, length = width, length // 2
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Conv1d(BOULCH_LATER, BOULCH_CODE, 3, padding=1)
        self.output = nn.Linear(BOULCH_CODE, num_classes)
        self.regressor = nn.Linear(BOULCH_CODE, in_channels)
        initialise(self.modules(), nn.init.kaiming_normal_)

    def code(self, spectra: Tensor) -> Tensor:
        """Three values of each pixel, −1 … 1. spectra : (M, B) → (M, 3)"""
        return torch.tanh(self.last(self.blocks(spectra[:, None]))).flatten(1)

    def spectrum_scores(self, spectra: Tensor) -> Tensor:
        """Logits of pixels. spectra : (M, B) → (M, K)"""
        scores: Tensor = self.output(self.code(spectra))
        return scores

    def reconstruct(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K) and reconstructed spectra (N, B) of pixels (N, B, 1, 1)."""
        self.check_patches(patches)
        code = self.code(patches.flatten(1))
        return self.output(code), self.regressor(code)

    def prepare_columns(self) -> Columns:
        """Return a function of pixels in columns, as CPUs convolve them fastest. The first convolution is a product of
        four bands in a row, and normalisations become part of the convolution after them."""
        blocks = cast(Iterable[tuple[nn.Conv1d, nn.Module, nn.Module, nn.BatchNorm1d]], self.blocks)
        (entry, _, _, norm), *later = blocks
        pair = _kernel_pair(entry)
        halvings = []
        for convolution, _, _, following in later:
            halvings.append(_Halving(convolution, norm, self.pixels_at_once))
            norm = following
        centre = self.last.weight[:, :, 1]  # of one value, the outer taps see zeros
        scale, shift = _norm_factors(norm)
        last, last_bias = (centre * scale).t(), cast(Tensor, self.last.bias) + centre @ shift
        output_bias = self.output.bias[:, None]

        def scores(columns: Tensor) -> Tensor:
            maps = _larger_or_zero(*(_band_windows(columns) @ pair).chunk(2, dim=2))
            for halving in halvings:
                maps = halving(maps)
            code = torch.tanh(torch.addmm(last_bias, maps[0], last))
            return torch.addmm(output_bias, self.output.weight, code.t())

        return scores


class _Halving:
    """A convolution of normalised maps and the pooling after it, both without the normalisation: (n, M, C) → (n // 2, M, C')."""

    def __init__(self, convolution: nn.Conv1d, norm: nn.BatchNorm1d, pixels: int) -> None:
        scale, shift = _norm_factors(norm)
        self.weight = (convolution.weight * scale[:, None])[..., None].contiguous(memory_format=torch.channels_last)
        before, at, after = (convolution.weight * shift[:, None]).sum(dim=1).unbind(1)
        self.bias = cast(Tensor, convolution.bias) + before + at + after
        ends = torch.stack([before, after])[:, None]  # the padding is zero only after the normalisation
        self.ends = ends.expand(-1, pixels, -1).contiguous()  # bfloat16 is slow where values are repeated

    def __call__(self, maps: Tensor) -> Tensor:
        values = F.conv2d(maps.permute(2, 0, 1)[None], self.weight, self.bias, padding=(1, 0))[0].permute(1, 2, 0)
        values[0] -= self.ends[0, : values.shape[1]]
        values[-1] -= self.ends[1, : values.shape[1]]
        return _larger_or_zero(values[:-1:2], values[1::2])


def _norm_factors(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Factor and term of each channel, (C,) both."""
    scale = norm.weight * (cast(Tensor, norm.running_var) + norm.eps).rsqrt()
    return scale, norm.bias - scale * cast(Tensor, norm.running_mean)


def _kernel_pair(convolution: nn.Conv1d) -> Tensor:
    """The kernel at two positions that are pooled, and its bias, for windows of `_band_windows`: (5, 2 C')."""
    kernel = convolution.weight[:, 0]
    pair = torch.cat([F.pad(kernel, (0, 1)), F.pad(kernel, (1, 0))])
    return torch.cat([pair, cast(Tensor, convolution.bias).repeat(2)[:, None]], dim=1).t().contiguous()


def _band_windows(columns: Tensor) -> Tensor:
    """Four bands in a row and a one, from every second band on: (B, M) → (B // 2, M, 5); zeros beyond the spectrum."""
    windows = columns.new_ones(len(columns) // 2, columns.shape[1], 5)
    windows[..., :4] = F.pad(columns, (0, 0, 1, 1)).unfold(0, 4, 2)
    return windows


def _larger_or_zero(first: Tensor, second: Tensor) -> Tensor:
    """Return max(first, second, 0) by the bits: above 0, numbers are ordered like their bits, a third of the time in
    bfloat16."""
    bits = BOULCH_BITS[first.element_size()]
    return torch.maximum(first.view(bits), second.view(bits)).clamp_min_(0).view(first.dtype)
