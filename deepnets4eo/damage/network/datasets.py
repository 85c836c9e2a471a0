"""Folders of labelled pairs in three layouts: xBD, BRIGHT, images with a graded vector file."""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from geopandas import GeoDataFrame

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.damage.images.working_grid import make_working_grid
from deepnets4eo.damage.network.pairs import LEGEND, POST, PRE, LabelledPair, grades_of, make_scene, on_working_grid
from deepnets4eo.damage.network.recipe import PairFiles
from deepnets4eo.damage.table.vocabulary import GRADES, is_graded
from deepnets4eo.errors import InputError, LabelError, Reading
from deepnets4eo.files import read_json
from deepnets4eo.footprints import Footprints, align_footprints, read_footprints
from deepnets4eo.grid import mean_gsd_m
from deepnets4eo.options import normalise_name
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.read_as import IMAGE, Door
from deepnets4eo.registration import Registration, register
from deepnets4eo.training import find_sources

log = logging.getLogger(__name__)

INSTANCES = "target_instance_level"  # of BRIGHT's instance challenge, a file of outlines an image instead of a mask
FOLDERS = {  # of each layout, the first of several ways is the usual one
    "xbd": (("images", "labels"),),
    "bright": (("pre-event", "post-event", "target"), ("pre-event", "post-event", INSTANCES)),
}
LABELS = "labels"  # the vector file of a pair, in `data.layers`
SMALLEST_PX = 9  # connected pixels of a mask that count as a building
SUFFIXES = (".png", ".tif", ".tiff", ".jpg")


def read_pairs(data: PairFiles, seed: int = 0) -> list[LabelledPair]:
    """Read the pairs of the recipe's folders that show a building, sorted by name; images are opened when they are used.

    seed : of the registration, in the layout "vector". Errors: InputError.
    """
    if not data.folders:
        raise InputError("no data were given. Pass --data FOLDER: an xBD or BRIGHT folder, or images and labels.")
    labelled: list[LabelledPair] = []
    for layout, folders in _by_layout([Path(folder) for folder in data.folders], data.layout).items():
        if layout == "vector":
            labelled += read_vector([str(folder) for folder in folders], data, seed)
        else:
            read = read_xbd if layout == "xbd" else read_bright
            labelled += [pair for folder in folders for pair in read(folder)]
    pairs = sorted((pair for pair in labelled if len(pair.outlines)), key=lambda pair: pair.name)
    if not pairs:
        raise InputError(
            f"the folders {', '.join(data.folders)} hold {len(labelled)} pairs, none of them with a building. Give folders whose labels have buildings."
        )
    _log_counts(pairs, len(labelled))
    return pairs


def read_xbd(folder: Path) -> Iterator[LabelledPair]:
    """Read the pairs of a folder with images/*_{pre,post}_disaster.png and labels/*_post_disaster.json."""
    labels = sorted((folder / "labels").glob("*_post_disaster.json"))
    if not labels:
        raise InputError(f"{folder / 'labels'} has no *_post_disaster.json, expected the label files of xBD.")
    for path in labels:
        stem = path.name.removesuffix("_post_disaster.json")
        pre, post = (_image(folder / "images", f"{stem}_{date}_disaster") for date in ("pre", "post"))
        outlines, names, gsd = _xbd_labels(path)
        grades, ignored = _graded(names)
        opener = partial(_open, pre, post)
        yield LabelledPair.of(stem, opener, outlines, grades, event=_event(stem), gsd_m=gsd, ignored=ignored)


def read_bright(folder: Path) -> Iterator[LabelledPair]:
    """Read the pairs of a folder with pre-event/, post-event/ and instance labels or masks; connected pixels of a mask are a building."""
    outlined = (folder / INSTANCES).is_dir()
    kept, suffix = (INSTANCES, "_instance_damage.json") if outlined else ("target", "_building_damage.tif")
    targets = sorted((folder / kept).glob(f"*{suffix}"))
    if not targets:
        raise InputError(f"{folder / kept} has no *{suffix}, expected the targets of BRIGHT.")
    for path in targets:
        stem = path.name.removesuffix(suffix)
        pre = _image(folder / "pre-event", f"{stem}_pre_disaster")
        post = _image(folder / "post-event", f"{stem}_post_disaster")
        grid = Layer.open(post).grid
        outlines, grades = instances(path) if outlined else components(Layer.open(path))
        gsd = mean_gsd_m(grid) if grid.crs is not None else None
        pair = LabelledPair.of(stem, partial(_open, pre, post), outlines, grades, event=_event(stem), gsd_m=gsd)
        if not outlined and pair.shape != (target := Layer.open(path)).shape:
            raise _size_error(str(post), pair.shape, target)
        yield pair


