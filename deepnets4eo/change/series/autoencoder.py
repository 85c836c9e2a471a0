"""Features of cells from networks: a frozen encoder of photographs, and an autoencoder that is trained on the series itself.

Takes bands of a series, scaled by the spread of its own values; means of a network's maps over a cell describe it. The autoencoder
needs neither weights nor labels of others: it learns to restore windows of all dates from maps a quarter as fine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.baselines import FrozenEncoder
from deepnets4eo.change.series.features import CellGrid, cell_sums
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError
from deepnets4eo.rasters.band_roles import COLOURS, role_indices
from deepnets4eo.tiling.sampling import spread_windows

MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]  # of ImageNet's photographs
STD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
PERCENT = (1, 99)  # values that become 0 and 1
SAMPLE_PX, SAMPLES = 256, 2  # side of the windows that the spread is measured on, and how many along an axis
COARSEST_PX = 16  # pixels of a cell of the encoder's map
COMPONENTS = 32  # columns: maps of more channels are projected to so many random directions

log = logging.getLogger(__name__)

REDUCTION = 4  # pixels of a cell of its maps
WIDTHS, LATENT = (16, 32), 8  # channels of both layers, and of the maps that describe cells
STEPS, BATCH, PATCH_PX, LEARNING_RATE = 400, 64, 32, 2e-3
READ_PX, READS = 256, 2  # side of the windows that patches are taken from, and how many of them along an axis
MOST_DATES = 24  # that patches are taken from, spread over the series
LEAST_VALID = 0.5  # share of a patch


class ConvAutoencoder(nn.Module):
    """Two layers that halve the sides, maps of few channels, and two layers back.

    >>> network = ConvAutoencoder(4)
    >>> maps = network.encoder(torch.zeros(1, 4, 32, 32))
    >>> maps.shape, network.decoder(maps).shape
    (torch.Size([1, 8, 8, 8]), torch.Size([1, 4, 32, 32]))
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        fine, coarse = WIDTHS
        self.encoder = nn.Sequential(
            nn.Conv2d(bands, fine, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(fine, coarse, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(coarse, LATENT, 1),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Conv2d(LATENT, coarse, 1), nn.ReLU(),
            nn.ConvTranspose2d(coarse, fine, 4, stride=2, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(fine, bands, 4, stride=2, padding=1),
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        """image : (N, C, H, W), sides of multiples of 4 · returns : the image restored, of the same shape."""
        restored: Tensor = self.decoder(self.encoder(image))
        return restored


class AutoencoderFeatures:
    """What an autoencoder, trained on the series when this is made, knows of a cell of `side_px`, a multiple of 4; the
    same seed trains the same features on one machine. Raises InputError for other cells, and where no window has
    enough valid pixels."""

    def __init__(self, series: ImageSeries, *, side_px: int, steps: int = STEPS, seed: int = 0) -> None:
        if side_px % REDUCTION:
            raise InputError(
                f"cells of {side_px} px are not made of whole cells of an autoencoder. Take a multiple of {REDUCTION}."
            )
        self._low, self._high = band_spread(series, list(range(len(series.band_names))))
        self.names = [f"autoencoder {number} {what}" for number in range(LATENT) for what in ("mean", "sd")]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = ConvAutoencoder(len(series.band_names))
            self.losses = self._train(self._windows(series), steps, np.random.default_rng(seed))
        log.info("autoencoder: mean squared error %.3f, then %.3f", self.losses[0], np.mean(self.losses[-20:]))

    def measure(self, image: FloatImage, valid: Mask, cells: CellGrid) -> NDArray[np.float32]:
        """image : (C, h, w) and valid : (h, w) → (F, rows, cols); what is not valid gets the mean of the rest"""
        with torch.no_grad():
            maps = self._network.encoder(torch.from_numpy(self._scaled(image, valid))[None])[0].numpy()
        coarse = CellGrid(cells.grid, cells.cell_px // REDUCTION, cells.stride_px // REDUCTION)
        rows, cols = ((side - cells.cell_px) // cells.stride_px + 1 for side in valid.shape)
        number = coarse.cell_px**2
        features = []
        for each in maps:
            middle = np.float32(each.mean())  # else squares lose their digits in float32
            mean, square = (
                cell_sums(values, coarse)[:rows, :cols] / number for values in (each - middle, (each - middle) ** 2)
            )
            features += [mean + middle, np.sqrt(np.maximum(square - mean**2, 0))]
        return np.stack(features).astype(np.float32)

    def _scaled(self, image: FloatImage, valid: Mask) -> FloatImage:
        """Values of −1 to 1 within the spread of the series, cut a little beyond; what is not valid is the mean of the rest."""
        scaled = np.clip(2 * (np.where(valid, image, 0) - self._low) / (self._high - self._low) - 1, -2, 2)
        filling = scaled[:, valid].mean(axis=1) if valid.any() else np.zeros(len(scaled), np.float32)
        return np.where(valid, scaled, filling[:, None, None]).astype(np.float32)

    def _windows(self, series: ImageSeries) -> list[tuple[FloatImage, Mask]]:
        """Windows of dates over all of the series. Memory: 24 dates of 4 windows of 256 px."""
        dates = np.unique(np.linspace(0, len(series) - 1, min(len(series), MOST_DATES)).round().astype(int))
        windows = []
        for index in dates:
            for window in spread_windows(series.shape, (READ_PX, READ_PX), READS):
                image, valid = series.read(int(index), window)
                if min(valid.shape) >= PATCH_PX and valid.mean() >= LEAST_VALID:
                    windows.append((self._scaled(image, valid), valid))
        if not windows:
            raise InputError(
                f"no window of the series has {PATCH_PX} px a side with half of its pixels valid, so no autoencoder can be "
                "trained. Check masks and nodata, or use --set features=spectral."
            )
        return windows

    def _train(self, windows: list[tuple[FloatImage, Mask]], steps: int, rng: np.random.Generator) -> list[float]:
        """Mean squared error of each step on valid pixels."""
        optimizer = torch.optim.Adam(self._network.parameters(), lr=LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=max(steps, 2))
        losses = []
        for _ in range(steps):
            images, valid = _patches(windows, rng)
            error = (self._network(images) - images).square().mean(dim=1) * valid
            loss = error.sum() / valid.sum().clamp_min(1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        return losses


def _patches(windows: list[tuple[FloatImage, Mask]], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A batch of patches (N, C, 32, 32) at random positions of random windows, and where they are valid (N, 32, 32)."""
    images, masks = [], []
    for number in rng.integers(0, len(windows), BATCH):
        image, valid = windows[number]
        row, col = (int(rng.integers(0, side - PATCH_PX + 1)) for side in valid.shape)
        rows, cols = slice(row, row + PATCH_PX), slice(col, col + PATCH_PX)
        images.append(image[:, rows, cols])
        masks.append(valid[rows, cols])
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks).astype(np.float32))


class EncoderFeatures:
    """What a `FrozenEncoder` sees in a cell of `side_px`, which the encoder's step divides: red, green and blue by
    name, else the first three bands, else the first as grey. Raises InputError for encoders without a level that
    fits the cells."""

    def __init__(
        self, series: ImageSeries, name: str, weights: str | Path | None, *, side_px: int, seed: int = 0
    ) -> None:
        self._bands = _colours(series.band_names)
        self._low, self._high = band_spread(series, self._bands)
        step = next((one for one in (16, 8, 4) if side_px % one == 0 and one <= COARSEST_PX), None)
        if step is None:
            raise InputError(
                f"cells of {side_px} px are not made of whole cells of an encoder. Take multiples of 4, 8 or 16."
            )
        self._encoder = FrozenEncoder(name, step, weights=weights, seed=seed)
        channels = self._encoder.channels
        rng = np.random.default_rng(seed)
        self._projection = None
        if channels > COMPONENTS:
            self._projection = rng.normal(size=(COMPONENTS, channels)).astype(np.float32) / np.sqrt(channels)
        self.names = [f"{name} {number}" for number in range(min(channels, COMPONENTS))]

    def measure(self, image: FloatImage, valid: Mask, cells: CellGrid) -> NDArray[np.float32]:
        """image : (C, h, w) and valid : (h, w) → (F, rows, cols); what is not valid gets the mean of the rest"""
        colours = np.clip((image[self._bands] - self._low) / (self._high - self._low), 0, 1)
        filling = colours[:, valid].mean(axis=1) if valid.any() else np.zeros(3, np.float32)
        colours = (np.where(valid, colours, filling[:, None, None]) - MEAN) / STD
        maps = self._encoder(torch.from_numpy(colours.astype(np.float32))[None])[0].numpy()
        step = self._encoder.reduction
        coarse = CellGrid(cells.grid, cells.cell_px // step, cells.stride_px // step)
        rows, cols = ((side - cells.cell_px) // cells.stride_px + 1 for side in valid.shape)
        means = np.stack([_means(each, coarse)[:rows, :cols] for each in maps])
        if self._projection is None:
            return means
        return np.tensordot(self._projection, means, axes=1)


def _means(values: FloatImage, coarse: CellGrid) -> NDArray[np.float32]:
    return np.asarray(cell_sums(values, coarse) / coarse.cell_px**2, np.float32)


def _colours(names: Sequence[str]) -> list[int]:
    roles = role_indices(list(names))
    if all(colour in roles for colour in COLOURS):
        return [roles[colour] for colour in COLOURS]
    return [0, 1, 2] if len(names) >= 3 else [0, 0, 0]


def band_spread(series: ImageSeries, bands: list[int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Low and high of each of the bands over all dates, (C, 1, 1); 1st and 99th percentile of spread windows."""
    pixels = []
    for index in range(len(series)):
        for window in spread_windows(series.shape, (SAMPLE_PX, SAMPLE_PX), SAMPLES):
            image, valid = series.read(index, window)
            pixels.append(image[bands][:, valid][:, ::7])
    values = np.concatenate(pixels, axis=1)
    if not values.shape[1]:
        raise InputError("no pixel of the series is valid. Check masks and nodata.")
    low, high = np.percentile(values, PERCENT, axis=1).astype(np.float32)
    return low[:, None, None], np.maximum(high, low + 1e-6)[:, None, None]
