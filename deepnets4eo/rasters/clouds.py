"""Masks of clouds, 0 for clear pixels: bands and files of products with their own coding of clouds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath

import numpy as np

from deepnets4eo.arrays import Indices, Mask, Pixels
from deepnets4eo.cards import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window
from deepnets4eo.rasters.layer import Layer
from deepnets4eo.rasters.views import LayerView

LOOK_PX = 512  # side of the overview in which a band is looked at for any value

Rule = Callable[[Indices], Mask]


def _bits(*numbers: int) -> Rule:
    mask = sum(1 << number for number in numbers)
    return lambda values: (values & mask) != 0


def _above(value: int) -> Rule:
    return lambda values: values > value


# Names of bands and files that are 1 where the ground is seen, unless the name has a word for clouds, too
CLEAR = (
    "clear",
    "clear_mask",
    "valid",
    "valid_mask",
    "valid_data",
    "validity",
    "usable",
    "usable_data",
    "cloud_free",
    "cloudfree",
)
CLEAR_FILES = re.compile(
    r"(?:^|[_.\-])(clear|valid|usable|cloud[_-]?free)(?:[_-]?(?:mask|data|pixels|sky))?(?:$|[_.\-])"
)
CLOUD_FILES = re.compile(r"cloud(?![_-]?free)|shadow|invalid|unclear")

# Band name → what its values say; the first that an image has counts. Shadows of clouds are hidden too: they look like water.
RULES: Mapping[str, Rule] = {
    "scl": lambda values: np.isin(values, (3, 8, 9, 10)),
    "qa_pixel": _bits(1, 2, 3, 4),
    "pixel_qa": _bits(3, 5),  # of Landsat's first collection
    **dict.fromkeys(CLEAR, lambda values: values == 0),  # UDM2 of Planet is 1 where clear
    **dict.fromkeys(("cloud", "clouds", "cloud_mask", "cloudmask", "clm"), _above(0)),
    **dict.fromkeys(("probability", "cloud_probability", "cloud_prob", "msk_cldprb"), _above(50)),
    "clp": _above(127),
    "qa60": _bits(10, 11),
}
FMASK_BITS = _bits(1, 2, 3)  # of HLS: cloud, next to a cloud, shadow; bit 5 is water, bit 4 snow
FMASK = "fmask"
MAX_FMASK_CLASS = 4  # of Fmask's own classes: 1 water, 2 shadow, 3 snow, 4 cloud
# What ends the name of a file, without its suffix → the rule of its band
FILES = re.compile(r"(?:^|[_.\-])(scl|qa_pixel|pixel_qa|qa60|msk_cldprb|cldprb|fmask\d?)(?:_\d+m)?$")
ALIASES = {"cldprb": "msk_cldprb"}


def _fmask_classes(values: Indices) -> Mask:
    return np.isin(values, (2, 4))


def _fmask_rule(band: Layer) -> Rule:
    """Return the rule of a band Fmask: bits, as of HLS, unless it only contains Fmask's own classes."""
    if "hls" in PurePath(band.source).name.casefold():
        return FMASK_BITS
    values, valid, _ = band.thumbnail(LOOK_PX)
    seen = values[0][valid & (values[0] != VOID)]
    return _fmask_classes if not seen.size or seen.max() <= MAX_FMASK_CLASS else FMASK_BITS


class CloudBand(LayerView):
    """Cloud mask from a band: 1 for pixels that the band marks as cloud, 0 for pixels that it marks as clear."""

    def __init__(self, band: Layer, rule: Rule) -> None:
        super().__init__(band, np.uint8, None)
        self.rule = rule

    def warp(self, grid: Grid) -> CloudBand:
        """Return the mask on another grid: its classes and bits are never averaged."""
        return CloudBand(self.layer.on(grid, "nearest"), self.rule)

    def read(self, window: Window, bands: Sequence[int]) -> Pixels:
        values, valid = self.layer.read(window)
        known = np.where(valid, values[0], 0).astype(np.int64)
        return self.rule(known)[None].astype(np.uint8), valid

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> Pixels:
        coarse = Layer(self.warp(self.grid.zoom_to(shape)))
        return coarse.read()


def cloud_band(layer: Layer) -> Layer | None:
    """Return the mask of clouds from a band of an image that is named as such; None without one."""
    names = [name.strip().casefold() for name in layer.band_names]
    for name, rule in RULES.items():
        if name in names:
            band = layer.subset([layer.bands[names.index(name)]]).as_stored()
            if band.thumbnail(LOOK_PX)[1].any():
                return Layer(CloudBand(band, rule))
    if FMASK in names:
        band = layer.subset([layer.bands[names.index(FMASK)]]).as_stored()
        return Layer(CloudBand(band, _fmask_rule(band)))
    return None


def coded_clouds(layer: Layer, *, is_mask: bool) -> Layer | None:
    """Return the mask of clouds of a file of one band that its name states to be SCL, QA_PIXEL, Fmask …; None for other names.

    is_mask : whether it only contains values of a plain mask, which only the name Fmask overrules, whose 1 is water
    """
    word, band = _code_of(layer), layer.as_stored()
    if not word or (word == CLEAR[0] and not is_mask):
        return None
    if word == CLEAR[0]:
        return Layer(CloudBand(band, RULES[word]))
    if word.startswith(FMASK):
        return Layer(CloudBand(band, _fmask_rule(band)))
    return None if is_mask else Layer(CloudBand(band, RULES[ALIASES.get(word, word)]))


def zero_is_unseen(layer: Layer) -> bool:
    """Return whether 0 means no data or not clear in a file of one band, by its name: SCL, and masks of what is clear."""
    return _code_of(layer) in ("scl", CLEAR[0])


def _code_of(layer: Layer) -> str:
    """Return the code of clouds that the name of a file of one band states, '' for other names."""
    stem = PurePath(layer.source).name.casefold()
    stem = stem.rpartition(".")[0] or stem
    if layer.count != 1:
        return ""
    if match := FILES.search(stem):
        return match[1]
    return CLEAR[0] if CLEAR_FILES.search(stem) and not CLOUD_FILES.search(stem) else ""


def cloud_share(mask: Layer) -> float:
    """Return the share of an image that its mask of clouds hides, 0–1, by an overview of the mask."""
    values, valid, _ = mask.thumbnail(LOOK_PX)
    return float(((values[0] > 0) & valid).mean())


def check_zero_is_value(layer: Layer, flag: str, meaning: str) -> None:
    """Refuse a map, named by `flag`, that declares 0 as nodata though 0 has a meaning in it (InputError)."""
    if layer.nodata == 0:
        raise InputError(
            f"{flag} {layer.source} declares 0 as nodata, but 0 is {meaning}. Remove that, e.g. with gdal_edit.py -unsetnodata."
        )