@Reading.of_source("Is it the right file? Correct it, or write it again.")
def instances(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read outlines (N,) in pixels and grades (N,) from a file of BRIGHT's instance challenge, in COCO's format."""
    bright = Legend.load("bright")
    to_grade = bright.remap_to(Legend.load(LEGEND), missing="void")
    card = read_json(path)
    try:
        rows = [(row["segmentation"], int(row["category_id"])) for row in card["annotations"]]
        values = np.array([value for _, value in rows], np.int64)
        rings = [[np.reshape(ring, (-1, 2)) for ring in parts] for parts, _ in rows]
        outlines = [shapely.union_all([shapely.make_valid(shapely.Polygon(ring)) for ring in part]) for part in rings]
    except (KeyError, TypeError, ValueError, OverflowError, shapely.errors.GEOSException) as error:
        raise InputError(
            f"{path} holds no outlines of COCO's form: {error!r}. Expected annotations, each with `category_id` and `segmentation` "
            "as lists of x, y; unpack run lengths first."
        ) from error
    bright.check(values, str(path))
    return np.array(outlines, dtype=object), to_grade[values]


def components(target: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Return outlines (N,) in pixels and grades (N,) of a mask in the legend "bright"."""
    from rasterio.features import shapes

    bright = Legend.load("bright")
    values, valid = target.read()
    bright.check(values[0][valid], target.source)
    to_grade = bright.remap_to(Legend.load(LEGEND), missing="void")
    grades = np.where(valid, to_grade[values[0]], np.uint8(VOID))
    regions = [
        (shapely.geometry.shape(outline), int(value)) for outline, value in shapes(grades, mask=is_graded(grades))
    ]
    large = [(outline, value) for outline, value in regions if outline.area >= SMALLEST_PX]
    outlines = np.array([outline for outline, _ in large], dtype=object)
    return outlines, np.array([value for _, value in large], np.uint8)


def read_vector(folders: Sequence[str], data: PairFiles, seed: int = 0) -> list[LabelledPair]:
    """Read pairs by the patterns of `data.layers`, and register each pair as the main job would."""
    missing = {PRE, POST, LABELS} - set(data.layers)
    if missing:
        raise InputError(f"data.layers lacks {', '.join(sorted(missing))}. Give a pattern for pre, post and labels.")
    sources_of_pair = find_sources(folders, {name: data.layers[name] for name in (PRE, POST, LABELS)})
    return [_read_by_patterns(name, sources, data, seed) for name, sources in sources_of_pair.items()]


def _read_by_patterns(name: str, sources: Mapping[str, str], data: PairFiles, seed: int) -> LabelledPair:
    lacking = [layer for layer in (PRE, POST, LABELS) if layer not in sources]
    if lacking:
        raise InputError(f"pair {name!r} has no {', '.join(lacking)}. Check the patterns of data.layers.")
    pre, post = (
        IMAGE.check(Layer.open(sources[role]), Door.of_image(role)).report().as_shown() for role in (PRE, POST)
    )
    footprints = read_footprints(sources[LABELS], layer=data.labels_layer, image=post.grid)
    grades, ignored = _column_grades(footprints, data.grade_column)
    if not data.register_images:
        scene, size_m = make_scene(pre.on(post.grid), post), _gsd_m(post)
        outlines = footprints.in_pixels(post.grid)
    else:
        registration = _register(pre, post, seed)
        alignment = align_footprints(pre, _in_crs_of(footprints, post), seed=seed)
        work = make_working_grid(pre, post, registration)
        scene, size_m = make_scene(work.layers[PRE], work.layers[POST]), work.gsd_m
        outlines = on_working_grid(footprints.in_pixels(post.grid), post, work, alignment, registration)
    return LabelledPair.of(name, lambda: scene, outlines, grades, gsd_m=size_m, ignored=ignored)


# of missing values, of xBD and our map, and of the answers of `review`
WITHOUT_GRADE = {
    "none", "nan", "nat", "<na>", "", "un-classified", "unclassified", "not-assessed", "not-analysed", "no-building", "cloud", "cannot-tell",
}  # fmt: skip


def _column_grades(footprints: Footprints, column: str) -> tuple[np.ndarray, dict[str, int]]:
    if not column:
        return np.full(len(footprints.frame), VOID, np.uint8), {}
    attributes = footprints.attributes
    if attributes is None or column not in attributes:
        known = ", ".join(map(str, attributes.columns)) if attributes is not None else "none"
        raise InputError(
            f"{footprints.source} has no column {column!r} with the grades, only {known}. Set data.grade_column."
        )
    where = f"{footprints.source}, column {column}"
    grades, ignored = grades_of(attributes[column].tolist(), where)
    if unknown := {name: count for name, count in ignored.items() if normalise_name(name) not in WITHOUT_GRADE}:
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(unknown.items())[:8])
        raise LabelError(
            f"{where} has words that are no grades: {listed}. Expected {', '.join(GRADES)}, or nothing for a building without one. Write the "
            "grades of these buildings, or leave them empty."
        )
    return grades, ignored


