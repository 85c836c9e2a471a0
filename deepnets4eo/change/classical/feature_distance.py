"""Change by the features of a frozen encoder: how the surroundings of a pixel look at both dates, in addition to its colours.

The shipped weights (`models/efficientnet-lite0`) are never trained, and no label is read. Needs PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.change.classical.pair_scores import Blocks, PairScore, Score
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import BandMoments, colour_bands
from deepnets4eo.tiling import Tiling

REDUCTIONS_PX = (2, 4, 8, 16, 32)  # pixels of a cell, by level of the encoder
DIRECTIONS = 3  # coarsest levels whose vectors are compared by their direction too
PHOTOGRAPHS_STD = 0.5  # of a photograph as the encoder takes it, from −1 to 1 about 0
SMALLEST = np.float32(1e-6)
HALO_PX = 128  # whole cells of all levels, as sides of tiles are; what lies farther away has little weight
SMALLEST_TILE_PX, LARGEST_TILE_PX = 384, 1024

Maps = list[NDArray[np.float32]]  # one level each, (C, h, w)
Scaling = list[tuple[FloatImage, FloatImage]]  # mean and deviation of each level's channels, (C, 1, 1)


class FeatureDistance(PairScore):
    """Length of the difference of both dates' features, summed over five levels, times one minus their cosine, summed over three levels.

    Each channel is standardised at its own date over the pair.

    The length shows how much differs, the cosine whether the kind of object differs: season and light alter only the
    length.

    bands : red, green and blue among the bands of a date
    """

    name = "embeddings"

    def __init__(self, bands: Sequence[int] = (0, 1, 2)) -> None:
        self.bands = list(bands)
        self.scaling: list[Scaling] = []  # of both dates

    @classmethod
    def of_bands(cls, names: Sequence[str]) -> FeatureDistance:
        """Return the method for dates whose bands have these names."""
        return cls(colour_bands(names))

    @property
    def halo_px(self) -> int:
        """Context that each pixel needs on each side."""
        return HALO_PX

    def tiling(self, shape: tuple[int, int] | None = None) -> Tiling:
        """Return the tiling into whole cells that needs the fewest pixels for a scene of this shape."""
        usual = super().tiling()
        sides = range(SMALLEST_TILE_PX, LARGEST_TILE_PX + 1, REDUCTIONS_PX[-1])
        return usual if shape is None else usual.least_work(shape, sides)

    def fit(self, blocks: Blocks) -> None:
        """Go over the pair once: mean and deviation of each channel at each date where all pixels of a cell are valid."""
        measured: list[list[BandMoments]] = []
        for values, valid in blocks():
            dates = [self._levels(date) for date in np.split(values, 2)]
            measured = measured or [[BandMoments(len(level)) for level in levels] for levels in dates]
            for moments, levels in zip(measured, dates, strict=True):
                for stats, level, reduction in zip(moments, levels, REDUCTIONS_PX, strict=True):
                    stats.update(level[:, _whole_cells(valid, reduction)])
        self.scaling = [[(_column(stats.mean), _column(stats.std)) for stats in moments] for moments in measured]

    def measure(self, pair: FloatImage) -> Score:
        """Compute the scores (h, w) of a pair (2 p, h, w)."""
        if not self.scaling:
            raise InputError(f"{self.name} is not fitted yet. Call fit first.")
        pre, post = (
            [(level - mean) / (std + SMALLEST) for level, (mean, std) in zip(self._levels(date), scaling, strict=True)]
            for date, scaling in zip(np.split(pair, 2), self.scaling, strict=True)
        )
        shape = pair.shape[1:]
        length, turn = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for number, (before, after, reduction) in enumerate(zip(pre, post, REDUCTIONS_PX, strict=True)):
            length += _on_pixels(np.sqrt(np.square(after - before).mean(axis=0)), reduction, shape)
            if number >= len(REDUCTIONS_PX) - DIRECTIONS:
                turn += _on_pixels(_one_less_cosine(before, after), reduction, shape)
        return length * turn

    def to(self, device: str) -> None:
        """Move the encoder."""
        self._network.to(device)

    def to_dict(self) -> dict[str, Any]:
        """Mean and deviation of channels by date and level, as plain values."""
        return {"scaling": [[[values.ravel().tolist() for values in level] for level in date] for date in self.scaling]}

    def take(self, values: Mapping[str, Any]) -> None:
        """Take back what `to_dict` returned."""
        self.scaling = [[(_column(mean), _column(std)) for mean, std in date] for date in values["scaling"]]

    @cached_property
    def _network(self) -> Any:
        from deepnets4eo.segmenters import frozen_encoder

        return frozen_encoder()

    def _levels(self, date: FloatImage) -> Maps:
        """Return the maps of an image (p, h, w) whose standardised bands are rescaled to the spread of photographs."""
        import torch

        below, right = (-side % REDUCTIONS_PX[-1] for side in date.shape[1:])
        colours = np.clip(date[self.bands] * np.float32(PHOTOGRAPHS_STD), -1, 1)
        pixels = np.pad(colours, ((0, 0), (0, below), (0, right)), mode="edge")
        device = next(self._network.parameters()).device
        with torch.inference_mode():
            image = torch.from_numpy(pixels)[None].to(device, memory_format=torch.channels_last)
            return [level[0].cpu().numpy() for level in self._network(image)]


def _whole_cells(valid: Mask, reduction: int) -> Mask:
    """Cells whose pixels are all valid; at the lower and right edge those that begin inside."""
    below, right = (-side % REDUCTIONS_PX[-1] for side in valid.shape)
    whole = np.pad(valid, ((0, below), (0, right)), mode="edge")
    rows, cols = (side // reduction for side in whole.shape)
    return np.asarray(whole.reshape(rows, reduction, cols, reduction).all(axis=(1, 3)))


def _column(values: Any) -> FloatImage:
    return np.asarray(values, np.float32)[:, None, None]


def _one_less_cosine(before: FloatImage, after: FloatImage) -> FloatImage:
    lengths = np.linalg.norm(before, axis=0) * np.linalg.norm(after, axis=0)
    return np.asarray(1 - (before * after).sum(axis=0) / np.maximum(lengths, SMALLEST), np.float32)


def _on_pixels(values: FloatImage, reduction: int, shape: tuple[int, int]) -> FloatImage:
    """Values of cells (h, w) at the pixels of an image, between cells bilinear; a cell's middle is its last pixel (padding "SAME")."""
    from scipy.ndimage import affine_transform

    step = 1 / reduction
    first = -(reduction - 1) * step
    return np.asarray(
        affine_transform(values, [step, step], [first, first], output_shape=shape, order=1, mode="nearest"), np.float32
    )
