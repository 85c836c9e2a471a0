"""Water at each date and which of it is new, as a segmenter: measured on the scene itself, then predicted by tiles.

Takes layers `pre_1`, `pre_2`, … and `post`; returns probabilities of dry ground, permanent water and flood. Dates of
one sensor are compared by what it measures, others by their water.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Batch, ByteImage, FloatImage, Mask
from deepnets4eo.cards import Legend
from deepnets4eo.device import Compute
from deepnets4eo.errors import RunError
from deepnets4eo.files import read_json, write_json
from deepnets4eo.floods.optical import SURE, optical_water
from deepnets4eo.floods.radar import (
    CHANGE_VECTOR,
    DROP,
    FilteredRadar,
    RadarOptions,
    RadarStatistics,
    compare_radar,
    filter_radar,
    find_change_threshold,
)
from deepnets4eo.floods.sensors import Kind, Recognised, recognise
from deepnets4eo.floods.spectrum import PLAIN_WIDTH, index_odds, index_threshold, measure_land_nir, water_indices
from deepnets4eo.floods.thresholds import (
    DRY,
    FLOOD,
    NOT_SEEN,
    PERMANENT_WATER,
    WATER_PROBABILITY,
    WaterThreshold,
    grow_water,
)
from deepnets4eo.floods.units import RadarImage, check_radar_pair, to_power
from deepnets4eo.floods.water_network import SceneTone, WaterNetwork, open_water_network
from deepnets4eo.grid import mean_gsd_m
from deepnets4eo.outputs import iso_day
from deepnets4eo.rasters import Layer, RadarUnit, Scene
from deepnets4eo.segmenters import InputSpec, LayerInput, ProbabilitySegmenter
from deepnets4eo.tiling import Tiling, spread_windows

POST, PRE = "post", "pre_"  # layers; dates before are numbered
PERMANENT, DRAINAGE = "permanent_water", "above_drainage"
SIDE_PX, STEP_PX = 1024, 64  # of tiles without their halo, at most; those of small scenes are smaller
SURFACE_HALO_PX, HALO_PX = 128, 64  # what is looked at around a tile to know a body of water
SAMPLES, SAMPLE_PX = 4, 1024  # windows along each axis that a date is measured on, and their side
MEASURED: tuple[Kind, ...] = ("radar", "spectrum")
MIN_STEP = 0.25  # of the way from land to water, which a flood goes; dark streets in another light do not
FILE = "water.json"
LARGEST = 1e30  # no value is refused by its size
BARELY = 0.01  # from one half: the probability of what the map decides against it


@dataclass(frozen=True)
class WaterDate:
    """How water is found at a date.

    kind, bands : "radar", "spectrum", "surface" or "map"; polarisations, or what the bands show
    unit, looks : of radar; polarisation → equivalent number of looks
    thresholds : polarisation in dB, or index → threshold; None where no part of the scene has two modes
    change : the threshold of the change vector from a date of radar to POST, where the options take it
    tone, land_nir : how bright a fine optical image is for the network, and the near infrared of its land"""

    kind: Kind
    bands: tuple[str, ...]
    unit: RadarUnit | None = None
    looks: dict[str, float] = field(default_factory=dict)
    thresholds: dict[str, WaterThreshold | None] = field(default_factory=dict)
    change: WaterThreshold | None = None
    tone: SceneTone | None = None
    land_nir: float = 0.0

    @property
    def statistics(self) -> RadarStatistics:
        """Looks and thresholds of radar."""
        return RadarStatistics(self.looks, self.thresholds, self.change)

    def power(self, values: FloatImage, seen: Mask) -> dict[str, FloatImage]:
        """The bands (C, h, w) of radar as power; what noise removal left below zero is zero."""
        assert self.unit is not None
        known = np.maximum(to_power(values, self.unit), 0)
        known[:, ~seen] = np.nan
        return dict(zip(self.bands, known, strict=True))

    def towards_water(self, values: FloatImage) -> FloatImage:
        """How far each pixel (h, w) lies on the way from land, 0, to water, 1, by the mean of its indices."""
        indices, _ = water_indices(dict(zip(self.bands, values, strict=True)))
        ways = []
        for name, index in indices.items():
            threshold = self.thresholds[name]
            water, land = (0.5, -0.5) if threshold is None else threshold.classes.means.tolist()
            ways.append((index - land) / max(water - land, PLAIN_WIDTH))
        return np.asarray(np.mean(ways, axis=0), np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; of the two modes only what the odds of water need."""
        thresholds = {
            name: None if threshold is None else threshold.to_dict() for name, threshold in self.thresholds.items()
        }
        change = None if self.change is None else self.change.to_dict()
        return asdict(replace(self, thresholds={}, change=None)) | {"thresholds": thresholds, "change": change}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WaterDate:
        """The date that `to_dict` described."""
        thresholds = {name: value and WaterThreshold.from_dict(value) for name, value in values["thresholds"].items()}
        change = values["change"] and WaterThreshold.from_dict(values["change"])
        tone = values["tone"] and SceneTone.from_dict(values["tone"])
        return cls(
            **{**values, "bands": tuple(values["bands"]), "thresholds": thresholds, "change": change, "tone": tone}
        )


