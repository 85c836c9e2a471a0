"""A date of a flood: how water is measured, mapped and compared with an earlier date, whatever took the image.

One class per kind of image: `radar_date`, `spectrum_date`, `surface_date`, `mask_date`; `date_kinds` lists them. A further
kind is one more class, and a row there, or an entry point of the group `deepnets4eo.water_dates`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from threading import Lock
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from deepnets4eo.arrays import ByteImage, FloatImage, Mask
from deepnets4eo.floods.radar import RadarOptions
from deepnets4eo.floods.thresholds import (
    DRY,
    FLOOD,
    NOT_SEEN,
    PERMANENT_WATER,
    WATER_PROBABILITY,
    WaterThreshold,
    grow_water,
)
from deepnets4eo.floods.water_network import WaterNetwork
from deepnets4eo.grid import Grid
from deepnets4eo.outputs import Finding, Phrase
from deepnets4eo.rasters import Layer
from deepnets4eo.tiling import spread_windows

# A date is measured on this many windows along each axis, of this side; shorter axes are read whole.
SAMPLE_WINDOWS, SAMPLE_PX = 4, 512

T = TypeVar("T")


@dataclass(frozen=True)
class WaterSearch:
    """Settings of the search for water at all dates of a scene.

    Parameters
    ----------
    options : how water is found in radar, and the smallest body of water
    network : finds water in fine optical images; None if only their surfaces are used
    gsd_m : side of a pixel, metres
    whole_m2 : area of the scene, or at least of a tile without its halo
    """

    options: RadarOptions
    network: WaterNetwork | None
    gsd_m: float = 1.0
    whole_m2: float = 0.0


@dataclass(frozen=True)
class Sample:
    """Windows spread over the layer of a date, side by side, which are read when first needed.

    Parameters
    ----------
    layer : the image of the date
    day : when it was taken (ISO 8601), if the tags of the file do not state it, or wrongly
    """

    layer: Layer
    day: str | None = None

    @property
    def values(self) -> FloatImage:
        """Values (C, h, w)."""
        return self._pixels[0]

    @property
    def valid(self) -> Mask:
        """Mask (h, w) of where all of them are valid."""
        return self._pixels[1]

    @cached_property
    def _pixels(self) -> tuple[FloatImage, Mask]:
        layer = self.layer
        if max(layer.shape) < SAMPLE_WINDOWS * SAMPLE_PX:
            data, valid = layer.read()
            return data.astype(np.float32), valid & ~np.isnan(data[0])
        height, width = (side if side < SAMPLE_WINDOWS * SAMPLE_PX else SAMPLE_PX for side in layer.shape)
        windows = spread_windows(layer.shape, (height, width), SAMPLE_WINDOWS)
        columns = len({window.col for window in windows})
        read = [layer.read(window) for window in windows]
        rows = [read[start : start + columns] for start in range(0, len(read), columns)]
        data = np.concatenate([np.concatenate([sample[0] for sample in row], axis=2) for row in rows], axis=1)
        valid = np.concatenate([np.concatenate([sample[1] for sample in row], axis=1) for row in rows])
        return data.astype(np.float32, copy=False), valid & ~np.isnan(data[0])


@dataclass(frozen=True)
class Tile:
    """View of one date in a tile of the scene.

    Parameters
    ----------
    values : (C, h, w)
    seen : (h, w), where the date is seen
    search : how water is looked for
    """

    values: FloatImage
    seen: Mask
    search: WaterSearch
    _lock: Any = field(default_factory=Lock, init=False, repr=False, compare=False)
    _kept: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    def within(self, seen: Mask) -> Tile:
        """Return the tile as a date sees it that has gaps."""
        return self if seen is self.seen else replace(self, seen=seen)

    def once(self, compute: Callable[[], T]) -> T:
        """Compute what comparisons with several dates share; later calls return the first result."""
        with self._lock:
            if not self._kept:
                self._kept.append(compute())
            result: T = self._kept[0]
            return result


class NewWater(NamedTuple):
    """Classes (h, w) uint8 by two dates (0 dry, 1 permanent water, 2 flood, 255 not seen), and the probability of water at the later one."""

    classes: ByteImage
    probability: FloatImage


class Recognised(NamedTuple):
    """A layer as a kind of date reads it: the bands that show water, named by what they show, and the date before it is measured."""

    image: Layer
    date: WaterDate


@dataclass(frozen=True)
class WaterDate(ABC):
    """Detection of water at a date; each kind of image is a subclass.

    Class attributes: `kind`, as products state it; `in_words`, for the log; `expects`, the bands, for messages;
    `optical`: clouds can be seen in it, and it is registered by its pixels; `side_looking`: relief hides ground;
    `by_appearance`: water is found by how the ground looks, not by a measured quantity; `uses_network`;
    `shows_lasting`: whether `lasting_water` returns the water of the date;
    `wants_cloud_mask`: clouds are mistaken for water; `halo_px`: pixels around a tile that decide in it.

    Parameters
    ----------
    bands : names of the bands of the layer
    thresholds : band or index → threshold between water and land; None if no part of the scene has two modes
    """

    kind: ClassVar[str]
    in_words: ClassVar[str]
    expects: ClassVar[str] = ""
    optical: ClassVar[bool] = False
    side_looking: ClassVar[bool] = False
    by_appearance: ClassVar[bool] = False
    uses_network: ClassVar[bool] = False
    shows_lasting: ClassVar[bool] = False
    wants_cloud_mask: ClassVar[bool] = False
    is_image: ClassVar[bool] = True
    halo_px: ClassVar[int] = 64

    bands: tuple[str, ...]
    thresholds: dict[str, WaterThreshold | None] = field(default_factory=dict)

    @classmethod
    def recognise(cls, layer: Layer, sensor: str) -> Recognised | None:
        """Return the bands that this kind reads of a layer, None if the layer is of another kind. sensor : "auto", "optical" or "radar"."""
        return None

    def check_image(self, image: Layer) -> None:  # noqa: B027 - a kind may take every image
        """Refuse an image in which this kind finds no water. Errors: InputError."""

    def colours(self, layer: Layer) -> Layer | None:
        """Return red, green and blue of the whole layer for the page; None to show the bands that are read."""
        return None

    def working_grid(self, post_grid: Grid) -> Grid:
        """Return the grid on which dates are compared if POST is of this kind."""
        return post_grid

    def display(self, averaged: Layer, image: Layer) -> Layer:
        """Return the layer on the working grid as `water` reads it. image : the layer before it was averaged."""
        return averaged

    def measure(self, sample: Sample, search: WaterSearch) -> WaterDate:
        """Return the date with its thresholds measured."""
        return replace(self, bands=tuple(sample.layer.band_names))

    def measure_with(self, sample: Sample, post: WaterDate, post_sample: Sample, search: WaterSearch) -> WaterDate:
        """Return a date before with what is measured of it and POST together. Errors: InputError if they do not belong together."""
        return self

    def findings(self, role: str) -> list[Finding]:
        """Return what was measured of a date before and POST together that limits the map. role : "pre", or the name of the layer"""
        return []

    @abstractmethod
    def water(self, tile: Tile) -> FloatImage:
        """Return the probability of water (h, w), NaN if not seen."""

    def new_since(self, before: WaterDate, earlier: Tile, tile: Tile) -> NewWater:
        """Return which water of this date is new since an earlier one, by the water of both."""
        water = self.water(tile.within(earlier.seen))
        return NewWater(new_water(before.water(earlier), water, tile.search.options.least_px), water)

    def lasting_water(self, tile: Tile) -> tuple[Mask, Mask]:
        """Return water (h, w) that a later date must show if water is recognised there, and where water is certain; none by default,
        since measured water comes and goes, and is recognised alike at every date."""
        none = np.zeros(tile.seen.shape, bool)
        return none, none

    def is_patch(self, area_m2: float) -> bool:
        """Return whether an image of an area is too small for the water that this kind looks for."""
        return False

    def snow(self, bands: Mapping[str, FloatImage], seen: Mask) -> Mask | None:
        """Return where snow is, (h, w); None if the bands do not show it."""
        return None

    def without_modes(self) -> Phrase:
        """Return what the map does if no band has two modes."""
        return Phrase("zero_taken")

    def is_same_kind(self, other: WaterDate) -> bool:
        """Return whether both dates are of one kind."""
        return self.kind == other.kind

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; of the two modes only what the odds of water need."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        measured = {name: threshold and threshold.to_dict() for name, threshold in self.thresholds.items()}
        return {"kind": self.kind} | values | {"thresholds": measured}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WaterDate:
        """Return the date that `to_dict` described."""
        measured = {name: stored and WaterThreshold.from_dict(stored) for name, stored in values["thresholds"].items()}
        own = {name: value for name, value in values.items() if name != "kind"}
        return cls(**{**own, "bands": tuple(values["bands"]), "thresholds": measured})


def by_roles(layer: Layer, wanted: Sequence[str]) -> Layer | None:
    """Return the bands of a layer with these roles, named by them; None if one is missing."""
    roles = layer.sensor.roles
    if not all(role in roles for role in wanted):
        return None
    return layer.subset([roles[role] for role in wanted]).with_names(list(wanted))


def new_water(before: FloatImage, after: FloatImage, least_px: int) -> ByteImage:
    """Return classes of water by its probabilities at two dates, whatever their sensors.

    Parameters
    ----------
    before, after : (H, W) float32, probability of water at each date, NaN if not seen
    least_px : regions with fewer pixels are left out

    Returns
    -------
    (H, W) uint8
        0 dry, 1 permanent water, 2 flood, 255 not seen.
    """
    water = grow_water(after, least_px)
    new = np.where(water & (before < WATER_PROBABILITY), after, np.float32(0))
    classes = np.where(grow_water(new, least_px), FLOOD, np.where(water, PERMANENT_WATER, DRY))
    return np.where(np.isnan(before + after), NOT_SEEN, classes).astype(np.uint8)
