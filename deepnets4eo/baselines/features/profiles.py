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

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.feature import at_sites
from deepnets4eo.baselines.features.max_tree import MaxTree
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import atomic_write
from deepnets4eo.options import Section

GREY_LEVELS = 255
HEIGHT_STEP_M = 0.25
LARGEST_PX = 65  # a halo of 64
SIDES = ("opening", "closing")
LEVELS = 255  # of a component between the two percentiles below; what lies outside is clipped
PERCENTILES = (0.5, 99.5)
FILE = "extended_profile.safetensors"


@dataclass(frozen=True)
class Relief:
    """What a profile is computed of: whole levels (h, w), the value of one level, and that of level 0."""

    name: str
    levels: NDArray[np.int64]
    step: float
    base: float

    def values(self, levels: NDArray[np.int64]) -> FloatImage:
        """Return levels in grey values (0–1) or metres."""
        return (levels * self.step + self.base).astype(np.float32)


def reliefs(bands: Bands) -> list[Relief]:
    """Return grey values in 1/255, and heights (`height`, else `ndsm`) in 0.25 m if there are any: equal steps in all
    tiles."""
    result = [Relief("grey", np.rint(bands.grey() * GREY_LEVELS).astype(np.int64), 1 / GREY_LEVELS, 0.0)]
    for role in _heights(bands):
        steps = np.floor(bands.pick(role)[0] / HEIGHT_STEP_M).astype(np.int64)
        lowest = int(steps.min())
        result.append(Relief(role, steps - lowest, HEIGHT_STEP_M, lowest * HEIGHT_STEP_M))
    return result


@dataclass(frozen=True)
class DifferentialProfile:
    """What openings (bright regions) and closings (dark ones) by reconstruction with growing disks remove, step by
    step. Columns: the value; value − opening by the first disk, first − second, …; the same for closings. Source:
    Pesaresi and Benediktsson 2001; Benediktsson, Palmason and Sveinsson 2005. Theirs depends on pixels beyond any halo."""

    name: str = "differential_profile"
    radii_px: tuple[int, ...] = (2, 4, 8, 16)
    largest_px: int = LARGEST_PX

    @property
    def halo_px(self) -> int:
        """Pixels around a site within which values are exact."""
        return max(self.largest_px - 1, max(self.radii_px))

    def columns(self, bands: Bands) -> list[str]:
        """Return the names of the columns."""
        one = ["", *(f".{side}{radius}" for side in SIDES for radius in self.radii_px)]
        return [source + column for source in _sources(bands) for column in one]

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return (F, h, w) float32 at the sites, grey values 0–1 and metres."""
        parts = []
        for relief in reliefs(bands):
            bright, dark = (
                differences(open_by_disks(levels, self.radii_px, largest_px=self.largest_px, stride_px=stride_px))
                for levels in (relief.levels, relief.levels.max() - relief.levels)
            )
            own = relief.values(at_sites(relief.levels, stride_px))[None]
            parts += [own, (np.concatenate([bright, dark]) * relief.step).astype(np.float32)]
        return np.concatenate(parts)


@dataclass(frozen=True)
class AttributeProfile:
    """Bright and dark regions kept from a certain area (pixels), extent (longer side of the upright box, pixels) or
    deviation. Deviations of the levels in a region are in 1/255 of grey and steps of 0.25 m. Columns: the value, then
    the filtered values. Source: Dalla Mura et al. 2010."""

    name: str = "attribute_profile"
    areas_px: tuple[int, ...] = (25, 100, 400, 1600)
    extents_px: tuple[int, ...] = ()
    deviations: tuple[float, ...] = (5.0, 10.0, 20.0)
    largest_px: int = LARGEST_PX

    @property
    def halo_px(self) -> int:
        """Pixels around a site within which values are exact."""
        return self.largest_px - 1

    def columns(self, bands: Bands) -> list[str]:
        """Return the names of the columns."""
        limits_by_kind = [("area", self.areas_px), ("extent", self.extents_px), ("deviation", self.deviations)]
        one = [f".{side}.{kind}{limit:g}" for side in SIDES for kind, limits in limits_by_kind for limit in limits]
        return [source + column for source in _sources(bands) for column in ["", *one]]

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return (F, h, w) float32 at the sites, grey values 0–1 and metres."""
        parts = []
        for relief in reliefs(bands):
            highest = relief.levels.max()
            bright = self.open_levels(relief.levels, stride_px)
            dark = highest - self.open_levels(highest - relief.levels, stride_px)
            own = at_sites(relief.levels, stride_px)[None]
            parts += [relief.values(part) for part in (own, bright, dark)]
        return np.concatenate(parts)

    def open_levels(self, levels: NDArray[np.int64], stride_px: int = 1) -> NDArray[np.int64]:
        """Return levels at the sites without the regions below each limit, (limits, h, w)."""
        tree = MaxTree.build(levels)
        area, extent = tree.area(), tree.extent()
        keep = [area >= limit for limit in self.areas_px]
        keep += [extent >= limit for limit in self.extents_px]
        if self.deviations:
            deviation = tree.deviation()
            keep += [deviation >= limit for limit in self.deviations]
        large = extent >= self.largest_px
        return _at_sites(tree, tree.filter_levels(np.stack(keep, axis=1) | large[:, None]), stride_px)


