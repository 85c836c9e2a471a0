"""The kinds of layers, each with its guards: add a guard to a kind, and it works at every door."""

from __future__ import annotations

from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, Scene, layer_names, metres_of, role_indices
from deepnets4eo.read_as.assessment import Assessment, Door, ReadAs
from deepnets4eo.read_as.height_units import in_metres
from deepnets4eo.read_as.images import (
    MIN_SHARE,
    Undeclared,
    are_squares,
    declare_nodata,
    sample_windows,
    undeclared_finding,
    undeclared_nodata,
    with_one_nodata,
)
from deepnets4eo.read_as.relief import refuse_steep_heights

HEIGHT_ROLES = {"height", "ground", "ndsm"}
MAX_SHARE_OF_ONE = 1.5  # the largest value of reflectances, probabilities and other shares of one, with what calibration leaves above it
# Largest correlation of pixels next to each other in a window: 0.96 and 0.99 of a surface and a terrain model of 2 m, 0.95 of a synthetic
# city; 0.75 to 0.94 of radar in dB (four chips of Sentinel-1 of 512² pixels, five of 120²). It tells heights only from radar: grey images of
# satellites, aircraft and drones have 0.82 to 0.99 (39 means of bands and 2 panchromatic ones, 30 November 2026), and are reported too if fractional.
MIN_CORRELATION = 0.945
GREY_PARTS = 3  # bands whose mean is a grey image: its numbers are thirds, which no rounding of heights leaves
FAR_M, NEAREST_PERCENT = 10.0, 1.0  # metres from a value, beyond which all but one percent of the heights are
CATEGORY_LAYERS = {"osm", "clicks", "mask"}  # of scenes: numbers of classes, or drawn masks


def check_position(layer: Layer, door: Door) -> Assessment:
    """Refuse a layer with a CRS but no position in it; without results on the ground, leave its CRS out."""
    if door.on_ground:
        layer.check_position(door.what)
    if not layer.has_only_crs:
        return Assessment(layer)
    plain = layer.with_grid(GeoBox(layer.grid.shape, layer.grid.affine, None))
    finding = Finding(door.code("crs_without_position"), "note", _named(layer, door), wording="crs_without_position")
    return Assessment(plain, (finding,))


def check_colour_table(layer: Layer, door: Door) -> Assessment:
    """Refuse a layer whose numbers are indices into a table of colours, and no brightness, height or score."""
    if any(layer.reader.declared.bands[band - 1].colour == "palette" for band in layer.bands):
        raise InputError(
            f"{door.name(layer)} has a colour table: its numbers are no brightness. Write its colours: "
            f"gdal_translate -expand rgb {layer.source} rgb.tif"
        )
    return Assessment(layer)


def refuse_heights(layer: Layer, door: Door) -> Assessment:
    """Refuse one band that states heights, at doors of images that a camera or a radar took."""
    if not door.by_camera or layer.count != 1:
        return Assessment(layer)
    name, unit = layer.band_names[0] or "", layer.reader.declared.stored[layer.bands[0] - 1].unit
    is_length = bool(unit) and metres_of(unit) is not None
    if not is_length and not _height_bands("", layer):
        return Assessment(layer)
    stated = f"its unit is {unit}" if is_length else f"its band is named {name}"
    raise InputError(
        f"{door.name(layer)} has heights or depths: {stated}; expected an image, whose brightness shows roofs. Give the heights of both dates "
        "with --dsm-pre FILE --dsm-post FILE, and images as PRE and POST."
    )


def report_heights(layer: Layer, door: Door) -> Assessment:
    """Report one band of fractional numbers that may be heights, at doors of images that a camera or a radar took."""
    if not door.by_camera or layer.count != 1 or layer.dtype.kind != "f":
        return Assessment(layer)
    read = [layer.read(window) for window in sample_windows(layer.shape)]
    values = np.concatenate([data[0][valid] for data, valid in read]).astype(np.float64)
    if (
        not values.size
        or np.abs(values).max() <= MAX_SHARE_OF_ONE
        or _are_whole(values)
        or _are_whole(values, GREY_PARTS)
    ):
        return Assessment(layer)
    if max(_correlation(data[0], valid) for data, valid in read) < MIN_CORRELATION:
        return Assessment(layer)
    ends: dict[str, Any] = {**_named(layer, door), "lowest": float(values.min()), "highest": float(values.max())}
    return Assessment(layer, (Finding(door.code("perhaps_heights"), "caution", ends, wording="perhaps_heights"),))


def _are_whole(values: Floats, parts: int = 1) -> bool:
    """Return whether all values are multiples of 1 / parts, up to the rounding of single precision."""
    rounding = 2 * parts * float(np.spacing(np.float32(np.abs(values).max()))) if parts > 1 else 0.0
    return bool((np.abs(values * parts - np.rint(values * parts)) <= rounding).all())


def _correlation(band: Floats, valid: Mask) -> float:
    """Return the correlation of pixels (h, w) with their right neighbours; 0 if it is not defined."""
    both = valid[:, 1:] & valid[:, :-1]
    left, right = band[:, :-1][both].astype(np.float64), band[:, 1:][both].astype(np.float64)
    if len(left) < 2 or not left.std() or not right.std():
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])


