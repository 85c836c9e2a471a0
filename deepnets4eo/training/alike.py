"""Similarity of the scenes of one training: number type, unit, bands, wavelengths and pixel size, compared layer by layer.

Scenes that no network can learn from together are refused, doubtful ones are reported; both messages name scenes and what to
do. Places may differ: only orders of magnitude are another unit.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from deepnets4eo.display import list_names
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer, layer_names, metres_of, name_band, role_indices, same_unit
from deepnets4eo.segmenters import GSD_FACTOR, ValueRange, scene_gsd_m
from deepnets4eo.segmenters.inputs import BYTE, value_range
from deepnets4eo.tiling import spread_indices

log = logging.getLogger(__name__)

MAX_LOOKED_AT = 100  # scenes of which no training pixel was read that are opened for their values
NAMED = 3  # scenes in a message
OTHER_SCALE = 16.0  # times larger pixels: a field of one is a pixel of the other; sites of one class at 7 cm and 1 m are learnt from together
MIN_SHIFT_NM = 5.0  # of a wavelength; of wide bands half of what lies between them
HEIGHTS = {"height", "ground", "ndsm"}

Ranges = Mapping[int, ValueRange]  # scene → its values, where some were read


def check_alike(scenes: Sequence[Any], layers: Sequence[str], ranges: Mapping[str, Ranges]) -> None:
    """Refuse scenes of several kinds, and warn of scenes that may be of several kinds.

    Reads at most 100 more scenes, among scenes without a range. Errors: InputError that names scenes of both kinds.

    Parameters
    ----------
    scenes : `training.scenes.NamedScene` each
    layers : layers used for training
    ranges : layer → index of a scene → its values
    """
    names = [named.name for named in scenes]
    _check_pixel_sizes([scene_gsd_m(named.scene) for named in scenes], names)
    for layer in layers:
        opened = [named.scene.layers[layer] for named in scenes]
        what = f"layer {layer!r}"
        _check_bands(opened, names, what)
        _check_colours(opened, names, what)
        _check_wavelengths(opened, names, what)
        _check_units(opened, names, what)
        known = dict(ranges.get(layer, {}))
        unread = [number for number in range(len(scenes)) if number not in known]
        for index in spread_indices(len(unread), MAX_LOOKED_AT) if unread else ():
            if (seen := value_range(opened[unread[index]])) is not None:
                known[unread[index]] = seen
        _check_number_types(opened, known, names, what)
        if not _is_height(layer, opened[0]):
            _check_magnitudes(opened, known, names, what)
            _check_offsets(known, names, what)


def _is_height(name: str, layer: Layer) -> bool:
    """Return whether a layer contains heights, by its name or its bands' names: on flat ground they may be arbitrarily small."""
    return bool(role_indices([name, *layer_names(name, layer.band_names)]).keys() & HEIGHTS)


def _say_scenes(names: Sequence[str], numbers: Sequence[int]) -> str:
    """Describe in words how many scenes there are, and which."""
    listed = list_names([names[number] for number in numbers], NAMED)
    return f"{len(numbers)} scene{'s' * (len(numbers) != 1)} ({listed})"


def _check_pixel_sizes(sizes_m: Sequence[float | None], names: Sequence[str]) -> None:
    known = [number for number, size in enumerate(sizes_m) if size is not None]
    if not known:
        return
    sizes = np.array([sizes_m[number] for number in known], float)
    middle = float(np.sqrt(sizes.min() * sizes.max()))
    ratio = float(sizes.max() / sizes.min())
    if ratio <= GSD_FACTOR:
        return
    fine, coarse = ([known[number] for number in np.flatnonzero(part)] for part in (sizes <= middle, sizes > middle))
    text = (
        f"{_say_scenes(names, fine)} have pixels of {sizes.min():.3g} m and more, {_say_scenes(names, coarse)} of up to {sizes.max():.3g} m: "
        "objects are of another size in them, and a run takes only scenes of about the pixels that most of its own had. Resample them to one "
        f"size (gdalwarp -tr {sizes.max():.3g} {sizes.max():.3g} IN OUT, in a CRS in metres), or train one run for each"
    )
    if ratio >= OTHER_SCALE:
        raise InputError(f"{text}.")
    log.warning("%s.", text)


