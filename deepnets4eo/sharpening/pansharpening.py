"""Colours of a coarse image in the detail of a panchromatic band: Brovey, GSA or PCA, and how good the result is.

Refuses a band that is not finer, and images that share no pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.arrays import FloatImage, Floats, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window, gsd_m
from deepnets4eo.jobs import new_output
from deepnets4eo.outputs import check_not_inputs
from deepnets4eo.rasters import CogWriter, Layer, LayerLike
from deepnets4eo.read_as import IMAGE, Door, without_collar

Method: TypeAlias = Literal["brovey", "gsa", "pca"]
METHODS: tuple[Method, ...] = get_args(Method)
INDEX_PX = 32  # side of the blocks of the quality index, coarse pixels
COARSE_PX = 512  # side of the blocks of the coarse grid, a multiple of INDEX_PX
MIN_RATIO = 1.2


class SharpeningQuality(NamedTuple):
    """Quality of a sharpened image, without a reference and against the image itself.

    qnr : at full resolution (1 − `d_lambda`)(1 − `d_s`), 1 is best (Alparone et al. 2008)
    ergas : by Wald's protocol, both inputs degraded by their ratio and the result compared with the image; good below 3
    sam_deg : the spectral angle, by the same protocol, degrees
    ergas_cubic : of only cubic convolution; if it is lower than `ergas`, the detail does not belong to the image
    cautions : problems that the inputs do not declare themselves, such as values without data
    """

    qnr: float
    d_lambda: float
    d_s: float
    ergas: float
    sam_deg: float
    ergas_cubic: float
    cautions: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the figures in words, with an explanation if plain interpolation is better."""
        lines = [
            f"QNR {self.qnr:.3f} (spectral {self.d_lambda:.3f}, spatial {self.d_s:.3f}); from degraded inputs ERGAS "
            f"{self.ergas:.2f} (interpolated {self.ergas_cubic:.2f}), spectral angle {self.sam_deg:.2f}°"
        ]
        if self.ergas > self.ergas_cubic:
            lines.append(
                "The detail does not fit the colours: the band may lie off the image by part of a pixel, or be of another date."
            )
        return [*lines, *self.cautions]


