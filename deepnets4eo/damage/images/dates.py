"""The images of a damage job: an image of a date with its role, colours, kind of sensor and ground size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from deepnets4eo.addresses import name_of
from deepnets4eo.arrays import Mask
from deepnets4eo.grid import Grid, Window, gsd_m
from deepnets4eo.outputs import Finding, image_of
from deepnets4eo.rasters import COLOURS, Layer, moving_moments
from deepnets4eo.read_as import describe_unmasked_band
from deepnets4eo.registration import ImagePair, Role
from deepnets4eo.tiling import spread_windows

FINEST_GSD_M = 0.5  # of working pixels
UNKNOWN_GSD_M = 0.5  # images without a CRS: very-high-resolution imagery is assumed
# Pixels of the pre image, in working pixels of the post image, up to which it is evidence. On a real pair both images
# rank as well as the post image alone up to twice, but call more intact roofs damaged; worse beyond, by far.
COARSEST_PRE = 1.5
WINDOW_PX = 512
WINDOWS = 3  # along each side
SIDE_PX = 5
DARK = 0.03  # of the brightest: below, the share is noise
SMOOTHEST = 10  # percentile of the variation over a window: its smooth ground
SPECKLED = 0.09  # smooth ground of 18 optical samples varied by 0.02 to 0.08, of 4 radar samples by 0.11 to 0.22


@dataclass(frozen=True)
class SiteImage:
    """An image of a date: red, green and blue, or one band of radar. speckled : whether it looks like radar."""

    layer: Layer
    role: Role
    speckled: bool = False

    @property
    def gsd_m(self) -> float:
        """Ground size of its pixels, metres; 0.5 m without a CRS."""
        return mean_gsd(self.layer)

    def is_optical(self, sensor: Literal["auto", "optical"]) -> bool:
        """Return True if the image is read as an optical image. sensor : what the user states."""
        return sensor == "optical" or not self.speckled

    def shows_colours(self, sensor: Literal["auto", "optical"]) -> bool:
        """Return True if the image is an optical image in colour. sensor : what the user states."""
        return self.layer.count >= len(COLOURS) and self.is_optical(sensor)


class TwoDates:
    """The images of both dates, as inputs of a job have them. radar : roles of images that look like radar."""

    pre: Layer | None
    post: Layer
    radar: tuple[str, ...]

    @property
    def before(self) -> SiteImage | None:
        """The image before the event; None if there is none."""
        return None if self.pre is None else SiteImage(self.pre, "pre", "pre" in self.radar)

    @property
    def after(self) -> SiteImage:
        """The image after the event."""
        return SiteImage(self.post, "post", "post" in self.radar)


@dataclass(frozen=True)
class DatePair(ImagePair, TwoDates):
    """The images of both dates in colour, with nodata declared. radar : roles of those that look like it."""

    radar: tuple[Role, ...] = ()


def is_too_coarse(pre: Layer, post: Layer) -> bool:
    """Return True if the pixels of the pre image are too large, compared with the post image, to be evidence."""
    return pre_ratio(pre, post) > COARSEST_PRE


def in_colour(image: Layer) -> Layer:
    """Return red, green and blue of an image by its names, wavelengths or colour interpretation, else its first three bands; one band of radar."""
    if image.count < len(COLOURS):
        return image
    if (grey := _radar_band(image)) is not None:
        return image.subset([grey])
    declared = image.declared_colours
    if declared is None:
        return image.subset(image.bands[: len(COLOURS)])
    return image.subset(declared).with_names(COLOURS)


def _radar_band(image: Layer) -> int | None:
    """Return the first polarisation of radar, or None for an optical image."""
    return next(iter(image.sensor.polarised.values()), None)


def unmasked_bands(images: Mapping[str, Layer | None]) -> list[Finding]:
    """Return a finding for each image, by role, with a band that serves as a mask although its name contradicts this."""
    described = [
        (role, image.source, describe_unmasked_band(image)) for role, image in images.items() if image is not None
    ]
    return [
        Finding(
            f"unmasked_band_{role}", "caution",
            {"image": image_of(role), "source": Finding.file_name(source), "what": masking[0], "remedy": masking[1]}, wording="unmasked_band",
        )
        for role, source, masking in described
        if masking is not None
    ]  # fmt: skip


def unknown_colours(images: Mapping[str, Layer | None]) -> list[Finding]:
    """Return a finding for each file of more than three bands that does not state which are red, green and blue."""
    return [
        Finding(
            f"unknown_colours_{role}", "caution",
            {"image": image_of(role), "source": Finding.file_name(image.source), "bands": image.count}, wording="unknown_colours",
        )
        for role, image in images.items()
        if image is not None and image.paths and image.count > len(COLOURS)
        and image.declared_colours is None and _radar_band(image) is None
    ]  # fmt: skip


def assumed_gsd(post: Layer) -> list[Finding]:
    """Return the finding that the size of a pixel is assumed, for an image without a CRS."""
    if post.grid.crs is not None:
        return []
    return [Finding("pixel_size_assumed", "caution", {"gsd_m": UNKNOWN_GSD_M})]


def is_radar(layer: Layer) -> bool:
    """Return whether a grey layer is speckled like radar amplitude; False for colour images."""
    windows = spread_windows(layer.shape, (WINDOW_PX, WINDOW_PX), WINDOWS)
    variation = [value for window in windows if np.isfinite(value := _variation(layer, window))]
    return bool(variation) and float(np.median(variation)) > SPECKLED


def _variation(layer: Layer, window: Window) -> float:
    """Return the standard deviation over mean of a window's smoothest ground; NaN if it is nowhere bright, or in colour."""
    data, valid = layer.read(window)
    bands = data[:3].astype(np.float32)
    if not valid.any() or ((bands != bands[:1]) & valid).any():
        return float("nan")
    return _smoothest(np.where(valid, bands[0], 0), valid)


def _smoothest(image: NDArray[np.float32], valid: Mask) -> float:
    mean, spread = moving_moments(image, SIDE_PX)
    usable = (scipy.ndimage.uniform_filter(valid.astype(np.float32), SIDE_PX) > 0.999) & (mean > DARK * image.max())
    return float(np.percentile(spread[usable] / mean[usable], SMOOTHEST)) if usable.any() else float("nan")


def pre_ratio(pre: Layer, post: Layer, finest_m: float = FINEST_GSD_M) -> float:
    """Return the pixel size of the pre image relative to the working pixel size of only the post image."""
    return mean_gsd(pre) / max(finest_m, mean_gsd(post))


def known_or_assumed_gsd_m(grid: Grid) -> tuple[float, float]:
    """Return the ground size of a pixel along rows and columns, metres; 0.5 m without a CRS."""
    return gsd_m(grid) if grid.crs is not None else (UNKNOWN_GSD_M, UNKNOWN_GSD_M)


def mean_gsd(layer: Layer) -> float:
    """Return the ground size of a layer's pixels, metres; 0.5 m without a CRS."""
    return UNKNOWN_GSD_M if layer.grid.crs is None else layer.gsd_m


def paths_of(role: str, layer: Layer) -> dict[str, str]:
    """Return role → file; a layer of several files has one role for each."""
    names = [role] if len(layer.paths) == 1 else [f"{role}_{index}" for index in range(len(layer.paths))]
    return dict(zip(names, map(name_of, layer.paths), strict=True))