def _check_bands(layers: Sequence[Layer], names: Sequence[str], what: str) -> None:
    """Refuse the same bands in another order, and warn if scenes have other band names."""
    other: dict[tuple[str, ...], list[int]] = {}
    for number, layer in enumerate(layers):
        other.setdefault(_band_key(layer), []).append(number)
    keys = [key for key in other if key]
    for key in keys[1:]:
        first, numbers = keys[0], other[key]
        text = f"{what} has the bands {_band_text(layers[other[first][0]])} in {_say_scenes(names, other[first])} and {_band_text(layers[numbers[0]])} in {_say_scenes(names, numbers)}"
        if sorted(first) == sorted(key):
            raise InputError(
                f"{text}: the number of channels is the same, so nothing else would show it. Choose them in one order with data.bands, or write "
                "all files alike (gdal_translate -b …)."
            )
        log.warning(
            "%s. They are learnt from as the same; where they are not, choose the right ones with data.bands.", text
        )


def _check_colours(layers: Sequence[Layer], names: Sequence[str], what: str) -> None:
    """Refuse scenes that state red, green and blue at other positions, see `colour_positions`."""
    known = {number: layer.colour_positions for number, layer in enumerate(layers) if layer.colour_positions}
    for number, positions in known.items():
        first = next(iter(known))
        if positions != known[first]:
            raise InputError(
                f"{what} has its colours in the order {', '.join(sorted(known[first], key=known[first].__getitem__))} in {names[first]} and "
                f"{', '.join(sorted(positions, key=positions.__getitem__))} in {names[number]}, by names, colour interpretation or wavelengths. Write all files "
                "in one order (gdal_translate -b …), or correct the colour interpretation (rio edit-info --colorinterp …)."
            )


def _band_key(layer: Layer) -> tuple[str, ...]:
    """Return the keys of a layer's bands: their names or, without any, their colours; () if neither is known."""
    if _is_named(layer):
        return tuple(map(name_band, layer.band_names))
    roles = layer.colour_roles or []
    return tuple(map(name_band, roles)) if "red" in roles and len(set(roles)) == len(roles) else ()


def _is_named(layer: Layer) -> bool:
    return not any(name.casefold().startswith("band_") for name in layer.band_names)


def _check_wavelengths(layers: Sequence[Layer], names: Sequence[str], what: str) -> None:
    known = [number for number, layer in enumerate(layers) if layer.wavelengths_nm is not None]
    if len(known) < 2:
        return
    first = np.asarray(layers[known[0]].wavelengths_nm)
    steps = np.abs(np.diff(first[np.isfinite(first)]))
    most_nm = max(MIN_SHIFT_NM, float(np.median(steps)) / 2 if len(steps) else MIN_SHIFT_NM)
    for number in known[1:]:
        other = np.asarray(layers[number].wavelengths_nm)
        shift = np.abs(other - first)
        if (shift > most_nm).any():
            band = int(np.nanargmax(shift))
            raise InputError(
                f"band {band + 1} of {what} is at {first[band]:.0f} nm in {names[known[0]]} and at {other[band]:.0f} nm in "
                f"{names[number]}: cubes of other wavelengths are not learnt from together. Choose bands of the same wavelengths with data.bands, or "
                "resample the spectra."
            )


