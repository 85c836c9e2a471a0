"""Water at each date and which of it is new, as a segmenter: measured on the scene itself, then predicted by tiles.

Takes layers `pre_1`, `pre_2`, … and `post`; returns probabilities of dry ground, permanent water and flood. How water is
found at a date is its own matter: see `water_date`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
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
from deepnets4eo.floods.date_kinds import read_date, recognise
from deepnets4eo.floods.layer_names import DRAINAGE, FIRST, PERMANENT, POST
from deepnets4eo.floods.mask_date import MaskDate
from deepnets4eo.floods.radar import RadarOptions
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, PERMANENT_WATER, grow_water
from deepnets4eo.floods.water_date import NewWater, Sample, Tile, WaterDate, WaterSearch
from deepnets4eo.floods.water_network import WaterNetwork, open_water_network
from deepnets4eo.rasters import Scene
from deepnets4eo.read_as import assess_scene
from deepnets4eo.segmenters import InputSpec, LayerInput, ProbabilitySegmenter
from deepnets4eo.tiling import Tiling

SIDE_PX, STEP_PX = 1024, 64  # of tiles without their halo, at most; those of small scenes are smaller
FILE = "water.json"
BARELY = 0.01  # from one half: the probability of what the map decides against it


class WaterMapper(ProbabilitySegmenter):
    """Water at the dates of a scene, and the part of it that is new.

    Parameters
    ----------
    inputs : the layers `pre_1`, …, `post`, also `permanent_water` and `above_drainage`, with unscaled values
    dates : layer → settings that find its water
    options : settings that find water in radar
    tiling : how scenes are cut for prediction
    network : finds water in fine optical images together with their surfaces; None: by surfaces only

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
        dates: Mapping[str, WaterDate] | None = None,
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
        dates : layer → its date before it is measured, if recognised from the whole file, which may be larger than the layer

        Returns
        -------
        WaterMapper
            Only for this scene.

        Raises
        ------
        InputError
            A date shows no water by any of its bands, or two radar dates do not belong together.
        """
        options = options or RadarOptions()
        if dates is None:  # else the job that recognised them has assessed the scene
            scene = assess_scene(scene, on_ground=False)
        layers = scene.layers
        if dates is None:
            images = {name: layer for name, layer in layers.items() if name not in (PERMANENT, DRAINAGE)}
            dates = {name: recognise(layer, sensor).date for name, layer in images.items()}
        if PERMANENT in layers:
            dates = {**dates, PERMANENT: MaskDate(tuple(layers[PERMANENT].band_names))}
        network = None
        if not surfaces_alone and any(date.uses_network for date in dates.values()):
            network = open_water_network()
        search, samples = WaterSearch(options, network), {name: Sample(layers[name], days.get(name)) for name in dates}
        dates = {name: date.measure(samples[name], search) for name, date in dates.items()}
        post, last = dates[POST], samples[POST]
        dates |= {
            name: date.measure_with(samples[name], post, last, search) for name, date in dates.items() if name != POST
        }
        gsd = gsd_m if scene.grid.crs is None else scene.gsd_m
        inputs = InputSpec({name: LayerInput.of_unscaled(layer) for name, layer in layers.items()}, gsd)
        return cls(inputs, dates, options, tiling=_tiling(_side_px(scene.shape), dates), network=network)

    @property
    def int8(self) -> Any:
        """Return the int8 weights of the network; None without them."""
        return None if self.network is None else self.network.int8

    @property
    def before(self) -> list[str]:
        """The layers of the dates before."""
        return [name for name in self.dates if name != POST]

    def known_water(self, sample: Mapping[str, NDArray[Any]]) -> tuple[Mask, Mask]:
        """Return water before POST, (h, w), in a sample of the scene; a later date must show it if water is recognised there,
        and the pixels (h, w) where water is certain."""
        known, sure = np.zeros((2, *sample["valid"].shape), bool)
        for name in self.before:
            values = np.where(sample["valid"], sample[name].astype(np.float32, copy=False), np.float32(0))
            water, certain = self.dates[name].lasting_water(self._tile(values, sample["valid"]))
            known, sure = known | water, sure | certain
        return known, sure

    @property
    def pixel_m2(self) -> float:
        """Area of a pixel."""
        return self._gsd_m**2

    def is_patch(self, shape: tuple[int, int]) -> bool:
        """Return whether a map of this shape is too small for a surface of water in POST, such as a patch around one building."""
        return self.dates[POST].is_patch(float(np.prod(shape)) * self.pixel_m2)

    def swap_dates(self) -> WaterMapper | None:
        """Return the mapper with the first date and POST swapped, whose flood is what fell dry. None without an image before,
        or if water is found by appearance at one of both, which works one way only."""
        if FIRST not in self.dates or self.dates[FIRST].by_appearance or self.dates[POST].by_appearance:
            return None
        other = {FIRST: POST, POST: FIRST}
        inputs = InputSpec({name: self.inputs.layers[other[name]] for name in other}, self.inputs.gsd_m)
        return WaterMapper(inputs, {name: self.dates[other[name]] for name in other}, self.options.by_drop())

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Return the probabilities of dry ground, permanent water and flood, (N, 3, h, w) float32."""
        inner = np.s_[:, margin_px : batch.shape[2] - margin_px, margin_px : batch.shape[3] - margin_px]
        return np.stack([self._probabilities(image)[inner] for image in batch])

    def _probabilities(self, image: FloatImage) -> FloatImage:
        """Return (3, h, w) probabilities; the largest belongs to the class of the map."""
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
        """Return classes (h, w) by majority of the dates before, and the probability of water in POST."""
        post, tile = self.dates[POST], Tile(parts[POST], seen, self._search)
        if not self.before:
            water = post.water(tile)
            return np.where(grow_water(water, self.options.least_px), PERMANENT_WATER, DRY).astype(np.uint8), water

        def compare(name: str) -> NewWater:
            return post.new_since(self.dates[name], self._tile(parts[name], seen), tile)

        with ThreadPoolExecutor(2) as pool:
            pairs = list(pool.map(compare, self.before))
        dry, flood, unseen = (
            sum((classes == code).view(np.uint8) for classes, _ in pairs) for code in (DRY, FLOOD, NOT_SEEN)
        )
        saw, water = len(pairs) - unseen, pairs[0].probability
        for _, other in pairs[1:]:  # where the first date has a gap
            water = np.where(np.isnan(water), other, water)
        merged = np.where(2 * flood > saw, FLOOD, np.where(2 * dry > saw, DRY, PERMANENT_WATER))
        return merged.astype(np.uint8), water

    def _tile(self, values: FloatImage, seen: Mask) -> Tile:
        """Return what a date before shows; gaps are NaN (see `WithGaps`)."""
        if (gaps := np.isnan(values[0])).any():
            seen, values = seen & ~gaps, np.where(gaps, np.float32(0), values)
        return Tile(values, seen, self._search)

    @property
    def _search(self) -> WaterSearch:
        side_m = (self.tiling.tile_px - 2 * self.tiling.halo_px) * self._gsd_m  # at least that of a scene of one tile
        return WaterSearch(self.options, self.network, self._gsd_m, side_m**2)

    @property
    def _gsd_m(self) -> float:
        return self.inputs.gsd_m or 1.0

    def to(self, compute: Compute) -> None:
        """Move the network, if there is one; all else is computed on the CPU."""
        if self.network is not None:
            self.network.run.segmenter.to(compute)

    def describe(self) -> dict[str, Any]:
        """Return plain values from which `restore` makes an equal mapper."""
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
            dates = {name: read_date(values) for name, values in read_json(folder / FILE).items()}
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


def _side_px(shape: tuple[int, int]) -> int:
    """Return the smallest side of cores that cover the longer side of a scene with as few cores as SIDE_PX."""
    longest = max(shape)
    return math.ceil(longest / math.ceil(longest / SIDE_PX) / STEP_PX) * STEP_PX


def _tiling(side_px: int, dates: Mapping[str, WaterDate]) -> Tiling:
    halo_px = max(date.halo_px for date in dates.values())
    return Tiling(side_px + 2 * halo_px, halo_px)