def convert_to_metres(layer: Layer, door: Door) -> Assessment:
    """Bring heights to metres from the unit that the band, the tags or the CRS states; refuse other units."""
    converted = in_metres(layer)
    if converted is layer:
        return Assessment(layer)
    unit = Finding.verbatim(
        layer.declared.unit or (layer.height_crs.axis_info[-1].unit_name if layer.height_crs else "")
    )
    values: dict[str, Any] = {**_named(layer, door), "unit": unit}
    return Assessment(
        converted, (Finding(door.code("heights_in_metres"), "note", values, wording="heights_in_metres"),)
    )


def convert_height_bands(layer: Layer, door: Door) -> Assessment:
    """Bring bands of heights among other bands to metres, by the unit that each states."""
    findings = []
    for band in _height_bands("", layer):
        unit = layer.reader.declared.stored[band - 1].unit
        metres = metres_of(unit) if unit else None
        if metres not in (None, 1.0):
            layer = layer.with_factor(metres, "m", band)
            values: dict[str, Any] = {**_named(layer, door), "unit": Finding.verbatim(unit)}
            findings.append(Finding(door.code("heights_in_metres"), "note", values, wording="heights_in_metres"))
    return Assessment(layer, tuple(findings))


def declare_usual_nodata(layer: Layer, door: Door) -> Assessment:
    """Declare a usual nodata value, such as -9999, that a raster contains and does not declare; zeros count as values."""
    undeclared = None if door.user_nodata else undeclared_nodata(layer)
    if undeclared is None or not undeclared.value:
        return Assessment(layer)
    assessed = declare_nodata(layer, door)
    return Assessment(with_one_nodata(layer, undeclared.value, door), assessed.findings)


def declare_empty_heights(layer: Layer, door: Door) -> Assessment:
    """Declare 0, or the lowest value below, of a surface model as nodata if it fills wide parts and other heights are far from it.

    Refuses it next to another nodata. Errors: InputError."""
    empty = None if door.user_nodata else _empty_heights(layer)
    if empty is None or empty.value is None:
        return Assessment(layer)
    if layer.nodata is not None:
        raise InputError(
            f"{door.what} {layer.source} is {empty.value:g} in {empty.share:.0%} of its pixels, where all other heights are {FAR_M:g} m and more away, "
            f"and declares {layer.nodata} as nodata; expected one value without data. Write it: gdal_calc.py -A IN --NoDataValue={layer.nodata} "
            f'--calc="where(A=={empty.value:g},{layer.nodata},A)" --outfile=OUT.tif'
        )
    return Assessment(layer.with_nodata(empty.value), (undeclared_finding(empty, layer, door, hidden=True),))


def _empty_heights(layer: Layer) -> Undeclared | None:
    """Return the value of heights without data: 0, or the lowest below, if it fills squares, and hardly any height is near it; else None.

    Ground and water are next to ground and water of nearly the same height; a coast and heights above the ground have heights near 0. How
    many different values there are does not matter here: models of whole metres have few, as masks have.
    """
    windows = sample_windows(layer.shape)
    stored = [layer.as_stored().read(window) for window in windows]
    numbers = np.concatenate([data[0][valid] for data, valid in stored])
    values = dict.fromkeys((0.0, min(float(numbers.min(initial=0)), 0.0)))
    shares = [float((numbers == value).mean()) if numbers.size else 0.0 for value in values]
    wide = [
        (value, share)
        for value, share in zip(values, shares, strict=True)
        if MIN_SHARE <= share < 1 and are_squares([valid & (data[0] == value) for data, valid in stored])
    ]
    if not wide:
        return None
    heights = np.concatenate([data[0][valid] for data, valid in map(layer.read, windows)]).astype(np.float64)
    for value, share in wide:
        others = np.abs(heights[numbers != value] - heights[numbers == value][0])
        if float(np.percentile(others, NEAREST_PERCENT)) >= FAR_M:
            return Undeclared(share, value)
    return None


def _named(layer: Layer, door: Door) -> dict[str, Any]:
    return {"image": door.image, "source": Finding.file_name(layer.source)}


IMAGE = ReadAs(
    "image",
    (check_position, check_colour_table, refuse_heights, convert_height_bands),
    (declare_nodata, report_heights),
)  # radar and cubes too
HEIGHTS = ReadAs(
    "heights",
    (check_position, check_colour_table, convert_to_metres),
    (declare_usual_nodata, declare_empty_heights, refuse_steep_heights),
)
SCORES = ReadAs("scores", (check_position, check_colour_table), (declare_usual_nodata,))
LABELS = ReadAs("labels", (check_position,), labels=True)
MASK = ReadAs("mask", (check_position,), labels=True)


def kind_of(name: str, layer: Layer) -> ReadAs:
    """Return what a layer of a scene is read as, by its name in the scene and what it states."""
    if name == Scene.label_layer:
        return LABELS
    if name in CATEGORY_LAYERS or layer.legend is not None:
        return MASK
    named = layer.count == 1 and bool(role_indices([name]).keys() & HEIGHT_ROLES)
    return HEIGHTS if named or len(_height_bands(name, layer)) == layer.count else IMAGE


def _height_bands(name: str, layer: Layer) -> list[int]:
    """Return the bands (1-based, of the source) whose names state heights."""
    names = layer_names(name, layer.band_names)
    return [
        band
        for band, band_name in zip(layer.bands, names, strict=True)
        if role_indices([band_name]).keys() & HEIGHT_ROLES
    ]