def _check_units(layers: Sequence[Layer], names: Sequence[str], what: str) -> None:
    stated = [(number, layer.scaling[0].unit) for number, layer in enumerate(layers) if layer.scaling[0].unit]
    for number, unit in stated[1:]:
        first, usual = stated[0]
        if same_unit(unit, usual):
            continue
        text = f"{what} is in {usual} in {names[first]} and in {unit} in {names[number]}"
        if metres_of(usual) and metres_of(unit):
            raise InputError(f"{text}. Bring all scenes to one unit.")
        log.warning("%s. Where these are two units, bring all scenes to one.", text)
        return


def _check_number_types(layers: Sequence[Layer], known: Ranges, names: Sequence[str], what: str) -> None:
    """Refuse bytes together with wider numbers that do not have the same brightness."""
    bytes_ = [number for number, layer in enumerate(layers) if layer.dtype.itemsize == 1]
    brightest = max((known[number].high for number in bytes_ if number in known), default=float(BYTE))
    wider = [
        number
        for number, measured in known.items()
        if layers[number].dtype.itemsize > 1
        and (measured.high > BYTE or measured.high * ValueRange.other_unit < brightest)
    ]
    if bytes_ and wider:
        raise InputError(
            f"{what} has bytes ({layers[bytes_[0]].dtype}) up to {brightest:.4g} in {_say_scenes(names, bytes_)} and {layers[wider[0]].dtype} values from "
            f"{known[wider[0]]} in {_say_scenes(names, sorted(wider))}: these number types are of two units. Write all scenes in one, from the same product."
        )


def _check_magnitudes(layers: Sequence[Layer], known: Ranges, names: Sequence[str], what: str) -> None:
    """Refuse values that are so much smaller in every band that they are of another unit, and warn if they may be.

    Units leave a gap; from a cloud over land to a dark lake there are scenes between."""
    sized = {number: measured for number, measured in known.items() if measured.sizes.max() > 0}
    if not sized:
        return
    largest = max(sized, key=lambda number: sized[number].high)
    times = {number: max(1.0, measured.times_smaller(sized[largest])) for number, measured in sized.items()}
    enough = layers[0].count >= ValueRange.enough_bands
    order = sorted(times, key=lambda number: times[number])
    gaps = np.array([times[after] / times[before] for before, after in pairwise(order)])
    if not len(gaps) or gaps.max() < (ValueRange.suspect if enough else ValueRange.suspect_band):
        return
    above = int(gaps.argmax()) + 1
    usual, small = sorted(order[:above]), sorted(order[above:])
    text = (
        f"{what} has values from {sized[small[0]]} in {_say_scenes(names, small)} and from {sized[largest]} in {_say_scenes(names, usual)}, "
        f"{min(times[number] for number in small):.0f} times larger in every band"
    )
    wide = min(layers[number].dtype.itemsize for number in small) > 1
    if enough and wide and max(times[number] for number in small) >= ValueRange.other_unit:
        raise InputError(f"{text}: these are of two units. Bring all scenes to one unit, from the same product.")
    log.warning("%s. Where these are two units, bring all scenes to one.", text)


def _check_offsets(known: Ranges, names: Sequence[str], what: str) -> None:
    """Warn of scenes whose darkest values differ by about the offset of Sentinel-2, which no scene states."""
    if not known:
        return
    darkest = min(known, key=lambda number: known[number].low)
    texts = {number: measured.describe_offset(known[darkest]) for number, measured in known.items()}
    if offset := sorted(number for number, text in texts.items() if text):
        log.warning(
            "%s: %s %s. Some scenes may have an offset that others lack, such as the 1,000 that Sentinel-2 adds since processing baseline 04.00. "
            "If they have it: gdal_edit.py -scale 1 -offset -1000 FILE.",
            what, _say_scenes(names, offset), texts[offset[0]].replace("in training", f"in {names[darkest]}"),
        )  # fmt: skip


def _band_text(layer: Layer) -> str:
    """Return the bands of a layer as the file names them, or as their colours."""
    return list_names(layer.band_names if _is_named(layer) else layer.colour_roles or [], 8)
