"""Describes files and their problems: rasters, vectors, runs, folders of tiles.

A file that cannot be opened has a problem with the reason. What a GeoTIFF does not need is imported late. Memory: one block."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from shapely.errors import ShapelyError

from deepnets4eo.addresses import name_of
from deepnets4eo.arrays import Floats
from deepnets4eo.cards import VOID, Color, Legend, Quantity, colour_problem
from deepnets4eo.degree_boxes import Box
from deepnets4eo.errors import DeepNets4EOError, InputError, Reading
from deepnets4eo.files import read_json
from deepnets4eo.formats import asset_of, parse_reference, read_xbd, split_layer
from deepnets4eo.grid import LABELS_READ_PX, Grid, gsd_m
from deepnets4eo.inspection.clouds import describe_clouds
from deepnets4eo.inspection.dropped_words import dropped_words
from deepnets4eo.plugins import load_plugin, plugins_of
from deepnets4eo.rasters import TILE_SUFFIXES, Layer, find_outliers, scales_beside, to_physical
from deepnets4eo.read_as import describe_unmasked_band, undeclared_in_bands, undeclared_nodata
from deepnets4eo.reprojection import degrees_of, lonlat_box, lonlat_text

if TYPE_CHECKING:
    from deepnets4eo.inspection.vectors import PixelOutlines

VECTOR_SUFFIXES = {
    ".gpkg", ".geojson", ".shp", ".fgb", ".parquet", ".geoparquet", ".kml", ".gml", ".sqlite", ".gdb", ".zip", ".gz", ".bz2", ".osm", ".pbf",
    ".csv", ".geojsonl", ".geojsons", ".ndjson", ".pmtiles", ".mbtiles",
}  # fmt: skip
MIN_BANDS = 16  # of what is described as a cube
STATISTICS_PX = 2048  # value ranges are taken from a thumbnail of this size at the most
MAX_VALUES = 4 * STATISTICS_PX**2  # values of all bands together that are searched for outliers


@dataclass
class Inspection:
    """Description of one file.

    Parameters
    ----------
    path : what is described; of an address without user, password and query
    kind : such as "raster", "vector", "run", "dataset NAME" or "unreadable"
    facts : title → value
    problems : sentences, each with its remedy
    grid : grid of a raster, or extent of a vector file; None without a position
    areas_m2 : (N,) of the polygons of a vector file; None of anything else
    in_pixels : outlines that are in pixels of an image without CRS; None of anything else
    """

    path: str
    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    grid: Grid | None = None
    areas_m2: Floats | None = None
    in_pixels: PixelOutlines | None = None

    def __post_init__(self) -> None:
        self.path = name_of(self.path)

    def to_dict(self) -> dict[str, Any]:
        """Return path, kind, facts and problems as plain values, for JSON."""
        return {"path": self.path, "kind": self.kind, "facts": self.facts, "problems": self.problems}


def inspect(path: str, legend: Legend | None = None) -> Inspection:
    """Describe one file or folder.

    Parameters
    ----------
    path
        A raster, a folder or glob of tiles, a file of arrays (`FILE#NAME` for one of several), a vector file, a run, a
        JSON file, or what a branch describes, such as points (`deepnets4eo.plugins`).
    legend : legend whose label values a raster is compared with; by default the legend in its tags

    Returns
    -------
    Facts and problems; the kind is "unreadable" if it cannot be opened.

    >>> inspect("nowhere.tif").kind
    'unreadable'
    """
    try:
        dropped = list[str]()
        with Reading(path, "Is it whole? Check it with gdalinfo or ogrinfo."), dropped_words(dropped):
            result = _inspect(path, legend)
        result.problems += dropped
        return result
    except DeepNets4EOError as error:
        return Inspection(path, "unreadable", problems=[str(error)])


def _inspect(path: str, legend: Legend | None) -> Inspection:
    """Return the description of a path that can be opened. Errors: InputError."""
    suffix = Path(split_layer(path)[0]).suffix.lower()
    if suffix in TILE_SUFFIXES and Path(path).is_file():
        return _inspect_raster(path, legend)
    if (Path(path) / "card.json").is_file():
        return _inspect_run(path)
    if suffix in VECTOR_SUFFIXES or suffix.removeprefix(".") in plugins_of("vector_readers"):
        return _inspect_vector(path)
    plugin = plugins_of("inspections").get(suffix.removeprefix("."))
    if plugin is not None and not Path(path).is_dir():
        described: Inspection = load_plugin(plugin)(path, legend)
        return described
    if suffix in (".yaml", ".yml"):
        from deepnets4eo.catalogues.plan import describe_plan

        return Inspection(path, "plan", *describe_plan(path))
    if (Path(path) / CLASSES).is_file():
        return Inspection(path, "masks by colour", *describe_masks(Path(path)))
    if suffix == ".json" and asset_of(path) is None:
        return _inspect_json(path)
    return _inspect_raster(path, legend)


def _hidden_problems(layer: Layer, path: str) -> list[str]:
    """Return problems hidden in values: undeclared nodata, in all bands or in some, and clouds."""
    problems = []
    if layer.count > 1 and (hidden := undeclared_nodata(layer)):
        problems.append(
            f"it holds {hidden} at {hidden.share:.1%} of the pixels looked at, far from all others, as where it has no data. "
            f"{hidden.remedy(path).text()}"
        )
    problems += [
        f"it holds {band} at {band.share:.1%} of the pixels looked at, in wide parts where other bands have data. Write these parts as no "
        "data in every band, or as NaN."
        for band in undeclared_in_bands(layer)
    ]
    if (clouds := describe_clouds(layer)) is not None:
        problems.append(clouds)
    return problems


def _inspect_raster(path: str, legend: Legend | None) -> Inspection:
    reference = parse_reference(path) if scales_beside(Path(path)) is None else None
    listed = Inspection(path, "arrays")
    if reference is not None:
        from deepnets4eo.inspection.cubes import describe_arrays

        if not describe_arrays(listed.facts, listed.problems, reference):
            return listed
    layer, kind = Layer.open(path, power=True), "raster"
    if (card := layer.embedding) is not None:
        kind = "embeddings"
    elif layer.count >= MIN_BANDS:
        kind = "cube"
    elif len(layer.paths) > 1:
        kind = "mosaic"
    result = Inspection(path, kind, dict(listed.facts), grid=layer.grid)
    height, width = layer.shape
    result.facts |= {
        "size": f"{height} rows × {width} columns × {layer.count} bands of {layer.dtype}",
        "bands": ", ".join(layer.band_names[:12]) + (" …" if layer.count > 12 else ""),
    }
    if reference is None:
        _describe_grid(result, layer)
    else:  # arrays have no CRS
        result.grid = None
    result.facts |= layer.declared.facts()
    result.problems += layer.declared.problems()
    if layer.synthetic:
        result.facts["synthetic"] = layer.tags["SYNTHETIC"]
    if (masking := describe_unmasked_band(layer)) is not None:
        result.problems.append(" ".join(phrase.text() for phrase in masking))
    if layer.hidden_tile:
        result.problems.append(layer.hidden_tile)
    if kind in ("embeddings", "cube"):
        from deepnets4eo.inspection.cubes import describe_cube, describe_embedding

        if card is not None:
            describe_embedding(result.facts, result.problems, layer, card)
        else:
            describe_cube(result.facts, result.problems, layer)
    else:
        _describe_values(result, layer)
    result.problems += _hidden_problems(layer, path)
    if (quantity := Quantity.from_tags(layer.tags, path)) is not None:
        result.facts["estimates"] = str(quantity)
    known = legend or layer.legend
    if known is not None:
        _describe_labels(result, layer, known)
    return result


def _describe_grid(result: Inspection, layer: Layer) -> None:
    grid = layer.grid
    if grid.crs is None:
        result.facts["CRS"] = "none: plain pixels"
        result.problems.append(
            layer.place_advice or "it has a position but no CRS. Where that is known: gdal_edit.py -a_srs EPSG:… FILE"
        )
        return
    rows, cols = gsd_m(grid)
    name = grid.crs.proj.name
    result.facts["CRS"] = f"EPSG:{grid.crs.epsg} {name}" if grid.crs.epsg else name
    if layer.has_only_crs:
        result.grid = None
        result.problems.append(layer.place_advice)
        return
    result.facts["pixel"] = f"{cols:.4g} × {rows:.4g} m on the ground"
    if abs(rows / cols - 1) > 0.02:
        result.facts["pixel shape"] = "not square (it is handled; distances are measured in metres)"
    try:
        box = _degrees_of(grid)
    except (ProjError, ShapelyError, ValueError, OverflowError):
        result.problems.append(
            f"its extent has no longitude and latitude. Check its georeference, and that {name} is its CRS."
        )
        return
    result.facts["extent"] = lonlat_text(box)
    if max(box[0], box[2]) > 180 or min(box[0], box[2]) < -180:
        result.problems.append("its longitudes leave −180…180. Check its georeference.")


def _degrees_of(grid: Grid) -> Box:
    """Return the box of a grid in degrees, with west greater than east across 180°. Errors: ValueError if it has none."""
    assert grid.crs is not None
    shapes = degrees_of(np.array([grid.extent.geom], object), grid.crs.proj)
    if grid.crs.geographic:
        west, south, east, north = shapely.total_bounds(shapes).tolist()
        return west, south, east, north  # as stated, also beyond 180
    box = lonlat_box(shapes)
    if not np.isfinite(box).all():
        raise ValueError("infinite degrees")
    return box


def _describe_values(result: Inspection, layer: Layer) -> None:
    numbers, valid, _ = layer.as_stored().thumbnail(STATISTICS_PX)
    data = to_physical(numbers, layer.scaling)
    stated = layer.band_nodata[:1] if layer.nodata is not None else layer.band_nodata[:6]
    nodata = ", ".join("none" if value is None else f"{value:g}" for value in stated)
    known = f" (nodata {nodata})" if any(value is not None for value in stated) else ""
    result.facts["not valid"] = f"{1 - valid.mean():.1%} of the pixels{known}"
    if not valid.any():
        result.problems.append("no pixel is valid: all are nodata, masked or NaN. Check its nodata value.")
        return
    values = data[:, valid]
    low, high = values.min(axis=1), values.max(axis=1)
    ranges = [f"{a:g} to {b:g}" for a, b in zip(low[:6], high[:6], strict=True)]
    result.facts["values"] = "; ".join(ranges) + (" …" if layer.count > 6 else "")
    constant = [name for name, a, b in zip(layer.band_names, low, high, strict=True) if a == b]
    if constant:
        result.problems.append(f"constant: {', '.join(constant[:6])} has one value only.")
    if layer.dtype == np.uint16 and high.max() <= VOID:
        result.problems.append("uint16 that holds 8-bit values: scaled by the range of the type it would be black.")
    if np.issubdtype(layer.dtype, np.floating) and np.isinf(data).any():
        result.problems.append("it holds infinite values, which are not valid. Set them to nodata.")
    step = max(1, values.size // MAX_VALUES)
    for name, band in zip(layer.band_names, numbers[:, valid], strict=True):  # by numbers values without data are known
        _report_outliers(result, name, np.concatenate([band[::step], [band.min(), band.max()]]))


def _report_outliers(result: Inspection, name: str, band: NDArray[Any]) -> None:
    outliers = find_outliers(band)
    if outliers is None or not outliers.dominates_std(float(band.std(dtype=np.float64)), band):
        return
    remedy = (
        "set them to a nodata value that it declares" if outliers.nodata is None
        else f"declare it as nodata: gdal_edit.py -a_nodata {outliers.nodata:.17g} {result.path}"
    )  # fmt: skip
    result.problems.append(f"{name} holds {outliers}: they would distort the scaling of a training; {remedy}.")


def _describe_labels(result: Inspection, layer: Layer, legend: Legend) -> None:
    result.facts["legend"] = f"{legend.name} ({legend.num_classes} classes)"
    counts, layer = np.zeros(256, np.int64), layer.in_declared_colours()
    if (hidden := layer.hidden_class_note(legend)) is not None:
        result.problems.append(hidden)
    for window in layer.blocks(LABELS_READ_PX):
        data, valid = layer.read(window)
        labels, problem = _as_labels(data, legend)
        if problem:
            result.problems.append(problem)
            return
        counts += np.bincount(legend.from_file(labels)[valid], minlength=256)
    present = {item.name: counts[item.value] for item in legend.classes if counts[item.value]}
    total = max(int(counts.sum()), 1)
    result.facts["classes"] = ", ".join(f"{name} {n / total:.1%}" for name, n in present.items())
    strange = [
        int(value) for value in np.flatnonzero(counts) if value not in {*legend.values, *legend.void_values, VOID}
    ]
    if strange:
        result.problems.append(
            f"values {strange} are not in the legend {legend.name}; remap them, or choose another legend."
        )


def _as_labels(data: NDArray[Any], legend: Legend) -> tuple[NDArray[np.uint8], str]:
    if data.shape[0] >= 3:
        try:
            return legend.encode(data[:3].astype(np.uint8)), ""
        except InputError as error:
            return np.zeros(data.shape[1:], np.uint8), f"it is no label raster of {legend.name}: {error}"
    if not np.issubdtype(data.dtype, np.integer) or data.min() < 0 or data.max() > VOID:
        problem = f"labels must be whole numbers 0–255; it holds {data.dtype} {data.min()}–{data.max()}."
        return np.zeros(data.shape[1:], np.uint8), problem
    return data[0].astype(np.uint8), ""


def _inspect_vector(path: str) -> Inspection:
    from deepnets4eo.inspection.vectors import describe_vector

    result = Inspection(path, "vector")
    result.grid, result.areas_m2, result.in_pixels = describe_vector(result.facts, result.problems, path)
    return result


def _inspect_json(path: str) -> Inspection:
    content = read_json(path)
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        return _inspect_vector(path)
    features = content.get("features") if isinstance(content, dict) else None
    if isinstance(features, dict) and {"xy", "lng_lat"} & features.keys():
        return _inspect_xbd(path, content.get("metadata", {}))
    return Inspection(path, "JSON", problems=["it is neither GeoJSON, xBD labels nor a STAC item."])


def _inspect_xbd(path: str, metadata: Any) -> Inspection:
    table, _ = read_xbd(path)
    grades = table["subtype"].fillna("none given") if "subtype" in table else ["none given"] * len(table)
    counts = dict(Counter(map(str, grades)))
    return Inspection(path, "xBD labels", {"buildings": len(table), "grades": counts, "metadata": metadata})


def _inspect_run(path: str) -> Inspection:
    from deepnets4eo.segmenters import ENCODER, InputSpec, load_run, open_sealed

    card = read_json(Path(path) / "card.json")
    result = Inspection(path, "run", {key: card[key] for key in card if not isinstance(card[key], (dict, list))})
    if card.get("kind") == ENCODER:
        inputs = InputSpec.from_dict(open_sealed(path)["inputs"])
        result.facts["starts"] = "recipes with this encoder, by --set model.encoder_weights=RUN"
    else:
        segmenter = load_run(path)
        inputs = segmenter.inputs
        if segmenter.legend.classes:
            result.facts["classes"] = ", ".join(segmenter.legend.names)
        if segmenter.legend.quantity is not None:
            result.facts["estimates"] = str(segmenter.legend.quantity)
    result.facts["inputs"] = "; ".join(
        f"{name}: {', '.join(item.bands)}"
        + (f" ({item.units})" if item.units else "")
        + (", optional" if item.optional else "")
        + (", numbers as they are stored" if item.values == "stored" else "")
        for name, item in inputs.layers.items()
    )
    return result


CLASSES = "classes.json"
FOLDERS = re.compile(r"mask|label|ann|gt", re.IGNORECASE)  # that masks lie in
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
LOOKED_AT = 20  # masks, evenly spread
NAMED = 8


def describe_masks(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Return facts and problems of masks in the folders below a folder. Errors: InputError for a classes.json without classes."""
    named = class_colours(folder / CLASSES)
    masks = sorted(
        path for path in folder.rglob("*.*") if path.suffix.lower() in SUFFIXES and FOLDERS.search(path.parent.name)
    )
    facts = {"classes": f"{len(named)}, by {CLASSES}: {', '.join(named)}", "masks": f"{len(masks):,}"}
    if not masks:
        return facts, [f"it has {CLASSES}, but no folder of masks. Give the folder that holds both."]
    counts = Counter[Color]()
    for path in masks[:: max(1, len(masks) // LOOKED_AT)][:LOOKED_AT]:
        layer = Layer.open(path)
        if (table := layer.palette) is not None:
            for number, count in zip(*np.unique(layer.read()[0], return_counts=True), strict=True):
                counts[table[int(number)]] += int(count)
            continue
        if layer.count != 3 or layer.dtype != np.uint8:
            return facts, [
                f"{path} has {layer.count} bands of {layer.dtype}: its masks are no colours, and {CLASSES} says nothing of them."
            ]
        colours, occurrences = np.unique(layer.read()[0].reshape(3, -1), axis=1, return_counts=True)
        for colour, count in zip(colours.T.tolist(), occurrences.tolist(), strict=True):
            counts[(colour[0], colour[1], colour[2])] += count
    facts["colours"] = ", ".join(map(str, (colour for colour, _ in counts.most_common(NAMED)))) + (
        " …" if len(counts) > NAMED else ""
    )
    strange = {colour: count for colour, count in counts.items() if colour not in named.values()}
    if not strange:
        return facts, []
    problem = colour_problem(strange, list(named.values()), sum(counts.values()))
    return facts, [
        f"{len(strange):,} of the {len(counts):,} colours of its masks are not in {CLASSES}. {problem}".rstrip()
    ]


def class_colours(path: Path) -> Mapping[str, Color]:
    """Return class → colour by the `title` or `name` and `color` (#RRGGBB) of a classes.json. Errors: InputError."""
    content = read_json(path)
    entries = content.get("classes") if isinstance(content, dict) else content
    named: dict[str, Color] = {}
    for entry in entries if isinstance(entries, list) else ():
        colour = str(entry.get("color")) if isinstance(entry, dict) else ""
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
            raise InputError(
                f"{path} has a class without a colour as #RRGGBB: {entry}. Correct it, or leave the file out."
            )
        red, green, blue = bytes.fromhex(colour[1:])
        named[str(entry.get("title") or entry.get("name"))] = red, green, blue
    if not named:
        raise InputError(f"{path} holds no list of classes with their colours. Correct it, or leave the file out.")
    return named
