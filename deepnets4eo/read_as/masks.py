"""Masks of clouds or water: which values mean what, assessed alike at every entrance.

A mask is 0 on clear or dry ground, and 1 (or 255) on clouds or water. Codes of products, such as SCL, QA_PIXEL or Fmask, are understood
by the name of their band or file; other numbers, such as classes, bits or percentages, are refused.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window
from deepnets4eo.rasters import (
    Layer,
    LayerLike,
    LayerView,
    check_zero_is_value,
    cloud_band,
    coded_clouds,
    metres_of,
    zero_is_unseen,
)
from deepnets4eo.read_as.assessment import Door
from deepnets4eo.read_as.kinds import MASK

log = logging.getLogger(__name__)

MASK_VALUES = frozenset({1.0, 255.0})  # of what is true in a mask
CLOUD_VALUES = MASK_VALUES | {2.0}  # and of shadows, in masks of `layers clouds`
CLOUD_WORDS = (
    "cloud",
    "shadow",
    "cirrus",
    "haze",
    "nuage",
    "nube",
    "nuvem",
    "wolke",
    "ombre",
    "sombra",
    "hidden",
    "masked",
)  # in the names of classes that hide the ground
CLEAR_WORDS = ("no cloud", "no_cloud", "cloudless", "cloud free", "cloud-free", "cloudfree", "no shadow", "not cloud")
STRIP_ROWS = 64  # of a coarse mask, read at a time
MAX_LISTED_VALUES = 6  # values in a message
MIN_COVERED = 0.9  # share of an image under clouds, from which a mask may mean the opposite: few use such an image
# Of wet pixels: a tenth of depths in decimetres are whole metres, but most pixels of resampled classes are whole.
MAX_WHOLE_SHARE = 0.3


class ClassMask(LayerView):
    """A layer as 1 for some values and 0 elsewhere. values : which ones; if empty, all values but 0."""

    def __init__(self, layer: Layer, values: Collection[int]) -> None:
        super().__init__(layer, np.uint8, None)
        self._values = list(values)

    def warp(self, grid: Grid) -> ClassMask:
        """Return the mask on another grid: its classes are never averaged."""
        return ClassMask(self.layer.on(grid, "nearest"), self._values)

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self.choose(bands).read(window)
        return (np.isin(data, self._values) if self._values else data != 0).astype(np.uint8), valid

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read the middle pixel of each coarse pixel, since classes have no mean. Memory: a strip of the mask."""
        rows, cols = (
            np.floor((np.arange(n) + 0.5) * side / n).astype(int)
            for n, side in zip(shape, self.grid.shape, strict=True)
        )
        parts = []
        for strip in np.array_split(rows, -(-len(rows) // STRIP_ROWS)):
            data, valid = self.read(Window(int(strip[0]), 0, int(strip[-1] - strip[0] + 1), self.grid.shape[1]), bands)
            parts.append((data[:, strip - strip[0]][:, :, cols], valid[strip - strip[0]][:, cols]))
        return np.concatenate([data for data, _ in parts], axis=1), np.concatenate([valid for _, valid in parts])


@dataclass
class ValuesSeen:
    """Values of a raster other than 0: gaps, a 0, fractions, values below 0, and some of the whole numbers; pixels of each kind.

    valid_px : pixels that have a value
    """

    gaps: bool = False
    zero: bool = False
    negative: bool = False
    whole: frozenset[float] = frozenset()
    whole_px: int = 0
    fraction_px: int = 0
    valid_px: int = 0

    @classmethod
    def of(cls, layer: Layer) -> ValuesSeen:
        """Read the layer window by window."""
        seen = cls()
        for window in layer.blocks():
            data, valid = layer.read(window)
            seen._add(data[0][valid], covered=bool(valid.all()))
        return seen

    def _add(self, values: NDArray[Any], *, covered: bool) -> None:
        self.gaps, self.zero = self.gaps or not covered, self.zero or bool((values == 0).any())
        self.valid_px += values.size
        wet = values[values != 0]
        self.negative = self.negative or bool((wet < 0).any())
        is_whole = wet == np.rint(wet)
        self.whole_px += int(np.count_nonzero(is_whole))
        self.fraction_px += int(wet.size - np.count_nonzero(is_whole))
        if len(self.whole) <= MAX_LISTED_VALUES:
            self.whole |= frozenset(np.unique(wet[is_whole]).astype(float).tolist())

    @property
    def fractions(self) -> bool:
        """Return whether there are values that are no whole numbers."""
        return self.fraction_px > 0

    @property
    def is_mask(self) -> bool:
        """Return whether all values are 0 and one value that means true."""
        return not self.fractions and len(self.whole) <= 1 and self.whole <= MASK_VALUES

    @property
    def has_dry_gaps(self) -> bool:
        """Return whether gaps are in place of every 0."""
        return self.gaps and not self.zero

    @property
    def share(self) -> float:
        """Return the share of the pixels with a value that are not 0; 0.0 without such pixels."""
        return (self.whole_px + self.fraction_px) / self.valid_px if self.valid_px else 0.0

    def is_depth(self, unit: str, *, scaled: bool) -> bool:
        """Return whether the values are depths next to dry ground: lengths by their unit, else mostly fractions, which classes are not."""
        blended = len(self.whole) > 1 and self.whole_px > MAX_WHOLE_SHARE * (self.whole_px + self.fraction_px)
        is_length = metres_of(unit) is not None if unit else scaled or (self.fractions and not blended)
        return is_length and self.zero and not self.negative

    @property
    def listed(self) -> str:
        """Some of the values, for a message."""
        numbers = [f"{value:g}" for value in sorted(self.whole)[:MAX_LISTED_VALUES]]
        return ", ".join([*numbers, *(["fractions"] if self.fractions else [])])


def open_cloud_mask(
    mask: LayerLike, image: Layer, flag: str, *, zero_is_clear: bool = True, by_name: bool = True
) -> Layer:
    """Open a mask of clouds (0 clear) on its own grid.

    Parameters
    ----------
    mask : a mask, a raster whose legend names clouds, or a band of a product that names or codes them
    image : the image whose clouds it shows
    flag : its name in messages
    zero_is_clear : whether 0 is clear; else the caller knows which values are
    by_name : whether names of bands and files, and the values, state what is clear; else the caller does

    Raises
    ------
    InputError
        Several bands without a name of clouds, 0 as nodata, or values that no mask has.
    GridError
        It does not fit the image.
    """
    layer = MASK.check(Layer.open(mask, labels=True), Door(flag)).report()
    named = cloud_band(layer) if by_name else None
    if named is None and layer.count != 1:
        raise InputError(
            f"{flag} {layer.source} has {layer.count} bands, and none is named as a mask of clouds (SCL, QA60, clear, cloud …). Take out the one "
            "that is 0 where the image is clear, e.g. with gdal_translate -b."
        )
    layer = layer if named is None else named
    if zero_is_clear and named is None and not zero_is_unseen(layer):
        check_zero_is_value(layer, flag, "clear in a mask of clouds")
    layer.covered_share(image.grid, flag)
    on_image = layer.on(image.grid, "nearest")  # which refuses another size where only pixel numbers pair them
    return _cloud_values(layer, on_image, flag) if zero_is_clear and by_name and named is None else layer


def _cloud_values(layer: Layer, on_image: Layer, flag: str) -> Layer:
    """Return a mask of clouds by its legend or its values; refuse other values. Errors: InputError."""
    hiding = [] if layer.legend is None else [name for name in layer.legend.names if _hides(name)]
    if layer.legend is not None and hiding:
        return Layer(ClassMask(layer, [layer.legend.value(name) for name in hiding]))
    if layer.legend is not None:
        raise InputError(
            f"{flag} {layer.source} states its classes, and none of them is cloud or shadow: {', '.join(layer.legend.names)}. Give a mask of "
            "clouds; if these are clouds, name the class so in its legend, or remove the tag: gdal_edit.py -mo LEGEND= FILE."
        )
    seen = ValuesSeen.of(on_image)
    is_mask = not seen.fractions and seen.whole <= CLOUD_VALUES
    coded = coded_clouds(layer, is_mask=is_mask)
    if coded is not None:
        log.info("%s %s is read by the code of its product.", flag, layer.source)
        return coded
    if is_mask:
        _check_clear_ground(layer, seen, flag)
        return layer
    raise InputError(
        f"{flag} {layer.source} holds the values {seen.listed}; expected a mask of clouds, 0 where the image is clear, 1 (or 255) under clouds and 2 "
        "in their shadow. Keep the name of the product's band (SCL, QA_PIXEL, Fmask, probability), or make a mask: gdal_calc.py -A FILE "
        '--calc="(A&14)>0" of the bits of Fmask, --calc="A>50" of a probability in percent.'
    )


def _check_clear_ground(layer: Layer, seen: ValuesSeen, flag: str) -> None:
    """Refuse a mask that has no data wherever it is clear (InputError); warn of a mask that hides nearly all of the image."""
    if seen.has_dry_gaps and seen.whole:
        raise InputError(
            f"{flag} {layer.source} has no data wherever it shows no clouds; expected 0 there. Write it: gdal_calc.py -A FILE --hideNoData "
            '--NoDataValue=none --calc="where(A>0,A,0)" --outfile=OUT.tif.'
        )
    if seen.share >= MIN_COVERED:
        log.warning(
            "%s %s hides %.0f %% of the image. If its 1 means clear ground, exchange both: gdal_calc.py -A FILE --calc=\"A==0\" --outfile=OUT.tif.",
            flag, layer.source, 100 * seen.share,
        )  # fmt: skip


def _hides(name: str) -> bool:
    """Return whether a class of this name hides the ground.

    >>> _hides("Cloud shadow"), _hides("no cloud"), _hides("water")
    (True, False, False)
    """
    lower = name.casefold()
    return any(word in lower for word in CLOUD_WORDS) and not any(word in lower for word in CLEAR_WORDS)


def check_dry_ground(layer: Layer, seen: ValuesSeen, name: str) -> None:
    """Refuse water whose dry ground has no data; `name` is what messages call it. Errors: InputError."""
    if seen.has_dry_gaps:
        raise InputError(
            f"{name} {layer.source} has no data wherever it shows no water; expected 0 there. Write it: gdal_calc.py -A FILE --hideNoData "
            '--NoDataValue=none --calc="where(A>0,A,0)" --outfile=OUT.tif, or gdal_rasterize -init 0 of outlines.'
        )
