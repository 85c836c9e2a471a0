"""Masks of clouds, 0 for clear pixels: rasters, and bands of products with their own coding of clouds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from deepnets4eo.arrays import Indices, Mask, Pixels
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window
from deepnets4eo.rasters.layer import Layer, LayerLike
from deepnets4eo.rasters.views import LayerView

LOOK_PX = 512  # side of the overview in which a band is looked at for any value

Rule = Callable[[Indices], Mask]


def _bits(*numbers: int) -> Rule:
    mask = sum(1 << number for number in numbers)
    return lambda values: (values & mask) != 0


def _above(value: int) -> Rule:
    return lambda values: values > value


# Band name → what its values say; the first that an image has counts. Shadows of clouds are hidden too: they look like water.
RULES: Mapping[str, Rule] = {
    "scl": lambda values: np.isin(values, (3, 8, 9, 10)),
    "qa_pixel": _bits(1, 2, 3, 4),
    "clear": lambda values: values == 0,  # UDM2 of Planet is 1 where clear
    **dict.fromkeys(("cloud", "clouds", "cloud_mask", "cloudmask", "clm"), _above(0)),
    **dict.fromkeys(("probability", "cloud_probability", "cloud_prob", "msk_cldprb"), _above(50)),
    "clp": _above(127),
    "qa60": _bits(10, 11),
}


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
    return None


def cloud_share(mask: Layer) -> float:
    """Return the share of an image that its mask of clouds hides, 0–1, by an overview of the mask."""
    values, valid, _ = mask.thumbnail(LOOK_PX)
    return float(((values[0] > 0) & valid).mean())


def open_cloud_mask(
    mask: LayerLike, image: Layer, flag: str, *, zero_is_clear: bool = True, by_name: bool = True
) -> Layer:
    """Open a mask of clouds (0 clear) on its own grid; `flag` names it in messages. GridError if it does not fit the image."""
    layer = Layer.open(mask, labels=True)
    named = cloud_band(layer) if by_name else None
    if named is None and layer.count != 1:
        raise InputError(
            f"{flag} {layer.source} has {layer.count} bands, and none is named as a mask of clouds (SCL, QA60, clear, cloud …). Take out the one "
            "that is 0 where the image is clear, e.g. with gdal_translate -b."
        )
    layer = layer if named is None else named
    if zero_is_clear and named is None:
        check_zero_is_value(layer, flag, "clear in a mask of clouds")
    layer.covered_share(image.grid, flag)
    layer.on(image.grid, "nearest")  # which refuses another size where only pixel numbers pair them
    return layer


def check_zero_is_value(layer: Layer, flag: str, meaning: str) -> None:
    """Refuse a map, named by `flag`, that declares 0 as nodata though 0 has a meaning in it (InputError)."""
    if layer.nodata == 0:
        raise InputError(
            f"{flag} {layer.source} declares 0 as nodata, but 0 is {meaning}. Remove that, e.g. with gdal_edit.py -unsetnodata."
        )
