"""A stack of dates on one grid, read by window: values and validity of one date at a time.

Takes images of one site with the same bands, and masks of clouds; refuses dates with other bands, or of other ground.
Memory: what one window of one date needs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.change.pair import check_one_space
from deepnets4eo.change.series.dates import DatedImage, find_images
from deepnets4eo.change.series.odd_dates import report_odd_dates
from deepnets4eo.change.series.options import SeriesInputs
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window
from deepnets4eo.inspection import CloudClassification
from deepnets4eo.options import split_names
from deepnets4eo.rasters import Layer, LayerLike, in_colour_order_of, layer_names, without_implausible
from deepnets4eo.read_as import IMAGE, Door, open_cloud_mask

MAX_NAMED = 5  # dates in a message

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MaskRule:
    """Rule that defines which values of a mask are clouds.

    values, above : `values` are clouds, or all values above `above` if `values` is empty
    band : 1-based band of the image itself that is the mask, if there is no separate raster
    """

    values: tuple[float, ...] = ()
    above: float = 0.0
    band: int | None = None

    def clouds(self, mask: Any) -> Mask:
        """Return the clouds of a mask (h, w) as (h, w) bool."""
        return np.asarray(np.isin(mask, self.values) if self.values else mask > self.above)


def year_note(days: Sequence[date]) -> str:
    """Return the note on dates whose day is unknown."""
    years = ", ".join(str(day.year) for day in days[:MAX_NAMED]) + (" …" if len(days) > MAX_NAMED else "")
    return (
        f"Only the year of {years} is known: the middle of the year (1 July) stands for the date, and seasons cannot be told apart. "
        "Give the days with --set dates=… where they are known."
    )


class ImageSeries:
    """Images of one site by date, on a grid, by default the grid of the first image.

    bands : name → 1-based number of the bands that are used, or names of all bands in order; by default all bands, by
        their own names. If the files name no bands, three bands are taken as red, green and blue, a fourth as near infrared,
        and `bands_assumed` is True.

    Raises InputError for no date, a date with other bands or an unreadable date; GridError for a date off the grid.

    >>> arrays = [np.full((2, 8, 8), number, np.uint8) for number in (1, 2)]
    >>> images = [DatedImage(date(2020, number, 1), (array,)) for number, array in enumerate(arrays, start=1)]
    >>> series = ImageSeries(images)
    >>> series.read(1, Window(0, 0, 2, 3))[0].shape, series.dates[1].isoformat()
    ((2, 2, 3), '2020-02-01')
    """

    def __init__(
        self,
        images: Sequence[DatedImage],
        *,
        bands: Mapping[str, int] | Sequence[str] | None = None,
        mask: MaskRule | None = None,
        grid: Grid | None = None,
    ) -> None:
        if not images:
            raise InputError("the series has no dates. Give at least one image.")
        self.rule = mask or MaskRule()
        self.dates = [image.day for image in images]
        opened = [[_open(image.day, source) for source in image.sources] for image in images]
        self.grid = opened[0][0].grid if grid is None else grid
        self.first_layers = [layers[0] for layers in opened]  # of each date, on its own grid
        check_one_space(self.first_layers)
        card = self.first_layers[0].embedding
        self.embedding = None if card is None else card.name
        own = [name for layer in opened[0] for name in layer.band_names]
        numbers, self.band_names, self.bands_assumed = _choose(own, bands, self.rule.band)
        if self.bands_assumed:
            log.warning(
                "The images do not name their bands: they are read as %s. Name them with --bands if they show others.",
                ", ".join(self.band_names),
            )
        for image, layers in zip(images, opened, strict=True):
            count = sum(layer.count for layer in layers)
            if count != len(own):
                raise InputError(
                    f"the image of {image.day} ({layers[0].source}) has {count} bands, that of {self.dates[0]} "
                    f"{len(own)}. Give dates with the same bands."
                )
            for layer in layers:
                layer.covered_share(self.grid, str(image.day))
        report_odd_dates(self.dates, opened)
        opened = [
            [in_colour_order_of(layer, first) for layer, first in zip(layers, opened[0], strict=False)]
            if len(layers) == len(opened[0]) == 1
            else layers
            for layers in opened
        ]
        keys = [[key for layer in layers for key in layer.band_keys] for layers in opened]
        orders = [_order_by_key(keys[0], others, len(own)) for others in keys]
        self.sources = [layers[0].source for layers in opened]
        self.grid_source = self.sources[0] if grid is None else None
        self.years_alone = [image.day for image in images if image.year_alone]
        if self.years_alone:
            log.warning("%s", year_note(self.years_alone))
        self.paths = [path for layers in opened for layer in layers for path in layer.paths]
        self.synthetic = any(layer.synthetic for layers in opened for layer in layers)
        dated = list(zip(images, opened, orders, strict=True))
        used = [_used_bands(layers, [order[number - 1] for number in numbers]) for _, layers, order in dated]
        self._layers = [[without_implausible(layer.on(self.grid)) for layer in layers] for layers, _ in used]
        self._orders = [order for _, order in used]
        self._masks = [self._masks_of(image, layers, order) for image, layers, order in dated]

    @classmethod
    def open(
        cls,
        source: str | Path | Sequence[LayerLike],
        *,
        bands: Mapping[str, int] | Sequence[str] | None = None,
        mask: MaskRule | None = None,
        **how: Any,
    ) -> ImageSeries:
        """Open a folder, a list or a STAC collection; `how` as `find_images` takes it."""
        return cls(find_images(source, **how), bands=bands, mask=mask)

    @classmethod
    def from_words(cls, source: str, inputs: SeriesInputs) -> ImageSeries:
        """Open a series from the options of a command line."""
        return cls.open(
            source, dates=split_names(inputs.dates) if inputs.dates else None, date_pattern=inputs.date_pattern,
            masks=inputs.masks, assets=split_names(inputs.assets or ""), bands=inputs.chosen_bands,
            mask=MaskRule(inputs.cloud_values, inputs.mask_above, inputs.mask_band),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.dates)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (h, w) in pixels."""
        height, width = self.grid.shape
        return height, width

    @property
    def layers(self) -> list[Layer]:
        """The layers of all dates in the bands that are used, and their masks, on the grid of the series."""
        return [layer for part in (self._layers, self._masks) for layers in part for layer in layers]

    def read(self, index: int, window: Window) -> tuple[FloatImage, Mask]:
        """Return the values of a date (C, h, w) and the mask of valid pixels: no clouds, and data in the bands that are used."""
        parts = [layer.read(window) for layer in self._layers[index]]
        data = np.concatenate([part for part, _ in parts]) if len(parts) > 1 else parts[0][0]
        valid = np.logical_and.reduce([valid for _, valid in parts])
        for mask in self._masks[index]:
            values, inside = mask.read(window)
            valid = valid & inside & ~self.rule.clouds(values[0])
        order = self._orders[index]
        if order != list(range(len(data))):
            data = data[order]
        return data.astype(np.float32), valid

    def _masks_of(self, image: DatedImage, layers: Sequence[Layer], order: Sequence[int]) -> list[Layer]:
        zero_is_clear = not self.rule.values
        masks = [
            open_cloud_mask(
                mask,
                layers[0],
                f"the mask of {image.day}",
                zero_is_clear=zero_is_clear,
                by_name=zero_is_clear and not self.rule.above,
            )
            for mask in image.masks
        ]
        if not masks and self.rule.band is not None:
            masks = [_mask_band(image.day, layers[0], order[self.rule.band - 1], zero_is_clear)]
        if not masks and self.rule == MaskRule():
            masks = [mask for layer in layers if (mask := CloudClassification.of(layer).mask) is not None]
        return [mask.on(self.grid, "nearest") for mask in masks]