def _register(pre: Layer, post: Layer, seed: int) -> Registration:
    registration = register(pre, post, seed=seed)
    if not registration.usable:
        raise InputError(
            f"{pre.source} could not be registered to {post.source}: {registration.reason} Leave the pair out, or set "
            "data.register_images=false if the images lie on each other already."
        )
    return registration


def _in_crs_of(footprints: Footprints, post: Layer) -> GeoDataFrame:
    """Footprints in the coordinates of post."""
    frame = footprints.frame
    if frame.crs is None or post.grid.crs is not None:
        return frame
    return GeoDataFrame(frame.drop(columns="geometry"), geometry=footprints.in_pixels(post.grid))


def _gsd_m(layer: Layer) -> float | None:
    return None if layer.grid.crs is None else layer.gsd_m


def _by_layout(folders: Sequence[Path], layout: str) -> dict[str, list[Path]]:
    """Return folders by layout; a folder of such folders is replaced by the folders in it."""
    by_layout: dict[str, list[Path]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"--data {folder} is not a folder. Give the one that holds the pairs.")
        for name, ways in FOLDERS.items():
            if layout not in ("auto", name):
                continue
            holders = [
                inner for inner in [folder, *sorted(folder.iterdir())] if any(_holds(inner, parts) for parts in ways)
            ]
            if holders:
                by_layout.setdefault(name, []).extend(holders)
                break
            if layout == name:
                raise InputError(f"{folder} has no folders {', '.join(ways[0])}, which the layout {name} needs.")
        else:
            by_layout.setdefault("vector", []).append(folder)
    return by_layout


def _holds(folder: Path, parts: Sequence[str]) -> bool:
    return all((folder / part).is_dir() for part in parts)


def _image(folder: Path, stem: str) -> Path:
    for suffix in SUFFIXES:
        if (folder / f"{stem}{suffix}").is_file():
            return folder / f"{stem}{suffix}"
    raise InputError(f"{folder / stem}{SUFFIXES[0]} is missing, but there are labels for it. Fetch the images again.")


@Reading.of_source("Is it the right file? Correct it, or write it again.")
def _xbd_labels(path: Path) -> tuple[np.ndarray, list[str], float | None]:
    """Outlines in pixels, class names and ground size of a pixel of one label file."""
    card = read_json(path)
    try:
        rows: list[dict[str, Any]] = card["features"]["xy"]
        outlines = np.array([_outline(row["wkt"]) for row in rows], dtype=object)
        names = [str(row["properties"].get("subtype", "un-classified")) for row in rows]
        size = card.get("metadata", {}).get("gsd")
    except (KeyError, TypeError, AttributeError, shapely.errors.GEOSException) as error:
        raise InputError(
            f"{path} is not an xBD label file: {error!r}. Expected features.xy, each with `wkt` and `properties.subtype`."
        ) from error
    if size is not None and not (_is_number(size) and 0 < size < math.inf):
        raise InputError(f"{path} has metadata.gsd = {size!r}, expected metres above 0. Correct it, or leave it out.")
    return outlines, names, None if size is None else float(size)


def _outline(wkt: Any) -> shapely.Geometry:
    """Return the area that a text describes. Raises TypeError for other values, GEOSException."""
    if not isinstance(wkt, str):
        raise TypeError(f"wkt is {type(wkt).__name__}")
    return shapely.from_wkt(wkt)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _graded(names: Sequence[str]) -> tuple[np.ndarray, dict[str, int]]:
    """Return the grades of one image, whose buildings may all be un-classified."""
    try:
        return grades_of(names, "")
    except LabelError:
        return np.full(len(names), VOID, np.uint8), dict(Counter(names))


def _open(pre: Path, post: Path) -> Scene:
    first, second = (
        IMAGE.check(Layer.open(source), Door.of_image(role)).report().as_shown()
        for role, source in ((PRE, pre), (POST, post))
    )
    if first.shape != second.shape:
        raise _size_error(str(post), second.shape, first)
    return make_scene(first, second)


def _size_error(path: str, shape: tuple[int, int], other: Layer) -> InputError:
    return InputError(
        f"{path} has {shape} pixels and {other.source} {other.shape}, expected the same. "
        "Fetch both again, or resample one."
    )


def _event(stem: str) -> str:
    return re.sub(r"_\d+$", "", stem)


def _log_counts(pairs: Sequence[LabelledPair], read: int) -> None:
    counts = np.sum([np.bincount(pair.grades, minlength=256)[:4] for pair in pairs], axis=0)
    ignored = sum((Counter(pair.ignored) for pair in pairs), Counter[str]())
    by_grade = ", ".join(f"{count} {name}" for count, name in zip(counts, Legend.load(LEGEND).names, strict=True))
    log.info("%d pairs with buildings of %d: %s; ignored: %s", len(pairs), read, by_grade, dict(ignored) or "none")