def pansharpen_raster(
    image: LayerLike,
    pan: LayerLike,
    out: str | Path,
    *,
    method: str = "gsa",
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> SharpeningQuality:
    """Write the image's bands on the grid of a finer panchromatic band, with its detail, as a COG.

    Memory: blocks of 1,024² fine pixels and GDAL's block cache, whatever the rasters' size.

    Errors: OutputError where `out` exists and is not to be overwritten.

    InputError for an unknown method, a panchromatic image of several bands or one that is not finer, and images without
    common pixels.

    Parameters
    ----------
    image : the coarse image; brought onto the other grid by cubic convolution
    pan : the panchromatic band, finer, of the same date
    out : the file to write, float32 with NaN for no data; its tags have the method and the quality
    method
        "gsa" (Aiazzi et al. 2007: the band as a linear mix of the bands, each with its own gain), "brovey" (the ratio of the band to the
        mean of the bands) or "pca" (the first principal component replaced).
    overwrite : whether an existing file is replaced
    progress : called with the share done, 0–1

    Returns
    -------
    SharpeningQuality
    """
    if method not in METHODS:
        raise InputError(f"method is {method!r}, expected one of {', '.join(METHODS)}.")
    chosen: Method = method
    check_not_inputs([out], [image, pan])
    assessed = [
        IMAGE.assess(Layer.open(source), Door.of_image(role))
        for source, role in ((image, "coarse"), (pan, "panchromatic"))
    ]
    coarse, fine = (assessment.report() for assessment in assessed)
    ratio = _check_pair(coarse, fine)
    with new_output(out, overwrite=overwrite):
        quality = _degraded_quality(coarse, fine, chosen, ratio)
        sharpener = Sharpener.fit(coarse, fine, chosen)
        index = _QualityIndex(coarse.count)
        for values, low, valid in _coarse_blocks(coarse, fine):
            index.add(COARSE, np.where(valid, values, np.nan), np.where(valid, low, np.nan), INDEX_PX)
        tags = {"PANSHARPENING": method} | ({"SYNTHETIC": "yes"} if coarse.synthetic or fine.synthetic else {})
        names = [name or f"band_{number}" for number, name in enumerate(coarse.band_names, start=1)]
        with CogWriter(
            out, fine.grid, count=coarse.count, dtype="float32", nodata=math.nan, band_names=names, tags=tags
        ) as writer:
            upsampled, detail = without_collar(coarse.on(fine.grid, "cubic")), without_collar(fine)
            windows = fine.blocks()
            for done, window in enumerate(windows, start=1):
                sharp, band = sharpener.block(upsampled, detail, window)
                writer.write(window, sharp)
                index.add(SHARPENED, sharp, band, round(INDEX_PX * ratio))
                if progress is not None:
                    progress(done / len(windows))
    messages = (finding.message for assessment in assessed for finding in assessment.findings)
    return SharpeningQuality(*index.without_reference(), *quality, tuple(messages))


@dataclass(frozen=True)
class Sharpener:
    """Numbers of a method: weights · bands + offset is the coarse intensity that the band, scaled and shifted, replaces by gains."""

    method: Method
    weights: Floats
    offset: float
    gains: Floats
    scale: float
    shift: float

    @classmethod
    def fit(cls, image: Layer, pan: Layer, method: Method) -> Sharpener:
        """Fit to means and covariances over the coarse grid. Errors: InputError if no pixel has values in both."""
        count, total, products = 0, np.zeros(image.count + 1), np.zeros((image.count + 1, image.count + 1))
        origin: Floats | None = None
        for values, low, valid in _coarse_blocks(image, pan):
            rows = np.vstack((values[:, valid], low[valid])).astype(np.float64)
            if rows.shape[1]:
                origin = rows.mean(axis=1) if origin is None else origin
                rows -= origin[:, None]  # so that large means cost no digits
                count, total, products = count + rows.shape[1], total + rows.sum(axis=1), products + rows @ rows.T
        if origin is None or count <= image.count + 1:
            raise InputError(
                f"{image.source} and {pan.source} have no common pixels with values. Check that they show one site."
            )
        covariance = products / count - np.outer(total, total) / count**2
        return cls.from_moments(method, origin + total / count, covariance)

    @classmethod
    def from_moments(cls, method: Method, mean: Floats, covariance: Floats) -> Sharpener:
        """Make one from the mean (K + 1,) and covariance (K + 1, K + 1) of the bands and, last, the degraded panchromatic band."""
        bands, with_pan = covariance[:-1, :-1], covariance[:-1, -1]
        if method == "gsa":
            weights = np.asarray(np.linalg.lstsq(bands, with_pan, rcond=None)[0], float)
        elif method == "brovey":
            weights = np.full(len(bands), 1 / len(bands))
        else:
            weights = np.asarray(np.linalg.eigh(bands)[1][:, -1], float)
            weights = weights if weights @ with_pan >= 0 else -weights
        variance = max(float(weights @ bands @ weights), 1e-12)
        offset = float(mean[-1] - weights @ mean[:-1]) if method == "gsa" else 0.0
        gains = weights if method == "pca" else np.asarray(bands @ weights / variance, float)
        scale = 1.0 if method == "gsa" else math.sqrt(variance / max(float(covariance[-1, -1]), 1e-12))
        shift = 0.0 if method == "gsa" else float(weights @ mean[:-1] - scale * mean[-1])
        return cls(method, weights, offset, gains, scale, shift)

    def sharpen(self, bands: FloatImage, pan: FloatImage) -> FloatImage:
        """Return the bands (K, h, w) on the fine grid with the detail of the panchromatic band (h, w)."""
        intensity = np.tensordot(self.weights, bands, 1) + self.offset
        matched = self.scale * pan + self.shift
        if self.method == "brovey":
            return np.asarray(bands * np.where(intensity > 0, matched / np.maximum(intensity, 1e-9), 1.0), np.float32)
        return np.asarray(bands + self.gains[:, None, None] * (matched - intensity), np.float32)

    def block(self, upsampled: Layer, pan: Layer, window: Window) -> tuple[FloatImage, FloatImage]:
        """Return the sharpened bands and the panchromatic band of a window of its grid; NaN if either has no data."""
        (bands, bands_valid), (band, band_valid) = upsampled.read(window), pan.read(window)
        sharp = self.sharpen(bands.astype(np.float32), band[0].astype(np.float32))
        valid = bands_valid & band_valid
        return np.where(valid, sharp, np.float32(np.nan)), np.where(valid, band[0], np.nan).astype(np.float32)


def _check_pair(image: Layer, pan: Layer) -> float:
    """Return by what factor the panchromatic band is finer. Errors: InputError."""
    if pan.count != 1:
        raise InputError(
            f"{pan.source} has {pan.count} bands, a panchromatic image has one. Give the image first, then that band."
        )
    if (image.grid.crs is None) != (pan.grid.crs is None):
        raise InputError(f"only one of {image.source} and {pan.source} has a CRS. Georeference both.")
    ratio = math.sqrt(math.prod(gsd_m(image.grid)) / math.prod(gsd_m(pan.grid)))
    if ratio < MIN_RATIO:
        raise InputError(
            f"{pan.source} has pixels 1/{ratio:.3g} as wide as those of {image.source}; a panchromatic band is finer than the image. "
            "Give the image first, then the band."
        )
    return ratio


def _coarse_blocks(image: Layer, pan: Layer) -> Iterator[tuple[FloatImage, FloatImage, Mask]]:
    """Blocks of the image (K, h, w), of the panchromatic band averaged onto its grid (h, w), and where both are known."""
    averaged, image = without_collar(pan.on(image.grid, "average")), without_collar(image)
    for window in image.blocks(COARSE_PX):
        (values, valid), (low, low_valid) = image.read(window), averaged.read(window)
        yield values.astype(np.float32), low[0].astype(np.float32), valid & low_valid


def _coarser(grid: Grid, ratio: float) -> Grid:
    shape = tuple(max(1, int(side / ratio)) for side in grid.shape)
    return GeoBox((shape[0], shape[1]), grid.affine * Affine.scale(ratio), grid.crs)


def _degraded_quality(image: Layer, pan: Layer, method: Method, ratio: float) -> tuple[float, float, float]:
    """Compute ERGAS, mean spectral angle (degrees), and ERGAS of cubic convolution, by Wald's protocol; NaN if the image is too small."""
    degraded, band = image.on(_coarser(image.grid, ratio), "average"), pan.on(image.grid, "average")
    try:
        sharpener = Sharpener.fit(degraded, band, method)
    except InputError:
        return math.nan, math.nan, math.nan
    upsampled = degraded.on(image.grid, "cubic")
    count, angle, squares, total = 0, 0.0, np.zeros((2, image.count)), np.zeros(image.count)
    for window in image.blocks(COARSE_PX):
        sharp, _ = sharpener.block(upsampled, band, window)
        truth, valid = image.read(window)
        known = valid & np.isfinite(sharp).all(axis=0)
        a, b, plain = (part[:, known].astype(np.float64) for part in (sharp, truth, upsampled.read(window)[0]))
        count, total = count + a.shape[1], total + b.sum(axis=1)
        squares += np.stack([((result - b) ** 2).sum(axis=1) for result in (a, plain)])
        angle += float(spectral_angle_deg(a, b).sum())
    if not count:
        return math.nan, math.nan, math.nan
    errors = [ergas(sums / count, total / count, 1 / ratio) for sums in squares]
    return errors[0], angle / count, errors[1]


def ergas(mean_square_error: Floats, mean: Floats, pixel_ratio: float) -> float:
    """Relative global error of synthesis (Wald 2000). mean_square_error, mean : (K,); pixel_ratio : fine over coarse pixel size."""
    return float(100 * pixel_ratio * np.sqrt((mean_square_error / mean**2).mean()))


def spectral_angle_deg(a: Floats, b: Floats) -> Floats:
    """Compute the angle between the spectra (K, N) of each pixel, degrees; 0 if one of them is all zero."""
    length = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    cosine = np.divide((a * b).sum(axis=0), length, out=np.ones_like(length), where=length > 0)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def index_sums(a: FloatImage, b: FloatImage, side: int) -> tuple[float, int]:
    """Sum the universal image quality index (Wang and Bovik 2002) over whole blocks without a hole; also return their number."""
    height, width = (length // side * side for length in a.shape)
    shape = (height // side, side, width // side, side)
    x, y = (part[:height, :width].astype(np.float64).reshape(shape) for part in (a, b))
    mean_x, mean_y = x.mean(axis=(1, 3)), y.mean(axis=(1, 3))
    both = (x * y).mean(axis=(1, 3)) - mean_x * mean_y
    spread = (x * x).mean(axis=(1, 3)) - mean_x**2 + (y * y).mean(axis=(1, 3)) - mean_y**2
    divisor = spread * (mean_x**2 + mean_y**2)
    known = np.isfinite(divisor) & (divisor > 0)
    return float(((4 * both * mean_x * mean_y)[known] / divisor[known]).sum()), int(known.sum())


COARSE, SHARPENED = 0, 1


class _QualityIndex:
    """Sums of the index between all bands, and between each and the panchromatic band, coarse and sharpened."""

    def __init__(self, count: int) -> None:
        self._pairs = list(combinations(range(count + 1), 2))  # the last is the panchromatic band
        self._count = count
        self._sums = np.zeros((2, len(self._pairs), 2))

    def add(self, which: int, bands: FloatImage, pan: FloatImage, side: int) -> None:
        every = [*bands, pan]
        for number, (k, m) in enumerate(self._pairs):
            self._sums[which, number] += index_sums(every[k], every[m], side)

    def without_reference(self) -> tuple[float, float, float]:
        """Return QNR, D_lambda and D_s; NaN if there was no whole block."""
        with np.errstate(invalid="ignore"):
            apart = np.abs(np.diff(self._sums[..., 0] / self._sums[..., 1], axis=0))[0]
        of_pan = np.array([m == self._count for _, m in self._pairs])
        d_lambda = float(apart[~of_pan].mean()) if (~of_pan).any() else 0.0
        d_s = float(apart[of_pan].mean())
        return (1 - d_lambda) * (1 - d_s), d_lambda, d_s