class WaterMapper(ProbabilitySegmenter):
    """Water at the dates of a scene, and which of it is new.

    Parameters
    ----------
    inputs : the layers `pre_1`, …, `post`, also `permanent_water` and `above_drainage`, with values as they are
    dates : layer → how its water is found
    options : how water is found in radar
    tiling : how scenes are cut for prediction
    network : finds water in fine optical images together with their surfaces; None: surfaces alone

    Examples
    --------
    ::

        mapper = WaterMapper.of_scene(Scene.open(pre_1="before.tif", post="after.tif"))
        predict(mapper, scene, "water.tif")
    """

    kind = "water-mapper"

    def __init__(
        self,
        inputs: InputSpec,
        dates: Mapping[str, WaterDate],
        options: RadarOptions,
        *,
        tiling: Tiling | None = None,
        network: WaterNetwork | None = None,
    ) -> None:
        self.inputs, self.dates, self.options, self.network = inputs, dict(dates), options, network
        self.compiles = network is not None  # whether runtimes other than PyTorch have something to compute
        self.legend = Legend.load("water")
        self.only_float32 = network is None
        self.tiling = tiling or _tiling(SIDE_PX, self.dates)

    @classmethod
    def of_scene(
        cls,
        scene: Scene,
        options: RadarOptions | None = None,
        sensor: str = "auto",
        gsd_m: float | None = None,
        *,
        surfaces_alone: bool = False,
        days: Mapping[str, str] = MappingProxyType({}),
        recognised: Mapping[str, Recognised] | None = None,
    ) -> WaterMapper:
        """Measure thresholds and looks of every date.

        Parameters
        ----------
        scene : with the layers `pre_1`, … and `post`
        options : how water is found in radar
        sensor : "auto", "optical" or "radar", of layers that are not yet recognised
        gsd_m : side of a pixel, metres, of a scene without CRS
        surfaces_alone : whether the network that comes with the toolbox is left out
        days : layer → its day (ISO 8601), which counts before the tags of the file
        recognised : layer → what its date is, if that is known from the whole file, of which the layer may be a part

        Returns
        -------
        WaterMapper
            For this scene alone.

        Raises
        ------
        InputError
            A date shows no water by any of its bands, or two radar dates do not belong together.
        """
        options = options or RadarOptions()
        if recognised is None:
            maps = (PERMANENT, DRAINAGE)
            recognised = {name: recognise(layer, sensor) for name, layer in scene.layers.items() if name not in maps}
        kinds: dict[str, Kind] = {name: date.kind for name, date in recognised.items()}
        if PERMANENT in scene.layers:
            kinds[PERMANENT] = "map"
        units = {name: date.unit for name, date in recognised.items()}
        network = None if surfaces_alone or "surface" not in kinds.values() else open_water_network()
        measured = MEASURED if network is None else (*MEASURED, "surface")
        samples = {name: _sample(scene.layers[name]) for name, kind in kinds.items() if kind in measured}
        radar = {
            name: _radar_image(scene.layers[name], samples[name], days.get(name), units[name])
            for name, kind in kinds.items()
            if kind == "radar"
        }
        dates = {
            name: _measure_radar(radar[name], samples[name], options) if name in radar
            else _measure(kind, scene.layers[name], samples.get(name), options)
            for name, kind in kinds.items()
        }  # fmt: skip
        for name in [name for name in radar if name != POST and POST in radar]:
            check_radar_pair(radar[name], radar[POST])
        if options.comparison == CHANGE_VECTOR:
            dates |= {name: _with_change(dates, name, samples, options) for name in dates if name != POST}
        layers = {name: _as_read(layer) for name, layer in scene.layers.items()}
        gsd = gsd_m if scene.grid.crs is None else mean_gsd_m(scene.grid)
        side_px = min(SIDE_PX, math.ceil(max(scene.shape) / STEP_PX) * STEP_PX)
        return cls(InputSpec(layers, gsd), dates, options, tiling=_tiling(side_px, dates), network=network)

    @property
    def before(self) -> list[str]:
        """The layers of the dates before."""
        return [name for name in self.dates if name != POST]

    def known_water(self, sample: Mapping[str, NDArray[Any]]) -> tuple[Mask, Mask]:
        """Water before POST, (h, w), in a sample of the scene, and where that is sure. Infrared and radar are left out:
        water comes and goes, and is recognised alike at every date."""
        known, sure = np.zeros((2, *sample["valid"].shape), bool)
        for name in self.before:
            if self.dates[name].kind not in ("surface", "map"):
                continue
            values = sample[name].astype(np.float32, copy=False)
            seen = sample["valid"] & ~np.isnan(values[0])
            water = self._water(name, np.where(seen, values, np.float32(0)), seen)
            known, sure = known | (water > WATER_PROBABILITY), sure | (water >= SURE)
        return known, sure

    @property
    def pixel_m2(self) -> float:
        """Area of a pixel."""
        return self._gsd() ** 2

    def swap_dates(self) -> WaterMapper | None:
        """The mapper with the first date and POST swapped, whose flood is what fell dry. None without an image before,
        or for fine images, whose surfaces are found one way only."""
        first = f"{PRE}1"
        if first not in self.dates or "surface" in (self.dates[first].kind, self.dates[POST].kind):
            return None
        other = {first: POST, POST: first}
        inputs = InputSpec({name: self.inputs.layers[other[name]] for name in other}, self.inputs.gsd_m)
        return WaterMapper(
            inputs, {name: self.dates[other[name]] for name in other}, replace(self.options, comparison=DROP)
        )

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Probabilities of dry ground, permanent water and flood, (N, 3, h, w) float32."""
        inner = np.s_[:, margin_px : batch.shape[2] - margin_px, margin_px : batch.shape[3] - margin_px]
        return np.stack([self._probabilities(image)[inner] for image in batch])

    def _probabilities(self, image: FloatImage) -> FloatImage:
        """(3, h, w), of which the largest is the class of the map."""
        parts, start = {}, 0
        for name, layer in self.inputs.layers.items():
            parts[name] = image[start : start + len(layer.bands)]
            start += len(layer.bands)
        seen = np.asarray(image.any(axis=0))
        classes, water = self._classes(parts, seen)
        if DRAINAGE in parts:
            classes = np.where(parts[DRAINAGE][0] > self.options.highest_m, DRY, classes)
        water = np.where(classes == DRY, np.minimum(water, 0.5 - BARELY), np.maximum(water, 0.5 + BARELY))
        water = np.where(np.isnan(water), 0, water)
        flood = np.where(classes == FLOOD, water, 0)
        return np.stack([1 - water, water - flood, flood]).astype(np.float32)

    def _classes(self, parts: dict[str, FloatImage], seen: Mask) -> tuple[ByteImage, FloatImage]:
        """Classes (h, w), by the most dates before, and the probability of water in POST."""
        if not self.before:
            water = self._water(POST, parts[POST], seen)
            return np.where(grow_water(water, self.options.least_px), PERMANENT_WATER, DRY).astype(np.uint8), water
        radar = [name for name, date in self.dates.items() if date.kind == "radar"]
        after = (
            self._filtered(POST, parts[POST], seen) if POST in radar and len(radar) > 1 else None
        )  # once for all dates before
        with ThreadPoolExecutor(2) as pool:
            pairs = list(pool.map(lambda name: self._pair(name, parts, seen, after), self.before))
        dry, flood, unseen = (
            sum((classes == code).view(np.uint8) for classes, _ in pairs) for code in (DRY, FLOOD, NOT_SEEN)
        )
        saw, water = len(pairs) - unseen, pairs[0][1]
        for _, other in pairs[1:]:  # where the first date has a gap
            water = np.where(np.isnan(water), other, water)
        merged = np.where(2 * flood > saw, FLOOD, np.where(2 * dry > saw, DRY, PERMANENT_WATER))
        return merged.astype(np.uint8), water

    def _filtered(self, name: str, values: FloatImage, seen: Mask) -> FilteredRadar:
        """A date of radar without speckle."""
        date = self.dates[name]
        return filter_radar(date.power(values, seen), self.options, date.statistics)

    def _pair(
        self, name: str, parts: dict[str, FloatImage], seen: Mask, filtered: FilteredRadar | None
    ) -> tuple[ByteImage, FloatImage]:
        """Classes and the probability of water by one date before. filtered : POST, where radar is compared."""
        before, after, values = self.dates[name], self.dates[POST], parts[name]
        if (gaps := np.isnan(values[0])).any():  # see `WithGaps`
            seen, values = seen & ~gaps, np.where(gaps, np.float32(0), values)
        if before.kind == "radar" and filtered is not None:
            mapped = compare_radar(self._filtered(name, values, seen), filtered, self.options)
            return mapped.classes, mapped.probability
        if before.kind == after.kind == "surface":
            return self._surfaces(POST, parts[POST], seen, (name, values))
        water = self._water(POST, parts[POST], seen)
        dry = self._water(name, values, seen)
        if before.kind == after.kind == "spectrum":
            steps = [date.towards_water(bands) for date, bands in ((before, values), (after, parts[POST]))]
            dry = np.where(steps[1] - steps[0] < MIN_STEP, np.float32(1), dry)
        return new_water(dry, water, self.options.least_px), water

    def _water(self, name: str, values: FloatImage, seen: Mask) -> FloatImage:
        """Probability of water (h, w) at one date, NaN where it is not seen; 0 or 1 by surfaces and maps."""
        date = self.dates[name]
        if date.kind == "surface":
            classes, water = self._surfaces(name, values, seen)
            return np.where(classes == DRY, np.minimum(water, 0.5 - BARELY), np.maximum(water, 0.5 + BARELY))
        if date.kind == "map":
            return np.where(seen, values[0] != 0, np.nan).astype(np.float32)
        if date.kind == "spectrum":
            indices, snow = water_indices(dict(zip(date.bands, values, strict=True)), date.land_nir)
            known = {name: np.where(seen, index, np.nan) for name, index in indices.items()}
            return np.where(snow & seen, np.float32(0), _sigmoid(index_odds(known, date.thresholds)))
        return self._filtered(name, values, seen).water_probability()

    def _surfaces(
        self, name: str, values: FloatImage, seen: Mask, before: tuple[str, FloatImage] | None = None
    ) -> tuple[ByteImage, FloatImage]:
        """Classes and the probability of water of a fine optical image, 0 or 1 without a network, and of one before it."""
        after_water = None if self.network is None else self._network_water(name, values, seen)
        pre, before_water = None, None
        if before is not None:
            pre = _bytes(before[1])
            before_water = None if after_water is None else partial(self._network_water, *before, seen)
        side_m = (self.tiling.tile_px - 2 * self.tiling.halo_px) * self._gsd()  # at least that of a scene of one tile
        classes = optical_water(
            pre, _bytes(values), gsd_m=self._gsd(), valid=seen, before_water=before_water, after_water=after_water, whole_m2=side_m**2
        )  # fmt: skip
        water = (classes > DRY).astype(np.float32) if after_water is None else after_water
        return classes, np.where(seen, water, np.float32(np.nan))

    def _network_water(self, name: str, values: FloatImage, seen: Mask) -> FloatImage:
        """Probability of water of a fine optical image by the network."""
        tone = self.dates[name].tone
        assert self.network is not None
        assert tone is not None  # measured wherever there is a network
        return self.network.probability(values, seen, tone)

    def _gsd(self) -> float:
        return self.inputs.gsd_m or 1.0

    def to(self, compute: Compute) -> None:
        """Move the network, if there is one; all else is computed on the CPU."""
        if self.network is not None:
            self.network.run.segmenter.to(compute)

    def describe(self) -> dict[str, Any]:
        """Plain values from which `restore` makes the same mapper again."""
        return {"options": asdict(self.options)} | ({} if self.network is None else {"network": self.network.identity})

    def save(self, folder: str | Path) -> list[str]:
        """Write what was measured; returns the file's name."""
        write_json(Path(folder) / FILE, {name: date.to_dict() for name, date in self.dates.items()})
        return [FILE]

    @classmethod
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> WaterMapper:
        """Make the mapper that `save` wrote. Errors: RunError for a damaged file."""
        try:
            dates = {name: WaterDate.from_dict(values) for name, values in read_json(folder / FILE).items()}
            options, identity = RadarOptions(**description["options"]), description.get("network")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"{folder / FILE} is damaged: {error}. Copy the run again.") from error
        network = open_water_network() if identity else None
        if identity and (network is None or network.identity != identity):
            raise RunError(
                f"{folder} was measured with another network of water than this copy of the toolbox has, or PyTorch is missing. "
                "Map the scene again."
            )
        return cls(inputs, dates, options, tiling=tiling, network=network)