def open_by_disks(
    levels: NDArray[np.int64], radii_px: Sequence[int], *, largest_px: int | None = LARGEST_PX, stride_px: int = 1
) -> NDArray[np.int64]:
    """Return the levels (h, w), then their openings by reconstruction with disks, at the sites, (1 + radii, h, w).
    largest_px : regions of this length and more stay whether a disk fits into them or not; None: the plain opening."""
    tree = MaxTree.build(levels)
    keep = None if largest_px is None else tree.extent() >= largest_px
    narrow = levels.astype(np.min_scalar_type(int(levels.max())))  # bytes are compared ten times as fast
    opened = [tree.reconstruct(marker, keep) for marker in erode_by_disks(narrow, radii_px)]
    return _at_sites(tree, np.stack([tree.level, *opened], axis=1), stride_px)


def differences(profile: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what each step of a profile of openings removed, (F + 1, h, w) → (F, h, w), ≥ 0."""
    return profile[:-1] - profile[1:]


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


def _at_sites(tree: MaxTree, levels: NDArray[np.int64], stride_px: int) -> NDArray[np.int64]:
    """Return levels of the nodes (m, F) as images of the sites, (F, h, w)."""
    return np.moveaxis(np.take(levels, at_sites(tree.node_of, stride_px), axis=0), -1, 0)


def _heights(bands: Bands) -> list[str]:
    return [role for role in ("height", "ndsm") if bands.has(role)][:1]


def _sources(bands: Bands) -> list[str]:
    return ["grey", *_heights(bands)]


DIFFERENTIAL_PROFILE = DifferentialProfile()
ATTRIBUTE_PROFILE = AttributeProfile()


class ProfileOptions(Section):
    """How many principal components profiles are made of, and with which disks."""

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
    """Openings and closings by reconstruction of the first principal components of the spectral bands. learned : None
    before `fit`. Columns of each component: itself, openings, closings, clipped to what training showed. Source:
    Benediktsson, Palmason and Sveinsson, IEEE Transactions on Geoscience and Remote Sensing 43, 2005."""

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
                open_by_disks(one, self.options.radii_px, largest_px=self.largest_px, stride_px=stride_px)
                for one in (levels, LEVELS - levels)
            )
            profile = np.concatenate([at_sites(levels, stride_px)[None], bright[1:], LEVELS - dark[1:]])
            parts.append((profile * step + low).astype(np.float32))
        return np.concatenate(parts)

    def describe(self) -> dict[str, Any]:
        """Return plain values from which `restore` makes it again."""
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
