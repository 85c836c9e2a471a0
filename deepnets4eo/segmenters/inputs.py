"""Inputs of a segmenter as in training: layers, bands, units, range, scaling and GSD; the only place that scales values.

Refuses scenes that do not fit; a layer that training left out at times may be missing.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from deepnets4eo.arrays import FloatImage, Floats, Mask
from deepnets4eo.display import list_names
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.grid import gsd_m as sides_m
from deepnets4eo.rasters import Layer, Scene, Source, band_key, colour_positions, valid_pixels
from deepnets4eo.read_as import assess_scene
from deepnets4eo.segmenters.value_ranges import ValueRange
from deepnets4eo.tiling import spread_windows

log = logging.getLogger(__name__)

PROBES = 4  # windows along each axis that values are read from
PROBE_PX = 256
PROBE_VALUES = 8 * PROBE_PX**2  # values a window at most, so that hundreds of bands cost no more memory than eight
UNNAMED = "BAND"  # the key of bands that are only counted begins so
MAX_OBLONG = 3.0  # ratio of the sides of a pixel, as in degrees at 70°; objects are as much longer as in no training
MAX_SQUARE = 1.1  # ratio of the sides of a pixel that is named by one size
GSD_FACTOR = 2.0  # beyond this, objects have another size than in training
RANGE_FACTOR = 4.0  # beyond this many times the span of training, values are of another kind
BYTE = 255
NAMED = 8  # bands in a message
ANY_VALUES = "any"  # units of layers whose usual values are unknown, as of networks of others
FLAT = 1e-6  # of the size of values, up to 1: a smaller spread is rounding
LARGEST = 1e30  # of unscaled layers: no value is refused by its size
SMALL = 1e-4  # deviation below which values are rounded to more digits
RANGE_SHRUNK = 50.0  # 0–1 where training had 0–255, but not a dark scene
_RANGES: WeakKeyDictionary[Source, dict[tuple[int, ...], ValueRange | None]] = (
    WeakKeyDictionary()
)  # by what is read of a source


@dataclass(frozen=True)
class LayerInput:
    """One layer as a segmenter expects it, by band.

    low, high : 1st and 99th percentile in training
    mean, std : scaling
    optional : whether scenes may lack it
    nodata : the nodata value of the recipe
    values : whether training used physical values, not stored numbers
    band_low, band_high : the percentiles of each band, if known
    constant : bands, from 0, of one value in training
    colours : the colour interpretation of each band in training, if the bands had no names
    """

    display_rgb: ClassVar[LayerInput]
    bands: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: float
    high: float
    dtype: str = "uint8"
    units: str = ""
    optional: bool = False
    nodata: float | None = None
    values: Literal["stored", "physical"] = "stored"
    band_low: tuple[float, ...] = field(default=(), compare=False)
    band_high: tuple[float, ...] = field(default=(), compare=False)
    constant: tuple[int, ...] = ()
    colours: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of_physical(
        cls,
        bands: Sequence[str],
        mean: Floats,
        std: Floats,
        seen: ValueRange,
        constant: Mask | None = None,
        dtype: str = "float32",
    ) -> LayerInput:
        """Return a layer of physical values with this mean and deviation (C,) and this range of values in training.

        constant (C,) : bands of one value, by default by their deviations."""
        alike = is_flat(std, mean) if constant is None else constant
        return cls(
            tuple(bands), *scaling_of(mean, std), seen.low, seen.high, dtype, values="physical",
            band_low=tuple(seen.lows.tolist()), band_high=tuple(seen.highs.tolist()),
            constant=tuple(np.flatnonzero(alike).tolist()),
        )  # fmt: skip

    @classmethod
    def of_unscaled(cls, layer: Layer) -> LayerInput:
        """Return the input of a segmenter that reads physical values as they are, in any range."""
        zeros, ones = (0.0,) * layer.count, (1.0,) * layer.count
        return cls(tuple(layer.band_names), zeros, ones, -LARGEST, LARGEST, str(layer.dtype), values="physical")

    @property
    def colour_positions(self) -> dict[str, int]:
        """Return role → index of red, green and blue in training, by names or colour interpretation; {} unless all are known."""
        return colour_positions(self.bands, self.colours or None)

    @property
    def range(self) -> ValueRange | None:
        """Return the range of each band's values in training; None if it is unknown."""
        if not self.band_low:
            return None
        constant = np.isin(np.arange(len(self.bands)), self.constant)
        return ValueRange(np.array(self.band_low), np.array(self.band_high), self.low, self.high, constant)

    def warn_of_bands(self, source: str, seen: ValueRange | None) -> None:
        """Warn of an offset, of pictures of 8 bits, of bands of another order of magnitude than in training or of one value there or here."""
        usual = self.range
        if seen is None or usual is None or len(seen.lows) != len(usual.lows):
            return
        if offset := seen.describe_offset(usual):
            log.warning(
                "%s: %s. An offset may differ, such as the 1,000 that Sentinel-2 adds since processing baseline 04.00, so that labels are wrong. "
                "If the image has it: gdal_edit.py -scale 1 -offset -1000 FILE; if the training has it, learn again from images without it.",
                source, offset,
            )  # fmt: skip
        if seen.may_be_bytes(usual):
            log.warning(
                "%s has values from %s in all bands, as pictures of 8 bits have, where training had %s: labels may be wrong. Give the image as it "
                "was delivered, before it was stretched for display.", source, seen, usual,
            )  # fmt: skip
        if strange := seen.strange_bands(usual, self.bands):
            log.warning(
                "%s has values that the run did not learn from: %s. Its labels may be wrong there; check the unit and the order of the bands.",
                source, "; ".join(strange),
            )  # fmt: skip
        flat = [
            f"{self.bands[band]} ({usual.lows[band]:.4g})"
            for band in self.constant
            if not (seen.constant[band] and seen.lows[band] == usual.lows[band])
        ]
        if flat:
            log.warning(
                "%s: bands that had one value in training are taken as that value, as the run has learnt nothing of others: %s.",
                source, ", ".join(flat),
            )  # fmt: skip


