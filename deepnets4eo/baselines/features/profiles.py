"""Morphological profiles: how bright and dark regions vanish as the required size or contrast grows.

Regions of `largest_px` or more stay unchanged, so values are exact within a halo. Peak memory: 250 bytes a pixel, 16 a
node and column."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deepnets4eo.arrays import FloatImage, Indices
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.feature import at_sites
from deepnets4eo.baselines.features.max_tree import MaxTree
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import atomic_write
from deepnets4eo.options import Section

LARGEST_PX = 65  # a halo of 64
SIDES = ("opening", "closing")
LEVELS = 255  # of a component between the two percentiles below; what lies outside is clipped
PERCENTILES = (0.5, 99.5)
FILE = "extended_profile.safetensors"


def open_by_disks(
    levels: Indices, radii_px: Sequence[int], *, largest_px: int | None = LARGEST_PX, stride_px: int = 1
) -> Indices:
    """Return the levels (h, w), then their openings by reconstruction with disks, at the sites, (1 + radii, h, w).
    largest_px : regions of this length and more stay whether a disk fits into them or not; None: the plain opening."""
    tree = MaxTree.build(levels)
    keep = None if largest_px is None else tree.extent() >= largest_px
    narrow = levels.astype(np.min_scalar_type(int(levels.max())))  # bytes are compared ten times as fast
    opened = [tree.reconstruct(marker, keep) for marker in erode_by_disks(narrow, radii_px)]
    of_nodes = np.stack([tree.level, *opened], axis=1)
    return np.moveaxis(np.take(of_nodes, at_sites(tree.node_of, stride_px), axis=0), -1, 0)


def erode_by_disks(image: NDArray[Any], radii_px: Sequence[int]) -> list[NDArray[Any]]:
    """Return the lowest value within each radius, all together: a disk is a pile of rows, whose minima are made once."""
    rows = [image]
    for _ in range(max(radii_px)):
        wider = rows[-1].copy()
        np.minimum(wider[:, 1:], rows[-1][:, :-1], out=wider[:, 1:])
        np.minimum(wider[:, :-1], rows[-1][:, 1:], out=wider[:, :-1])
        rows.append(wider)
    eroded = []
    for radius in radii_px:
        lowest = rows[radius].copy()
        for down in range(1, radius + 1):
            row = rows[math.isqrt(radius * radius - down * down)]
            np.minimum(lowest[down:], row[:-down], out=lowest[down:])
            np.minimum(lowest[:-down], row[down:], out=lowest[:-down])
        eroded.append(lowest)
    return eroded


class ProfileOptions(Section):
    """Options of extended profiles: the number of principal components, and the radii of the disks."""

    components: int = Field(default=3, ge=1, description="extended_profile: principal components of the bands")
    radii_px: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        default=(2, 4, 6, 8), min_length=1, description="extended_profile: radii of the disks"
    )


@dataclass(frozen=True)
class Components:
    """Principal components of the training pixels: mean (C,), axes (n, C) of length 1, and low, step (n,): value of
    level 0 and of one level."""

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    low: NDArray[np.float32]
    step: NDArray[np.float32]

    @classmethod
    def fit(cls, pixels: NDArray[np.float32], count: int) -> Components:
        """Learn from pixels (n, C), at least as many as there are components, which are C at most."""
        from sklearn.decomposition import PCA

        with np.errstate(invalid="ignore"):  # shares of no variance, where all pixels are the same
            analysis = PCA(min(count, pixels.shape[1]), svd_solver="full").fit(pixels.astype(np.float64))
        low, high = np.percentile(analysis.transform(pixels), PERCENTILES, axis=0)
        least = 1e-5 * max(1.0, float(np.abs(analysis.mean_).max()))  # a constant component has one level
        step = np.maximum(high - low, least) / LEVELS
        arrays = (analysis.mean_, analysis.components_, low, step)
        return cls(*(np.ascontiguousarray(array, np.float32) for array in arrays))

    def transform(self, image: FloatImage) -> FloatImage:
        """Return the components of an image (C, h, w), (n, h, w) float32, band after band: a matrix product depends on
        the tile."""
        components = np.zeros((len(self.axes), *image.shape[1:]), np.float32)
        for band, mean, weights in zip(image, self.mean, self.axes.T, strict=True):
            centred = band - mean
            for component, weight in zip(components, weights, strict=True):
                component += weight * centred
        return components


@dataclass(frozen=True)
class ExtendedProfile:
    """Openings and closings by reconstruction of the first principal components of the spectral bands.

    learned : None before `fit`

    Columns of each component: itself, openings, closings, clipped to what training showed. Source: Benediktsson,
    Palmason and Sveinsson, IEEE Transactions on Geoscience and Remote Sensing 43, 2005.
    """

    options: ProfileOptions = ProfileOptions()
    largest_px: int = LARGEST_PX
    learned: Components | None = field(default=None, repr=False, compare=False)
    name: str = "extended_profile"
    kind: str = "extended_profile"

    @property
    def halo_px(self) -> int:
        """Pixels around a site within which values are exact."""
        return max(self.largest_px - 1, max(self.options.radii_px))

    def columns(self, bands: Bands) -> list[str]:
        """Return the names of the columns. Errors: InputError where the components were learned from other bands."""
        width = len(bands.spectral_indices())
        if self.learned is not None and len(self.learned.mean) != width:
            raise InputError(
                f"the profile's components are of {len(self.learned.mean)} bands, the image has {width}. Train again."
            )
        one = ["", *(f".{side}{radius}" for side in SIDES for radius in self.options.radii_px)]
        count = min(self.options.components, width)
        return [f"component{number + 1}{column}" for number in range(count) for column in one]

    def fit(self, bands: Bands) -> ExtendedProfile:
        """Return the feature with components learned from all pixels. Errors: InputError for fewer pixels than
        components."""
        spectral = bands.values[bands.spectral_indices()]
        pixels = spectral.reshape(len(spectral), -1).T
        if len(pixels) < max(self.options.components, 2):
            raise InputError(
                f"{len(pixels)} training pixels are too few for {self.options.components} principal components; label "
                "more, or set profile.components lower."
            )
        return replace(self, learned=Components.fit(pixels, self.options.components))

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return (F, h, w) float32 at the sites. Errors: InputError before `fit`."""
        if self.learned is None:
            raise InputError("the extended profile has no components yet; fit the classifier that uses it first.")
        learned, parts = self.learned, []
        for number, component in enumerate(learned.transform(bands.values[bands.spectral_indices()])):
            low, step = learned.low[number], learned.step[number]
            levels = np.clip(np.rint((component - low) / step), 0, LEVELS).astype(np.int64)
            bright, dark = (
                open_by_disks(image, self.options.radii_px, largest_px=self.largest_px, stride_px=stride_px)
                for image in (levels, LEVELS - levels)
            )
            profile = np.concatenate([at_sites(levels, stride_px)[None], bright[1:], LEVELS - dark[1:]])
            parts.append((profile * step + low).astype(np.float32))
        return np.concatenate(parts)

    def describe(self) -> dict[str, Any]:
        """Return plain values that `restore` needs to rebuild the same feature."""
        return {"options": self.options.model_dump(mode="json"), "largest_px": self.largest_px}

    def save(self, folder: Path) -> list[str]:
        """Write the components; returns the file's name."""
        from safetensors.numpy import save_file

        if self.learned is None:
            return []
        with atomic_write(folder / FILE) as partial:
            save_file(vars(self.learned), partial)
        return [FILE]

    @classmethod
    def restore(cls, folder: Path, description: Mapping[str, Any]) -> ExtendedProfile:
        """Make the feature that was saved. Errors: RunError for a file that is damaged or of another shape."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            made = cls(ProfileOptions(**description["options"]), int(description["largest_px"]))
            learned = Components(**load_file(folder / FILE))
        except (SafetensorError, OSError, TypeError, KeyError, ValueError, InputError) as error:
            raise RunError(f"{folder / FILE} cannot be read: {error}. Copy the run again.") from error
        count, width = learned.axes.shape if learned.axes.ndim == 2 else (0, 0)
        shapes = (learned.mean.shape, learned.low.shape, learned.step.shape)
        numbers = [np.asarray(array) for array in vars(learned).values()]
        sound = all(array.dtype == np.float32 and np.isfinite(array).all() for array in numbers)
        if not sound or count == 0 or shapes != ((width,), (count,), (count,)) or learned.step.min() <= 0:
            raise RunError(f"{folder / FILE} has components that do not fit one another. Copy the run again.")
        return replace(made, learned=learned)


EXTENDED_PROFILE = ExtendedProfile()
