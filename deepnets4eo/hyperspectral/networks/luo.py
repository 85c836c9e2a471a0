"""HSI-CNN: maps along the spectrum are read as an image (Luo et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.initialise import initialise
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier
from deepnets4eo.hyperspectral.patch_layers import check_bands, out_length

MAPS = 90
IMAGE_MAPS = 64
HIDDEN = 1024


class Luo(PatchClassifier):
    """HSI-CNN (Luo et al., ICPR 2018): 90 maps of T values along the spectrum are convolved as one image of T × 90.

    The image is the memory of the maps, cut into rows of 90, as in the public code: not their transpose.
    patch_px : 3. Errors: InputError for less than 42 bands (T = 3), or another patch.

    >>> Luo(51, 9).length
    4
    """

    def __init__(self, in_channels: int, num_classes: int, *, patch_px: int = 3) -> None:
        if patch_px != 3:
            raise InputError(f"patch_px={patch_px} was given; HSI-CNN is made for 3. Leave it out.")
        spectral = nn.Conv3d(1, MAPS, (24, 3, 3), stride=(9, 1, 1))
        check_bands("Luo et al. 2018", in_channels, lambda bands: out_length([spectral], bands, -3) - 2)
        length = out_length([spectral], in_channels, -3)
        image_values = IMAGE_MAPS * (length - 2) * (MAPS - 2)
        super().__init__(patch_px, 1, 1, 2 * image_values + HIDDEN)
        self.length, self.spectral = length, spectral
        self.image = nn.Conv2d(1, IMAGE_MAPS, 3)
        self.hidden = nn.Linear(image_values, HIDDEN)
        self.output = nn.Linear(HIDDEN, num_classes)
        initialise(self.modules(), nn.init.kaiming_uniform_)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        self.check_patches(patches)
        return self.inner_scores(patches).flatten(1)

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Logits of all but the outermost pixels. cube : (N, B, h, w) → (N, K, h − 2, w − 2)"""
        maps = torch.relu(self.spectral(cube[:, None])).permute(0, 3, 4, 1, 2)
        images = maps.reshape(-1, 1, self.length, MAPS)
        hidden = torch.relu(self.hidden(torch.relu(self.image(images)).flatten(1)))
        scores: Tensor = self.output(hidden)
        return scores.unflatten(0, maps.shape[:3]).permute(0, 3, 1, 2)