# Display values of 8 bits. One scaling for all networks that learn from made-up images, so that one can start from another.
LayerInput.display_rgb = LayerInput(("red", "green", "blue"), (104.0, 103.0, 97.0), (52.0, 50.0, 48.0), 0.0, 255.0)


@dataclass(frozen=True)
class InputSpec:
    """Expectations of each layer by name, in the order of their bands; `gsd_m` of training, None if scenes had no CRS."""

    click_layer: ClassVar[str] = "clicks"  # the layer of a person's clicks, see `segmenters.clicks`
    layers: Mapping[str, LayerInput]
    gsd_m: float | None = None

    @property
    def names(self) -> list[str]:
        """Layers read, in order."""
        return list(self.layers)

    @property
    def in_channels(self) -> int:
        """Bands of all layers together."""
        return sum(len(layer.bands) for layer in self.layers.values())

    def present(self, scene: Scene) -> list[str]:
        """Layers to read from a scene that was checked: all but optional ones that it lacks, in order."""
        return [name for name, layer in self.layers.items() if name in scene.layers or not layer.optional]

    def with_optional(self, names: Collection[str]) -> InputSpec:
        """Return the spec with the named layers optional in scenes."""
        layers = {name: replace(layer, optional=name in names) for name, layer in self.layers.items()}
        return InputSpec(layers, self.gsd_m)

    def with_nodata(self, values: Mapping[str, float]) -> InputSpec:
        """Return the spec with the nodata value of some layers."""
        return InputSpec(
            {name: replace(layer, nodata=values.get(name)) for name, layer in self.layers.items()}, self.gsd_m
        )

    def as_trained(self, scene: Scene) -> Scene:
        """Return the scene with layers read as stored numbers if training used stored numbers; a message names these layers."""
        stored = {name for name, layer in self.layers.items() if layer.values == "stored" and name in scene.layers}
        scaled = [name for name in sorted(stored) if not all(band.plain for band in scene.layers[name].scaling)]
        for name in scaled:
            log.warning(
                "Layer %r (%s) states a scale or an offset; its numbers are read as they are stored, as the run learnt from such.",
                name, scene.layers[name].source,
            )  # fmt: skip
        return scene if not scaled else Scene(
            {name: layer.as_stored() if name in scaled else layer for name, layer in scene.layers.items()}, scene.grid
        )  # fmt: skip

    def prepare(self, sample: Mapping[str, NDArray[Any]]) -> FloatImage:
        """Concatenate and standardise a sample to (C, h, w) float32; what is not valid, or an optional layer that lacks, is 0, the mean."""
        valid = sample["valid"]
        prepared = np.empty((self.in_channels, *valid.shape), np.float32)
        start = 0
        for name, layer in self.layers.items():
            part = prepared[start : start + len(layer.bands)]
            start += len(layer.bands)
            if layer.optional and name not in sample:
                part[:] = 0
                continue
            # in float32 whatever the stored type: the same bits as values converted before
            np.subtract(sample[name], _column(layer.mean), out=part, dtype=np.float32, casting="unsafe")
            np.divide(part, _column(layer.std), out=part)
            for (
                band
            ) in layer.constant:  # nothing was learnt of other values, which would enter at thousands of deviations
                part[band] = (np.float32(layer.band_low[band]) - np.float32(layer.mean[band])) / np.float32(
                    layer.std[band]
                )
        if not valid.all():
            prepared[:, ~valid] = 0
        return prepared

    @classmethod
    def measure(
        cls,
        scenes: Sequence[Scene],
        layers: Sequence[str] = ("image",),
        *,
        units: Mapping[str, str] | None = None,
        far_spans: float = math.inf,
    ) -> InputSpec:
        """Measure scaling, range and GSD on at most 16 windows a scene; values `far_spans` beyond the range do not enter mean and deviation."""
        if not scenes:
            raise InputError("no scene was given to measure inputs on. Name at least one.")
        scenes = [assess_scene(scene, on_ground=False, names=layers) for scene in scenes]
        specs = {name: _measure_layer(scenes, name, (units or {}).get(name, ""), far_spans) for name in layers}
        sizes_m = [gsd for scene in scenes if (gsd := scene_gsd_m(scene)) is not None]
        return cls(specs, round(float(np.median(sizes_m)), 6) if sizes_m else None)

    def check(self, scene: Scene, *, gsd_factor: float = GSD_FACTOR) -> None:
        """Refuse a scene that does not fit with a RunError that names every difference; strange bands and a missing optional layer are warnings."""
        if problems := self.problems(scene, gsd_factor=gsd_factor):
            raise RunError("the scene does not fit the run: " + "; ".join(problems) + ".")
        for name, expected in self.layers.items():
            if name in scene.layers:
                expected.warn_of_bands(f"layer {name!r} ({scene.layers[name].source})", value_range(scene.layers[name]))

    def problems(self, scene: Scene, *, gsd_factor: float = GSD_FACTOR) -> list[str]:
        """Return the reasons why a scene does not fit, each difference in words; `check` has the details."""
        problems = self._check_gsd(scene, gsd_factor)
        none = not self.layers.keys() & scene.layers.keys()
        for name, expected in self.layers.items():
            if name not in scene.layers and expected.optional and not none:
                if name != InputSpec.click_layer:  # which most scenes have none of
                    log.warning("The scene has no layer %r; the run was trained to do without it, and does.", name)
            elif name not in scene.layers:
                hint = "" if none else f", or train with train.modality_dropout={{{name}: 0.3}} to do without"
                present = f"(the scene has {sorted(scene.layers)})"
                problems.append(f"layer {name!r} is missing {present}; give {name}=FILE{hint}")
            else:
                problems += _check_layer(name, expected, scene.layers[name])
        return problems

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as kept in a run's card."""
        layers = {name: asdict(layer) for name, layer in self.layers.items()}
        for described in layers.values():
            if described["nodata"] is None:
                del described["nodata"]
            for name in ("band_low", "band_high", "constant", "colours"):
                if not described[name]:
                    del described[name]
        return {"layers": layers, "gsd_m": self.gsd_m}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> InputSpec:
        """Restore the spec that `to_dict` described. Errors: RunError if the values do not describe one."""
        try:
            layers = {name: _layer_from(described) for name, described in values["layers"].items()}
            size_m = values["gsd_m"]
            if not layers or not (size_m is None or (isinstance(size_m, (int, float)) and 0 < size_m < math.inf)):
                raise ValueError(f"{len(layers)} layers, pixels of {size_m!r} m")
            return cls(layers, size_m)
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # ValidationError is a ValueError
            raise RunError(
                f"the run's card describes its inputs in a way that this version cannot read: {error}."
            ) from error

    def _check_gsd(self, scene: Scene, factor: float) -> list[str]:
        gsd_m = scene_gsd_m(scene)
        if gsd_m is None or self.gsd_m is None:
            return []
        sides = (gsd_m, gsd_m) if scene.grid.crs is None else sides_m(scene.grid)  # of 1 × 4 m, neither is 2 m
        even = max(sides) <= MAX_OBLONG * min(sides)
        if even and all(max(side / self.gsd_m, self.gsd_m / side) <= factor for side in (gsd_m, *sides)):
            return []
        size = f"{gsd_m:.3g}" if max(sides) < MAX_SQUARE * min(sides) else f"{sides[1]:.3g} × {sides[0]:.3g}"
        why = f"more than a factor of {factor:g}" if even else "and square"
        return [
            f"its pixels measure {size} m, those of training {self.gsd_m:.3g} m ({why}); resample the scene: gdalwarp -tr {self.gsd_m:.3g} {self.gsd_m:.3g} IN OUT, in a CRS in metres"
        ]


