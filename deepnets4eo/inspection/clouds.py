"""Clouds in optical images, 0 where clear: by the band that marks them, by a network, else bright, white and smooth parts,
and thick haze, through which little of the contrast before is left.

Thin clouds and shadows are detected only by a band or by the network of `cloud_network`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.inspection.cloud_network import CloudClasses, classify_clouds
from deepnets4eo.outputs import Finding, Phrase, image_of
from deepnets4eo.rasters import COLOURS, CloudBand, Layer, cloud_band, cloud_share, moving_moments

log = logging.getLogger(__name__)

FINE_M, COARSEST_M = 2.0, 30.0  # pixels of images in colour alone, without and with another day
CELL_M, MAX_CELLS = 4.0, 4096  # what is averaged, and how many along a side at most
SMOOTH_M, OPENED_M, GROWN_M, MIN_M2 = 24.0, 24.0, 28.0, 4000.0
MAX_OF_IMAGE = 0.9  # of one that is smaller than a cloud
WHITE, SMOOTH = 0.18, 0.2  # of the brightness: range of the bands, and deviation within `SMOOTH_M`
BRIGHT, SATURATED = 125.0, 245.0  # of 255
WHITE_ALONE, BRIGHT_ALONE = 0.08, 235.0  # without an image before: sand is bright and smooth, too
BRIGHTER = 1.35  # times the usual brightness before
APPEARED = 0.25  # of the brightness, by which it is brighter than before
VEIL_M, THICK = 64.0, 0.7  # squares in which haze is measured; its least share of the light
VEIL_WHITE = 0.12  # range of the bands of haze over their brightness
MIN_CAUTION_SHARE = 0.01  # of an image under clouds; fewer, such as single pixels of haze, are no reason to doubt a map
MIN_RANGE = 16.0  # contrast before, of 255, that haze can hide
# near infrared over green, of water and snow below, of plants above; short-wave over green, of snow below
OFFSETS, MAX_OFF_OFFSET, DARK = (1000.0, 0.1), 0.15, 2.0  # in numbers and reflectance; share of it; percentile
BRIGHT_GREEN, NIR_RANGE, MIN_SWIR = 1.8, (0.7, 1.8), 0.4


def clouds_in_image(post: Layer, pre: Layer | None, gsd_m: float) -> Layer | None:
    """Return the mask, 1 for opaque clouds, on a coarser grid, of an 8-bit RGB image or bands green, nir (swir); None without clouds."""
    cell_m, shape = cells_of(post, gsd_m)
    after, seen = post.read_coarse(shape)
    before = None
    if pre is not None:
        before, known = pre.read_coarse(shape)
        before = np.where(known, before, 0).astype(np.float32) if known.any() else None
    if not seen.any():
        return None
    after = np.where(seen, after, 0).astype(np.float32)
    if before is not None and "nir" in post.band_names:
        after = _without_offset(after, before, seen, post.source)
    find = _cloudy_spectrum if "nir" in post.band_names else _cloudy_colours
    cloudy = find(dict(zip(post.band_names, after, strict=True)), after, before, seen, cell_m) & seen
    if not cloudy.any():
        return None
    clouds = _wide(cloudy, _of_one_value(after), cell_m)
    return Layer.open(clouds[None].astype(np.uint8), grid=post.grid.zoom_to(shape)) if clouds.any() else None


def _without_offset(after: FloatImage, before: FloatImage, seen: Mask, source: str) -> FloatImage:
    """Return an image (C, h, w) without the 1,000 that Sentinel-2 adds since 2022, if the darkest ground of all bands rose by that.

    Clouds raise the bands by different amounts. The offset is logged: a file that does not state it changes all other results, too."""
    ground = seen & (before > 0).all(axis=0)
    if not ground.any():
        return after
    rise = [
        float(np.percentile(late[ground], DARK) - np.percentile(early[ground], DARK))
        for late, early in zip(after, before, strict=True)
    ]
    for offset in OFFSETS:
        if all(abs(value - offset) <= MAX_OFF_OFFSET * offset for value in rise):
            log.warning(
                "the darkest ground of %s is brighter by %g in all bands than in the image before: it seems to have Sentinel-2's offset of "
                "2022, without stating it. State it (gdal_edit.py -offset %g …), or both dates are not comparable.", source, offset, -offset,
            )  # fmt: skip
            return np.where(seen, np.maximum(after - offset, 0), 0).astype(np.float32)
    return after


def cells_of(image: Layer, gsd_m: float) -> tuple[float, tuple[int, int]]:
    """Return the side in metres and the number (rows, columns) of the cells to which an image is averaged."""
    cell_m = max(CELL_M, gsd_m, max(image.shape) * gsd_m / MAX_CELLS)
    return cell_m, (max(1, round(image.shape[0] * gsd_m / cell_m)), max(1, round(image.shape[1] * gsd_m / cell_m)))


def _cloudy_colours(
    _: Mapping[str, FloatImage], after: FloatImage, before: FloatImage | None, seen: Mask, cell_m: float
) -> Mask:
    """Bright, white and smooth cells (h, w), and brighter than before, of an image in colour (3, h, w) of 8 bits."""
    light, side = after.mean(axis=0), 2 * round(SMOOTH_M / 2 / cell_m) + 1
    cloudy = np.ptp(after, axis=0) < (WHITE_ALONE if before is None else WHITE) * light
    if before is None:
        cloudy &= light > BRIGHT_ALONE
        if not cloudy.any():  # SciPy, which takes long to load, is for images with clouds
            return cloudy
    mean, spread = moving_moments(light, side)
    cloudy &= spread < SMOOTH * light
    if before is None:
        return cloudy
    hazy = _under_haze(after, before, max(2, round(VEIL_M / cell_m)))
    earlier = before.mean(axis=0)
    usual = float(np.median(earlier[seen]))
    appeared = mean - moving_moments(earlier, side)[0] > APPEARED * mean
    bright = light > max(BRIGHT, min(BRIGHTER * usual, SATURATED))
    return np.asarray(hazy | (cloudy & bright & (appeared | ((light > SATURATED) & (earlier < light - 10)))))


def _under_haze(after: FloatImage, before: FloatImage, side: int) -> Mask:
    """Return cells (h, w) in squares under a bright, white veil: it removes most contrast of (3, h, w) before, and lifts the dark.

    Brown floods level the contrast as well, but to their own colour; trees and roofs rise above them.
    """
    squares = [_squares(image, side) for image in (before, after)]
    (was_dark, was_bright), (dark, bright) = ((image.min(axis=(2, 4)), image.max(axis=(2, 4))) for image in squares)
    contrast, was_contrast = (bright - dark).mean(axis=0), (was_bright - was_dark).mean(axis=0)
    share = 1 - contrast / np.maximum(was_contrast, MIN_RANGE)
    veil = (dark - (1 - share) * was_dark) / np.maximum(share, THICK)
    light, known = veil.mean(axis=0), (squares[0].max(axis=0) > 0).all(axis=(1, 3))
    white = (np.ptp(veil, axis=0) < VEIL_WHITE * light) & (light > BRIGHT)
    hazy = known & white & (share >= THICK) & (was_contrast >= MIN_RANGE)
    rows, cols = after.shape[1:]
    return np.asarray(hazy.repeat(side, 0).repeat(side, 1)[:rows, :cols])


def _squares(image: FloatImage, side: int) -> FloatImage:
    """Return (C, rows, side, cols, side) squares of an image (C, h, w); squares at its edge mirror it."""
    padded = np.pad(image, [(0, 0), *((0, -length % side) for length in image.shape[1:])], mode="symmetric")
    bands, height, width = padded.shape
    return padded.reshape(bands, height // side, side, width // side, side)


def _cloudy_spectrum(
    bands: Mapping[str, FloatImage], after: FloatImage, before: FloatImage | None, seen: Mask, _: float
) -> Mask:
    """Cells (h, w) bright in green and in near infrared alike, and no snow; brighter than the usual ground before."""
    green, nir = bands["green"], bands["nir"]
    index = list(bands).index("green")
    usual = float(np.percentile(green[seen], 25) if before is None else np.median(before[index][before[index] > 0]))
    cloudy = (green > BRIGHT_GREEN * usual) & (nir > NIR_RANGE[0] * green) & (nir < NIR_RANGE[1] * green)
    return np.asarray(cloudy & (bands["swir"] > MIN_SWIR * green) if "swir" in bands else cloudy)


def _of_one_value(bands: FloatImage) -> Mask:
    """Cells (h, w) like all their neighbours in every band (C, h, w): saturated, or undeclared nodata."""
    from scipy import ndimage

    return np.asarray(
        np.all([ndimage.maximum_filter(band, 3) == ndimage.minimum_filter(band, 3) for band in bands], axis=0)
    )


def _wide(cloudy: Mask, of_one_value: Mask, cell_m: float) -> Mask:
    """Clouds that are wide and large, with their soft borders; what has one single value has hard ones."""
    from scipy import ndimage

    half = round(OPENED_M / 2 / cell_m)
    wide = ndimage.binary_opening(cloudy, np.ones((2 * half + 1, 2 * half + 1)))
    parts, _ = ndimage.label(wide)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept = (sizes * cell_m**2 >= min(MIN_M2, MAX_OF_IMAGE * cloudy.size * cell_m**2))[parts]
    soft = kept & ~(np.bincount(parts.ravel(), of_one_value.ravel()) > sizes / 2)[parts]
    grown = ndimage.binary_dilation(soft, iterations=max(1, round(GROWN_M / cell_m))) if soft.any() else soft
    hard = ndimage.binary_propagation(kept, mask=kept | of_one_value)
    return np.asarray(ndimage.binary_dilation(hard, np.ones((3, 3)), iterations=2) | grown)


def cloud_finding(mask: Layer, image: Layer, role: str, remedy: str, wording: str = "clouds") -> Finding | None:
    """Return a finding on the share of an image under clouds and how it is known; None for 0. remedy : key of a phrase.

    Less than MIN_CAUTION_SHARE of the image is a note."""
    share = cloud_share(mask)
    if not share:
        return None
    how = Phrase("by_brightness")
    if isinstance(mask.reader, CloudBand):
        how = Phrase("by_cloud_band", {"band": Finding.verbatim(mask.reader.layer.band_names[0])})
    elif isinstance(mask.reader, CloudClasses):
        how = Phrase("by_cloud_network", {"cloud": mask.reader.cloud_share, "shadow": mask.reader.shadow_share})
    return Finding(
        f"clouds_{role}", "caution" if share >= MIN_CAUTION_SHARE else "note",
        {"share": share, "image": image_of(role), "source": Finding.file_name(image.source), "how": how, "remedy": Phrase(remedy)},
        wording=wording, share=share,
    )  # fmt: skip


@dataclass(frozen=True)
class CloudClassification:
    """Clouds and their shadows as a band of an image or a network states them.

    Parameters
    ----------
    mask : 0 clear; None if nothing is hidden, or if nothing states what is
    is_conclusive : whether an image without a mask is clear; otherwise brightness is the only sign of clouds
    """

    mask: Layer | None
    is_conclusive: bool

    @classmethod
    def of(cls, image: Layer) -> CloudClassification:
        """Classify an image by its own band of clouds or by the network of `cloud_network`."""
        band = cloud_band(image)
        if band is not None:
            return cls(band, True)
        classes = classify_clouds(image)
        return cls(None if classes is None or not classes.hides_any else Layer(classes), classes is not None)

    def or_bright(self, image: Layer, other: Layer | None = None, gsd_m: float | None = None) -> Layer | None:
        """Return the mask or, without a conclusive one, the mask of what is bright and white like clouds; None without clouds.

        other : an image of another day on the same grid, next to which clouds stand out; without it only bright ones are found
        gsd_m : size of a pixel, to find clouds in images without a CRS, too
        """
        is_sized = image.grid.crs is not None or gsd_m is not None
        if self.is_conclusive or not is_sized or image.legend is not None:
            return self.mask
        coarsest_m = FINE_M if other is None else COARSEST_M
        chosen = _bands_of_clouds(image, coarsest_m)
        if chosen is None:
            return None
        before = None if other is None else _bands_of_clouds(other, coarsest_m)
        alike = before is not None and before.band_names == chosen.band_names
        return clouds_in_image(chosen, before if alike else None, gsd_m or image.gsd_m)


def _bands_of_clouds(image: Layer, coarsest_m: float) -> Layer | None:
    """Green and infrared of an image, else red, green and blue of 8 bits; None without these."""
    roles = image.sensor.roles
    if {"green", "nir"} <= roles.keys() and not (image.dtype == np.uint8 and image.gsd_m <= FINE_M):
        wanted = [role for role in ("green", "nir", "swir") if role in roles]
        return image.subset([roles[role] for role in wanted]).with_names(wanted)
    if image.dtype == np.uint8 and image.count >= len(COLOURS) and image.gsd_m <= coarsest_m:
        return image.subset(image.declared_colours or image.bands[: len(COLOURS)]).with_names(COLOURS)
    return None


def describe_clouds(image: Layer) -> str | None:
    """Return what clouds hide in an image, in one sentence; None without clouds, and for images whose bands do not show them."""
    clouds = CloudClassification.of(image).or_bright(image)
    finding = None if clouds is None else cloud_finding(clouds, image, "", "")
    return None if finding is None else finding.message