def _open(day: date, source: LayerLike) -> Layer:
    """Return the image of a date, with the nodata value that its file does not declare. Raises InputError naming the date."""
    try:
        layer = Layer.open(source)
    except InputError as error:
        raise type(error)(f"the image of {day} cannot be read: {error}") from error
    return IMAGE.assess(layer, Door.of_image(str(day), collars="data")).report()


def _order_by_key(first: Sequence[str], keys: Sequence[str], count: int) -> list[int]:
    """Numbers, 1-based, of the bands of a date in the order of the first date, by names or colours that both have; else as stored."""
    if len(set(first)) == count and set(first) == set(keys):
        return [keys.index(key) + 1 for key in first]
    return list(range(1, count + 1))


def _used_bands(layers: Sequence[Layer], numbers: Sequence[int]) -> tuple[list[Layer], list[int]]:
    """Return layers with only the bands that are used, and the order of `numbers` in what these layers read.

    Bands that are not used then do not affect validity; `numbers` are 1-based over all layers."""
    read: list[int] = []
    subsets, before = [], 0
    for layer in layers:
        own = sorted({number for number in numbers if before < number <= before + layer.count})
        if own:
            subsets.append(layer.subset([layer.bands[number - before - 1] for number in own]))
        read += own
        before += layer.count
    return subsets, [read.index(number) for number in numbers]


def _mask_band(day: date, layer: Layer, number: int, zero_is_clear: bool) -> Layer:
    """Return the band of an image that is its mask. Raises InputError if the image's nodata value would hide clear pixels."""
    if zero_is_clear and layer.nodata == 0:
        raise InputError(
            f"the image of {day} ({layer.source}) declares 0 as nodata, but 0 is clear in its mask, band {number}. Give the mask "
            "as a raster of its own (--masks), made with gdal_translate -b … -a_nodata none, or the values that are clouds."
        )
    return layer.as_stored().subset([layer.bands[number - 1]])


def _choose(
    own: Sequence[str], bands: Mapping[str, int] | Sequence[str] | None, mask_band: int | None
) -> tuple[list[int], list[str], bool]:
    """Return numbers and names of the bands that are used, and whether the names are assumed.

    Names are assumed if neither the files nor `bands` state them. Names of all bands may omit the name of the mask."""
    if not isinstance(bands, Mapping):
        numbers = [number for number in range(1, len(own) + 1) if number != mask_band]
        if not numbers:
            raise InputError(
                "the images have only the band of their mask. Give the mask as rasters of its own, with --masks."
            )
        kept = [own[number - 1] for number in numbers]
        if bands is not None and len(bands) == len(own):
            bands = [bands[number - 1] for number in numbers]
        names = layer_names("image", kept, bands)
        return numbers, names, bands is None and names != kept
    wrong = [number for number in bands.values() if not 1 <= number <= len(own)]
    if wrong or not bands:
        raise InputError(f"the images have bands 1–{len(own)}, not {wrong}. Bands count from 1.")
    return list(bands.values()), list(bands), False