def scene_gsd_m(scene: Scene) -> float | None:
    """Ground size of a scene's pixel in metres (geometric mean of both axes); None without a CRS."""
    return None if scene.grid.crs is None else scene.gsd_m


def is_flat(spread: Floats, size: Floats) -> Mask:
    """Return which spreads are only rounding, for values of this size: as good as constant."""
    return np.asarray(spread <= FLAT * np.minimum(np.abs(size), 1.0))


def scaling_of(mean: Floats, std: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """`mean` and `std` of a `LayerInput`, (C,) each, rounded; constant bands are divided by 1. Small values keep their digits."""
    std = np.where(is_flat(std, mean), 1.0, std)
    digits = max(0, -math.floor(math.log10(max(float(std.max()), 1e-30)))) if std.max() < SMALL else 0
    return tuple(mean.round(6 + digits).tolist()), tuple(std.round(9 + digits).tolist())


def _layer_from(described: Mapping[str, Any]) -> LayerInput:
    plain: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in described.items()}
    layer = TypeAdapter(LayerInput).validate_python(asdict(LayerInput(**plain)))
    numbers = np.array([*layer.mean, *layer.std, layer.low, layer.high])
    if not len(layer.bands) == len(layer.mean) == len(layer.std) > 0:
        raise ValueError(
            f"{len(layer.bands)} bands with {len(layer.mean)} means and {len(layer.std)} standard deviations"
        )
    ends = {len(layer.band_low), len(layer.band_high)}
    if ends not in ({0}, {len(layer.bands)}) or not {*layer.constant} <= {*range(max(ends))}:
        raise ValueError(
            f"{len(layer.bands)} bands with ranges of {sorted(ends)}, and the constant bands {layer.constant}"
        )
    if not np.isfinite(numbers).all() or min(layer.std) <= 0:
        raise ValueError("means, standard deviations and ranges that are no numbers, or not above 0")
    np.dtype(layer.dtype)  # TypeError for a type that there is not
    return layer


