"""Networks of single spectra: fully connected, convolved along the bands, read band by band, and an autoencoder."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier, check_bands, initialise, map_pixels


class PixelNetwork(PatchClassifier):
    """Base of networks of single spectra: subclasses have `spectrum_scores`. Errors: InputError for patches of more than one pixel."""

    pixels_at_once = 512  # their values stay in the cache

    def __init__(self, patch_px: int, in_channels: int) -> None:
        if patch_px != 1:
            raise InputError(
                f"patch_px={patch_px} was given, but {type(self).__name__} labels a pixel by only its spectrum. Leave it "
                "out, or choose a network of patches."
            )
        super().__init__(1, 0, 0, in_channels)

    def spectrum_scores(self, spectra: Tensor) -> Tensor:
        """Logits of pixels. spectra : (M, B) → (M, K)"""
        raise TypeError(f"{type(self).__name__} does not implement spectrum_scores")

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of pixels as patches. patches : (N, B, 1, 1) → (N, K)"""
        self.check_patches(patches)
        return self.spectrum_scores(patches.flatten(1))

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Logits of all pixels. cube : (N, B, h, w) → (N, K, h, w)"""
        whole = self.training or torch.compiler.is_compiling()  # batch statistics need all pixels; a graph has no loops
        return map_pixels(self.spectrum_scores, cube, None if whole else self.pixels_at_once)


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


MOU_HIDDEN = 64


class Mou(PixelNetwork):
    """Mou, Ghamisi and Zhu, TGRS 2017: a gated recurrent unit over the bands; all its states label the pixel.

    First weights are torch's, as in the public comparison.

    >>> sum(parameter.numel() for parameter in Mou(103, 9).parameters())
    85385"""

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


BOULCH_FIRST, BOULCH_LATER = 32, 16  # maps
BOULCH_CODE = 3


class Boulch(PixelNetwork):
    """Boulch, Audebert and Dubucq, GRETSI 2017: the spectrum (4 bands at least) is halved until one value of three maps is left, the code.

    One linear layer labels the code, one reconstructs the spectrum.

    >>> network = Boulch(103, 9)
    >>> network.code(torch.zeros(2, 103)).shape, sum(parameter.numel() for parameter in network.parameters())
    (torch.Size([2, 3]), 5635)
    """

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
