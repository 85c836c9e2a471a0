"""Vectors of the patches of an image, by a file of Galileo or Presto: each patch by itself.

Takes reflectance (0 to 1, or times 10,000) and radar in decibels, as the encoders were trained with. Memory: the image and a batch of patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from deepnets4eo.arrays import FloatImage, Floats, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import spectral_bands
from deepnets4eo.segmenters.dated_encoders import PUBLISHED, REFLECTANCE, published_scaling
from deepnets4eo.segmenters.encoder_files import TransformerSizes

# Patches are computed without their neighbours: on a real flood, context of one patch let clouds into the vectors of clear cells (AUC of the
# changed cells .87 by the standardised difference without, .70 with context)
MIN_VALID = 0.5  # of a patch that takes part
BATCH = 256  # patches
RADAR = ("VV", "VH")
MAX_REFLECTANCE = 2.0  # 99th percentile: clouds reach 1 to 1.5


class DatedMaps:
    """An encoder of Galileo or Presto for images with these bands.

    Raises InputError for other files, and if `top`, a high percentile of the values of the optical bands, is not of reflectance.

    Parameters
    ----------
    path : .safetensors file with the published tensors
    bands : names of the bands; those that the encoder does not know are not used
    top : 99th percentile of each band (C,), by which reflectance of 0 to 1 is distinguished from reflectance times 10,000
    """

    def __init__(self, path: str | Path, bands: Sequence[str], top: FloatImage) -> None:
        sizes = TransformerSizes.of_file(path, bands)
        if not sizes.is_dated:
            raise InputError(
                f"{path} is of {sizes.kind}, which has no published values of bands. Take a file of Galileo or Presto here; the recipe "
                "images/frozen takes this one."
            )
        self.kind, self.width, self.patch_px = sizes.kind, sizes.width, sizes.patch_px
        self._network = sizes.build(len(bands), sizes.patch_px).eval().requires_grad_(requires_grad=False)
        sizes.load(self._network, path, bands, float(sizes.patch_px))
        mean, deviation = published_scaling(bands)
        change = published_change(bands, np.zeros(len(bands)), np.ones(len(bands)), np.asarray(top, float))
        if change is None:
            raise InputError(
                f"the values reach {float(np.max(top)):.6g} (99th percentile), but {Path(path).name} was trained with reflectance of 0 to 1, or times 10,000. Give "
                "images of reflectance (level 1C or 2A), or embed them by the recipe images/frozen, which measures their values."
            )
        self._factor, self._shift = (part.astype(np.float32)[:, None, None] for part in change)

    def compute(self, image: FloatImage, valid: Mask, month: int | None) -> FloatImage:
        """Return the vectors (D, h / patch, w / patch) of an image; sides that are not whole patches are cut off.

        Patches with less than half of their pixels valid get zeros.

        Parameters
        ----------
        image : (C, h, w)
        valid : (h, w)
        month : 1 to 12; None if unknown
        """
        values, seen = self._patches(image, valid)
        result = np.zeros((*seen.shape, self.width), np.float32)
        vectors = [np.zeros((0, self.width), np.float32)]
        with torch.inference_mode():
            for part in torch.from_numpy(values[seen]).split(BATCH):
                vectors.append(self._network.maps(part, month)[:, :, 0, 0].numpy())
        result[seen] = np.concatenate(vectors)
        return result.transpose(2, 0, 1)

    def _patches(self, image: FloatImage, valid: Mask) -> tuple[FloatImage, Mask]:
        """Standardised patches (h, w, C, side, side) whose invalid pixels have the mean of the others; and those with enough valid ones."""
        side, count = self.patch_px, len(image)
        height, width = (length // side for length in valid.shape)
        inside = valid[: height * side, : width * side].reshape(height, side, width, side).transpose(0, 2, 1, 3)
        standard = (image * self._factor + self._shift)[:, : height * side, : width * side]
        patches = standard.reshape(count, height, side, width, side).transpose(1, 3, 0, 2, 4)
        patches = np.where(inside[:, :, None], patches, np.float32(0)).astype(np.float32)
        means = patches.sum(axis=(3, 4)) / np.maximum(inside.sum(axis=(2, 3)), 1)[:, :, None]
        filled = np.where(inside[:, :, None], patches, means[..., None, None]).astype(np.float32)
        return filled, inside.mean(axis=(2, 3)) >= MIN_VALID


def known_bands(bands: Sequence[str]) -> list[int]:
    """Return which bands the encoders know, from 0."""
    return [index for index, (name, _) in enumerate(spectral_bands(bands)) if name in PUBLISHED]


def published_change(bands: Sequence[str], mean: Floats, std: Floats, top: Floats) -> tuple[Floats, Floats] | None:
    """Return factors and shifts (C,) from bands that are standardised by mean and std (C,) to bands standardised as published.

    None if `top`, the 99th percentiles of the bands as they are, are not of reflectance.
    """
    names = [name for name, _ in spectral_bands(bands)]
    optical = [index for index in known_bands(bands) if names[index] not in RADAR]
    unit = _unit(float(np.max(np.asarray(top)[optical]))) if optical else 1.0
    if unit is None:
        return None
    units = np.array([1.0 if name in RADAR else unit for name in names])
    means, deviations = published_scaling(bands)
    return std * units / deviations, (mean * units - means) / deviations


def _unit(highest: float) -> float | None:
    """Return the factor from values to reflectance times 10,000; None if they are no reflectance."""
    return next((unit for unit in (REFLECTANCE, 1.0) if 0 < highest * unit / REFLECTANCE <= MAX_REFLECTANCE), None)