def _column(values: Sequence[float]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)[:, None, None]


def _probe(layer: Layer, *, probe_px: int = PROBE_PX, probe_values: int = PROBE_VALUES) -> NDArray[Any]:
    """Read valid pixels (C, n), unsigned or float64, of evenly spread windows. probe_values : maximum per window, all bands."""
    side_px = min(probe_px, math.ceil(math.sqrt(probe_values / layer.count)))
    pixels = []
    for window in spread_windows(layer.shape, (side_px, side_px), PROBES):
        data, valid = layer.read(window)
        pixels.append(valid_pixels(data, valid).astype(data.dtype if data.dtype.kind == "u" else np.float64))
    return np.concatenate(pixels, axis=1)


def value_range(layer: Layer, pixels: NDArray[Any] | None = None) -> ValueRange | None:
    """Return the range of nearly all values of `_probe`, read by default; None without any. Each layer is probed once."""
    known = _RANGES.setdefault(layer.reader, {})
    key = layer.reads_stored, *layer.bands
    if key not in known:
        known[key] = ValueRange.of_pixels(_probe(layer) if pixels is None else pixels)
    return known[key]


def _measure_layer(scenes: Sequence[Scene], name: str, units: str, far_spans: float) -> LayerInput:
    layers = []
    for scene in scenes:
        if name not in scene.layers:
            raise InputError(f"a scene has the layers {sorted(scene.layers)}, not {name!r}. Give {name}=FILE.")
        layers.append(scene.layers[name])
    counts = sorted({layer.count for layer in layers})
    if len(counts) > 1:
        raise InputError(f"layer {name!r} has {counts} bands in different scenes. Choose the same bands in all.")
    pixels = np.concatenate([_probe(layer) for layer in layers], axis=1)
    if not pixels.size:
        raise InputError(
            f"layer {name!r} ({layers[0].source}) has no valid pixel in the windows that were read. Check nodata."
        )
    means, deviations = zip(*(_mean_and_deviation(band.astype(np.float64), far_spans) for band in pixels), strict=True)
    mean, std = np.array(means), np.array(deviations)
    seen = value_range(layers[0], pixels) if len(layers) == 1 else ValueRange.of_pixels(pixels)
    assert seen is not None  # there are pixels
    measured = LayerInput.of_physical(
        layers[0].band_names, mean, std, seen, is_flat(std, mean) & seen.constant, str(layers[0].dtype)
    )
    return replace(measured, units=units, colours=colours_of(layers[0]))


