"""Mean, deviation and range of every band, and pixels of every class, of the training part of scenes, window by window.

Refuses layers whose band counts differ, and training parts without any valid pixel.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.addresses import name_of
from deepnets4eo.arrays import Mask
from deepnets4eo.cards import VOID, SplitPart
from deepnets4eo.display import list_names
from deepnets4eo.errors import InputError
from deepnets4eo.inspection import MIN_BANDS, describe_negative
from deepnets4eo.rasters import BandMoments, Layer, Outliers, Scene, find_outliers
from deepnets4eo.segmenters import InputSpec, LayerInput, ValueRange, scene_gsd_m
from deepnets4eo.segmenters.inputs import colours_of, is_flat, scaling_of
from deepnets4eo.tiling import ClassCells, spread_indices
from deepnets4eo.training.alike import check_alike
from deepnets4eo.training.scenes import LabelledScene
from deepnets4eo.training.splits import DataSplit

log = logging.getLogger(__name__)

WINDOW_PX = 256
MAX_WINDOWS = 1000  # the statistics are made of: 65 million pixels; of layers of many bands fewer, see MANY_BANDS
KEPT_PIXELS = 1000  # a window, for the percentiles
NAMED = 5  # bands in a message
MANY_BANDS = 16  # of layers of more bands, no more values are read and kept than of these

Scaling = Literal["standard", "unit", "range", "none"]


def measure_inputs(
    split: DataSplit[Any],
    layers: Sequence[str],
    *,
    scaling: Scaling = "standard",
    gain_only: bool = False,
    most_windows: int = MAX_WINDOWS,
) -> InputSpec:
    """Measure scaling, range and GSD of the training part.

    Peak memory: one window, and 12 MB a layer and band, of more than 16 bands 200 MB a layer.

    Errors: InputError when a layer has other bands in another scene, or no pixel of the training part is valid.

    Parameters
    ----------
    split : scenes and their parts
    layers : inputs of the segmenter, in order
    scaling
        "standard": by mean and deviation. "unit": to 0 … 1, integers by the largest of their type, floats from their 1st to
        their 99th percentile. "range": from the lowest to the highest value of all bands to 0 … 1, as cubes are scaled.
        "none": values as they are.
    gain_only
        Scale all bands of a layer by one factor and subtract nothing under "range" and "unit", for methods that compare the shapes of
        spectra: a spectrum and the same in half the light stay one shape.
    most_windows : that are read, evenly spread; of more than 16 bands as many values as of 16

    Returns
    -------
    Per band: what is subtracted and what is divided by, and the range (1st to 99th percentile), in the units of the files.
    """
    moments = {layer: BandMoments(_bands(split, layer)) for layer in layers}
    kept: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in layers}
    scene_of, sizes = list[int](), list[int]()
    extremes: dict[tuple[str, int], list[NDArray[np.float32]]] = {}
    windows = split.windows(SplitPart.train, WINDOW_PX)
    most_windows = max(
        1,
        most_windows * MANY_BANDS // max(MANY_BANDS, *(len(scene_moments.mean) for scene_moments in moments.values())),
    )
    for scene_window in [windows[index] for index in spread_indices(len(windows), most_windows)]:
        sample = split.scenes[scene_window.scene].scene.read(scene_window.window, layers)
        counted = sample["valid"] & split.mask(scene_window.scene, SplitPart.train, scene_window.window)
        scene_of.append(scene_window.scene)
        sizes.append(int(counted.sum()))
        for layer in layers:
            pixels = sample[layer][:, counted]
            moments[layer].update(pixels)
            most = max(1, KEPT_PIXELS * MANY_BANDS // max(MANY_BANDS, len(pixels)))
            kept[layer].append(pixels[:, :: max(1, pixels.shape[1] // most)].copy())  # a view would keep all of them
            if pixels.size:
                extremes.setdefault((layer, scene_window.scene), []).append(
                    np.stack([pixels.min(1), pixels.max(1)], axis=1)
                )
    if not all(moment.count for moment in moments.values()):
        raise InputError(_nothing_valid(split, layers))
    check_alike(split.scenes, layers, {layer: _ranges(parts, scene_of, sizes) for layer, parts in kept.items()})
    seen = {layer: np.concatenate(parts, axis=1) for layer, parts in kept.items()}
    for layer in layers:
        _warn_of_outliers(split, layer, moments[layer].std, seen[layer], extremes, scaling)
        _warn_of_negative(split, layer, seen[layer])
    known = [gsd for named in split.scenes if (gsd := scene_gsd_m(named.scene)) is not None]
    specs = {layer: _layer_input(split, layer, moments[layer], seen[layer]) for layer in layers}
    if gain_only and scaling in ("unit", "range"):
        specs = {
            layer: _to_gain(spec, seen[layer], _extremes(extremes, layer), scaling) for layer, spec in specs.items()
        }
    elif scaling == "unit":
        specs = {layer: _to_unit(spec, seen[layer]) for layer, spec in specs.items()}
    elif scaling in ("range", "none"):
        ends = {layer: _extremes(extremes, layer) if scaling == "range" else (0.0, 1.0) for layer in layers}
        specs = {layer: _to_range(spec, *ends[layer]) for layer, spec in specs.items()}
    return InputSpec(specs, round(float(np.median(known)), 6) if known else None)


def _ranges(
    parts: Sequence[NDArray[np.float32]], scene_of: Sequence[int], sizes: Sequence[int]
) -> dict[int, ValueRange]:
    """Return scene → the range of the values that were kept of it; parts (C, n) of windows, their scenes and the pixels they are of."""
    by_scene: dict[int, list[int]] = {}
    for number, scene in enumerate(scene_of):
        by_scene.setdefault(scene, []).append(number)
    ranges: dict[int, ValueRange] = {}
    for scene, numbers in by_scene.items():
        kept = ValueRange.of_pixels(np.concatenate([parts[number] for number in numbers], axis=1))
        if kept is not None:
            ranges[scene] = replace(kept, pixels=sum(sizes[number] for number in numbers))
    return ranges


def class_cells(split: DataSplit[LabelledScene]) -> list[ClassCells]:
    """Locate each class in the training part of each scene; reads all labels once."""
    cells = []
    for number, named in enumerate(split.scenes):
        cells.append(ClassCells.build(named.scene, named.labels.legend, split.usable(number, SplitPart.train)))
    return cells


def warn_of_lacking(split: DataSplit[LabelledScene], pixels: Sequence[int]) -> None:
    """Warn of classes that no training pixel shows, and of a validation part without labels; pixels : (K,)."""
    legend = split.scenes[0].labels.legend
    lacking = [name for name, count in zip(legend.names, pixels, strict=True) if not count]
    if lacking:
        log.warning(
            "No training pixel shows %s: never learnt, and not reliable where it is predicted. Check the labels, or "
            "choose scenes or a split that show it.", ", ".join(lacking),
        )  # fmt: skip
    windows = split.windows(SplitPart.val, WINDOW_PX)
    if split.validated and not any(
        (
            split.scenes[scene_window.scene].scene.read(scene_window.window, [Scene.label_layer])[Scene.label_layer]
            != VOID
        ).any()
        for scene_window in windows
    ):
        log.warning(
            "No pixel of the validation part is labelled: all scores are NaN, and no epoch is better than another. "
            "Check the labels and data.split."
        )


def _nothing_valid(split: DataSplit[Any], layers: Sequence[str]) -> str:
    """Names the layers that are valid nowhere in a scene, if there are any, and bands without a value that are why."""
    empty = [
        f"layer {layer!r} ({name_of(named.sources[layer])}) has none at all{_empty_bands(named.scene.layers[layer])}"
        for named in split.scenes
        for layer in layers
        if not named.scene.layers[layer].thumbnail(WINDOW_PX)[1].any()
    ]
    which = f": {'; '.join(empty[:4])}" if empty else " that all layers share"
    return f"the training part has no valid pixel{which}. Check the nodata of the layers, and data.split."


def _empty_bands(layer: Layer) -> str:
    """Describe the bands of a layer without any value if others have values: NaN in one band makes a pixel invalid."""
    empty = [band for band in layer.bands if not layer.subset([band]).thumbnail(WINDOW_PX)[1].any()]
    if not empty or len(empty) == layer.count:
        return ""
    return f", because no pixel of band {list_names([*map(str, empty)], 8)} has a value: leave such bands out with data.bands"


def _warn_of_outliers(
    split: DataSplit[Any],
    layer: str,
    std: NDArray[np.float64],
    pixels: NDArray[np.float32],
    extremes: dict[tuple[str, int], list[NDArray[np.float32]]],
    scaling: Scaling,
) -> None:
    """Warn once of the first band whose undeclared nodata or spikes decide how pixels (C, n) with deviation (C,) are scaled."""
    ends = [(scene, np.concatenate(parts, axis=1)) for (name, scene), parts in extremes.items() if name == layer]
    warnings = []
    for band in range(len(std)):
        values = np.concatenate([pixels[band], *(end_values[band] for _, end_values in ends)])
        far = find_outliers(values)
        if far is None or not far.dominates_std(float(std[band]), values):
            continue
        if scaling == "range" and not {far.lowest, far.highest} & set(_extremes(extremes, layer)):
            continue  # other bands have as large values
        scenes = [
            scene for scene, end_values in ends if far.usual_values(end_values[band]).size < end_values[band].size
        ]
        effect = (
            f"they set the range by which it is scaled, {values.min():.4g} to {values.max():.4g}" if scaling == "range" else
            f"it is scaled by a deviation of {std[band]:.4g}, {far.usual_values(values).std(dtype=np.float64):.4g} without them"
        )  # fmt: skip
        warnings.append((far, scenes, effect))
    if warnings:
        _log_outliers(split, layer, *warnings[0], more_bands=len(warnings) - 1)


def _warn_of_negative(split: DataSplit[Any], name: str, pixels: NDArray[np.float32]) -> None:
    """Warn of negative values in a cube, whose values are reflectance or radiance; pixels (C, n)."""
    layer = split.scenes[0].scene.layers[name]
    negative = (pixels < 0) & ~_is_nodata(layer, pixels)
    if layer.count >= MIN_BANDS and layer.embedding is None and negative.any():
        bands = [layer.bands[index] for index in np.flatnonzero(negative.any(axis=1))]
        log.warning("Layer %r: %s", name, describe_negative(float(negative.mean()), bands))


def _is_nodata(layer: Layer, pixels: NDArray[np.float32]) -> Mask:
    """Return which values (C, n) of valid pixels are the nodata value of their band, which makes no pixel invalid as long as others have values."""
    hidden = np.zeros(pixels.shape, bool)
    for band, (nodata, scaling) in enumerate(zip(layer.band_nodata, layer.scaling, strict=True)):
        if nodata is not None:
            hidden[band] = pixels[band] == scaling.values(np.array([nodata])).astype(np.float32)
    return hidden


def _log_outliers(
    split: DataSplit[Any], layer: str, far: Outliers, scenes: Sequence[int], effect: str, *, more_bands: int
) -> None:
    named = split.scenes[scenes[0]]
    more = f" and {len(scenes) - 1} more" if len(scenes) > 1 else ""
    bands = f" (likewise in {more_bands} more of its bands)" if more_bands else ""
    remedy = _outlier_remedy(layer, far, named.scene.layers[layer].nodata)
    log.warning(
        "Layer %r (%s%s) holds %s: %s%s. %s.", layer, name_of(named.sources[layer]), more, far, effect, bands, remedy
    )


def _outlier_remedy(layer: str, far: Outliers, nodata: float | None) -> str:
    if nodata is not None and far.lowest == far.highest == nodata:
        # in all bands it makes a pixel invalid, so that these have it in some bands alone
        return (
            "This is its nodata value, but other bands have values there: set these pixels to nodata in all bands, or leave "
            "the band out with data.bands"
        )
    if far.nodata is None:
        return "Set them to a declared nodata value in the file"
    return f"If they mean no data, set data.nodata={{{layer}: {far.nodata:.17g}}}"


def _to_unit(spec: LayerInput, pixels: NDArray[np.float32]) -> LayerInput:
    """Return the layer scaled to 0 … 1; pixels (C, n)."""
    dtype = np.dtype(spec.dtype)
    if dtype.kind in "iu":
        return replace(spec, mean=(0.0,) * len(spec.mean), std=(float(np.iinfo(dtype).max),) * len(spec.std))
    low, high = np.percentile(pixels, (1, 99), axis=1)
    mean, std = scaling_of(low, high - low)
    return replace(spec, mean=mean, std=std)


def _to_gain(
    spec: LayerInput, pixels: NDArray[np.float32], extremes: tuple[float, float], scaling: Scaling
) -> LayerInput:
    """Return the layer divided by one number: the largest size of its values, or as `_to_unit` by one percentile of all bands."""
    dtype = np.dtype(spec.dtype)
    if scaling == "unit" and dtype.kind in "iu":
        return _to_unit(spec, pixels)
    largest = max(map(abs, extremes)) if scaling == "range" else float(np.percentile(np.abs(pixels), 99))
    return _to_range(spec, 0.0, largest)


def _extremes(extremes: dict[tuple[str, int], list[NDArray[np.float32]]], layer: str) -> tuple[float, float]:
    """Lowest and highest value of a layer, all bands and scenes together."""
    ends = np.concatenate([part for (name, _), parts in extremes.items() if name == layer for part in parts])
    return float(ends.min()), float(ends.max())


def _to_range(spec: LayerInput, low: float, high: float) -> LayerInput:
    """Return the layer scaled from low … high to 0 … 1, all bands alike."""
    flat = is_flat(np.array(high - low), np.array(max(abs(low), abs(high))))
    span = 1.0 if flat else high - low
    return replace(spec, mean=(low,) * len(spec.mean), std=(span,) * len(spec.std))


def _bands(split: DataSplit[Any], layer: str) -> int:
    counts = {named.scene.layers[layer].count for named in split.scenes}
    if len(counts) > 1:
        raise InputError(
            f"layer {layer!r} has {sorted(counts)} bands in different scenes. Choose the same with data.bands."
        )
    return counts.pop()


def _layer_input(split: DataSplit[Any], name: str, moments: BandMoments, pixels: NDArray[np.float32]) -> LayerInput:
    layer = split.scenes[0].scene.layers[name]
    low, high = np.percentile(pixels, (1, 99))
    mean, std = scaling_of(moments.mean, moments.std)
    lows, highs = np.percentile(pixels.astype(np.float64), (1, 99), axis=1)
    constant = np.flatnonzero(is_flat(moments.std, moments.mean)).tolist()
    _warn_of_constant(name, layer, constant, lows, np.asarray(_is_nodata(layer, pixels).all(axis=1)))
    return LayerInput(
        bands=tuple(layer.band_names),
        mean=mean,
        std=std,
        low=float(low),
        high=float(high),
        dtype=str(layer.dtype),
        values="physical",
        band_low=tuple(lows.tolist()),
        band_high=tuple(highs.tolist()),
        constant=tuple(constant),
        colours=colours_of(layer),
    )


def _warn_of_constant(name: str, layer: Layer, bands: Sequence[int], values: NDArray[np.float64], empty: Mask) -> None:
    """State which bands have one value in all that is learnt from, and which only nodata. empty : (C,)"""
    if without := [layer.band_names[band] for band in bands if empty[band]]:
        log.warning(
            "Layer %r has only nodata in all training pixels of %s, which is read as a value because other bands have values there: "
            "nothing is learnt from it. Leave it out with data.bands.", name, list_names(without, NAMED),
        )  # fmt: skip
    if constant := [f"{layer.band_names[band]} ({values[band]:.4g})" for band in bands if not empty[band]]:
        log.warning(
            "Layer %r has one value in all training pixels of %s: nothing is learnt from it, and where the run is used it is taken "
            "as that value. Leave it out with data.bands.", name, list_names(constant, NAMED),
        )  # fmt: skip