def new_water(before: FloatImage, after: FloatImage, least_px: int) -> ByteImage:
    """Return classes of water by its probabilities at two dates, whatever their sensors.

    Parameters
    ----------
    before, after : (H, W) float32, probability of water at each date, NaN where it is not seen
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


def _tiling(side_px: int, dates: Mapping[str, WaterDate]) -> Tiling:
    surfaces = any(date.kind == "surface" for date in dates.values())
    halo_px = SURFACE_HALO_PX if surfaces else HALO_PX
    return Tiling(side_px + 2 * halo_px, halo_px)


def _sigmoid(odds: FloatImage) -> FloatImage:
    from scipy.special import expit

    return np.asarray(expit(odds), np.float32)


def _bytes(values: FloatImage) -> ByteImage:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _as_read(layer: Layer) -> LayerInput:
    """An input whose values are not scaled."""
    count = layer.count
    return LayerInput(
        tuple(layer.band_names), (0.0,) * count, (1.0,) * count, -LARGEST, LARGEST, str(layer.dtype), values="physical"
    )


def _sample(layer: Layer) -> tuple[FloatImage, Mask]:
    """Windows spread over a layer, side by side: (C, h, w) and where they are valid."""
    per_axis = [min(SAMPLES, max(1, side // SAMPLE_PX)) for side in layer.shape]
    if max(per_axis) == 1:
        data, valid = layer.read()
        return data.astype(np.float32), valid & ~np.isnan(data[0])
    windows = spread_windows(layer.shape, (SAMPLE_PX, SAMPLE_PX), max(per_axis))
    columns = len({window.col for window in windows})
    read = [layer.read(window) for window in windows]
    rows = [read[start : start + columns] for start in range(0, len(read), columns)]
    data = np.concatenate([np.concatenate([sample[0] for sample in row], axis=2) for row in rows], axis=1)
    valid = np.concatenate([np.concatenate([sample[1] for sample in row], axis=1) for row in rows])
    return data.astype(np.float32, copy=False), valid & ~np.isnan(data[0])


def _measure(kind: Kind, layer: Layer, sample: tuple[FloatImage, Mask] | None, options: RadarOptions) -> WaterDate:
    """Thresholds and looks of a date by its sample; of surfaces and maps nothing is measured."""
    bands = tuple(layer.band_names)
    if sample is None:
        return WaterDate(kind, bands)
    data, valid = sample
    if kind == "surface":
        return WaterDate(kind, bands, tone=SceneTone.measure(data, valid))
    named = dict(zip(bands, data, strict=True))
    land_nir = measure_land_nir(named, valid)
    indices, snow = water_indices(named, land_nir)
    known = {name: np.where(valid & ~snow, index, np.nan) for name, index in indices.items()}
    thresholds = {name: index_threshold(index, options.method) for name, index in known.items()}
    return WaterDate(kind, bands, thresholds=thresholds, land_nir=land_nir)


def _measure_radar(image: RadarImage, sample: tuple[FloatImage, Mask], options: RadarOptions) -> WaterDate:
    """Looks and thresholds of a date of radar by its sample."""
    date = WaterDate("radar", tuple(image.bands), image.unit())
    measured = filter_radar(date.power(*sample), options, None).statistics
    return replace(date, looks=measured.looks, thresholds=measured.thresholds)


def _radar_image(layer: Layer, sample: tuple[FloatImage, Mask], day: str | None, unit: RadarUnit | None) -> RadarImage:
    """A date of radar by its sample. day : if it is not the one that the file states"""
    data, valid = sample
    acquired = iso_day(day) if day is not None else layer.acquired and layer.acquired[1]
    bands = dict(zip(layer.band_names, np.where(valid, data, np.float32(np.nan)), strict=True))
    return RadarImage(layer.source, bands, layer.tags, acquired, unit)


def _with_change(
    dates: Mapping[str, WaterDate], name: str, samples: Mapping[str, tuple[FloatImage, Mask]], options: RadarOptions
) -> WaterDate:
    """A date before with the threshold of its change vector to POST, where both are radar."""
    if not dates[name].kind == dates[POST].kind == "radar":
        return dates[name]
    seen = samples[name][1] & samples[POST][1]
    before, after = (
        filter_radar(dates[layer].power(samples[layer][0], seen), options, dates[layer].statistics)
        for layer in (name, POST)
    )
    return replace(dates[name], change=find_change_threshold(before, after, options.method))