def colours_of(layer: Layer) -> tuple[str, ...]:
    """Return the colour of each band if its interpretation or wavelengths state where red, green and blue are, and names do not; else ()."""
    if colour_positions(layer.band_names, None) or not layer.colour_positions:
        return ()
    roles = dict(enumerate(layer.colour_roles or ["undefined"] * layer.count))
    return tuple((roles | {index: colour for colour, index in layer.colour_positions.items()}).values())


def _mean_and_deviation(values: Floats, far_spans: float) -> tuple[float, float]:
    """Return the mean and deviation of a band's values (n,) without far outliers, or of all values if most are equal."""
    if math.isfinite(far_spans):
        low, high = np.percentile(values, (1, 99))
        reach = far_spans * (high - low)
        if reach > 0:
            values = values[(values >= low - reach) & (values <= high + reach)]
    return float(values.mean()), float(values.std())


def _check_layer(name: str, expected: LayerInput, layer: Layer) -> list[str]:
    source = f"layer {name!r} ({layer.source})"
    if layer.count != len(expected.bands):
        problem = f"{source} has {layer.count} bands, training had {len(expected.bands)} ({list_names(expected.bands, NAMED)}); "
        if "#" in layer.source and len(expected.bands) in layer.shape:
            return [f"{problem}its axes seem to be in another order: name them, e.g. {layer.source}:bhw"]
        return [f"{problem}give a file of these, e.g. taken out with gdal_translate -b 1 -b 2 …"]
    return [
        *name_problems(source, expected.bands, layer.band_names),
        *range_problems(source, expected, value_range(layer), layer.dtype),
        *byte_problems(source, expected, layer),
    ]


def byte_problems(source: str, expected: LayerInput, layer: Layer) -> list[str]:
    """Return the reason why a picture of bytes cannot have the unit of training, whose bands all go beyond; empty if it can."""
    usual = expected.range
    if layer.dtype != np.uint8 or np.dtype(expected.dtype) == np.uint8 or expected.units == ANY_VALUES or usual is None:
        return []
    varied = ~usual.constant
    if varied.sum() < ValueRange.enough_bands or not (usual.highs[varied] > BYTE).all():
        return []
    return [
        f"{source} has bytes, training had {expected.dtype} values from {usual}, beyond {BYTE} in every band: a picture for display has another unit; give "
        "the image as it was delivered"
    ]


def name_problems(source: str, expected: Sequence[str], names: Sequence[str]) -> list[str]:
    """Names such as band_1 are not compared; many files have no others."""
    pairs = [(band_key(a), band_key(b)) for a, b in zip(expected, names, strict=True)]
    if all(a == b or a.startswith(UNNAMED) or b.startswith(UNNAMED) for a, b in pairs):
        return []
    same = sorted(a for a, _ in pairs) == sorted(b for _, b in pairs)
    what = "in the order" if same else "named"
    return [
        f"{source} has bands {what} ({list_names(names, NAMED)}), training had ({list_names(expected, NAMED)}); reorder or choose bands"
    ]


def range_problems(source: str, expected: LayerInput, seen: ValueRange | None, dtype: np.dtype[Any]) -> list[str]:
    """Return the reasons why values of a type differ in kind from the training values, in words; empty if no values were seen."""
    if seen is None or expected.units == ANY_VALUES:
        return []
    span = max(expected.high - expected.low, 1e-9)
    too_wide = seen.high > expected.high + RANGE_FACTOR * span or seen.low < expected.low - RANGE_FACTOR * span
    other_type = str(dtype) != expected.dtype
    too_narrow = other_type and seen.high - seen.low < span / RANGE_SHRUNK
    stored = np.dtype(expected.dtype)
    most = float(np.iinfo(stored).max) if stored.kind in "iu" else math.inf
    too_large = other_type and seen.high > most
    usual = expected.range
    shrunk = dtype.itemsize > 1 and usual is not None and seen.is_other_unit(usual)
    if not too_wide and not too_narrow and not too_large and not shrunk:
        return []
    unit = f" {expected.units}" if expected.units else ""
    scaled = f", e.g. scaled to 0–{most:.0f} with gdal_translate -ot Byte -scale" if too_large and most == BYTE else ""
    return [
        f"{source} has {dtype} values from {seen}, training had {expected.dtype} values from "
        f"{expected.low:.4g} to {expected.high:.4g}{unit}; convert them to the same kind{scaled}"
    ]
