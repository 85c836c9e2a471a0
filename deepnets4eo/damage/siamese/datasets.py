"""Folders of labelled pairs in three layouts, read as one kind of pair.

Takes folders as published (xBD, BRIGHT) or images with a labelled vector file; reads labels at once, images when
needed. Refuses folders of no known layout, labels without their images, and labels that cannot be read.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.damage.siamese.pairs import LEGEND, LabelledPair, grades_of, make_scene
from deepnets4eo.damage.siamese.recipe import PairSection
from deepnets4eo.damage.siamese.vector import read_vector
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.files import read_json
from deepnets4eo.grid import mean_gsd_m
from deepnets4eo.rasters.scene import Layer, Scene

log = logging.getLogger(__name__)

XBD, BRIGHT = ("images", "labels"), ("pre-event", "post-event", "target")
SMALLEST_PX = 9  # connected pixels of a mask that count as a building
SUFFIXES = (".png", ".tif", ".tiff", ".jpg")


def read_pairs(data: PairSection, seed: int = 0) -> list[LabelledPair]:
    """Read all pairs of the recipe's folders that show a building.

    Parameters
    ----------
    data
        Folders and their layout.
    seed
        The seed of the registration, in the layout "vector".

    Returns
    -------
    Pairs, sorted by name; labels are read, images opened when they are used.

    Raises
    ------
    InputError
        For folders, images or labels that are missing or not as the layout has them.

    Examples
    --------
    ```python
    pairs = read_pairs(PairSection(folders=("xbd/train",)))
    ```
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
            f"the folders {', '.join(data.folders)} hold {len(labelled)} pairs, none of them with a building."
        )
    _log_counts(pairs, len(labelled))
    return pairs


def read_xbd(folder: Path) -> Iterator[LabelledPair]:
    """Pairs of a folder with images/*_{pre,post}_disaster.png and labels/*_post_disaster.json; targets are not needed.

    Buildings marked un-classified are ignored.
    """
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
    """Pairs of a folder with pre-event/, post-event/ and target/*_building_damage.tif.

    Connected pixels of one class are a building: intact, damaged and destroyed become no-damage, major-damage and
    destroyed, as the legend "bright" says. A radar image of one band is repeated to the bands of the optical one.
    """
    targets = sorted((folder / "target").glob("*_building_damage.tif"))
    if not targets:
        raise InputError(f"{folder / 'target'} has no *_building_damage.tif, expected the target masks of BRIGHT.")
    for path in targets:
        stem = path.name.removesuffix("_building_damage.tif")
        pre = _image(folder / "pre-event", f"{stem}_pre_disaster")
        post = _image(folder / "post-event", f"{stem}_post_disaster")
        target, grid = Layer.open(path), Layer.open(post).grid
        outlines, grades = components(target)
        gsd = mean_gsd_m(grid) if grid.crs is not None else None
        pair = LabelledPair.of(stem, partial(_open, pre, post), outlines, grades, event=_event(stem), gsd_m=gsd)
        if pair.shape != target.shape:
            raise _size_error(str(post), pair.shape, target)
        yield pair


def components(target: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Buildings of a mask in the legend "bright": outlines (N,) in pixels along their pixels' edges, grades (N,)."""
    from rasterio.features import shapes

    bright = Legend.load("bright")
    values, valid = target.read()
    bright.check(values[0][valid], target.source)
    to_grade = bright.remap_to(Legend.load(LEGEND), missing="void")
    grades = np.where(valid, to_grade[values[0]], np.uint8(VOID))
    regions = [(shapely.geometry.shape(outline), int(value)) for outline, value in shapes(grades, mask=grades != VOID)]
    large = [(outline, value) for outline, value in regions if outline.area >= SMALLEST_PX]
    outlines = np.array([outline for outline, _ in large], dtype=object)
    return outlines, np.array([value for _, value in large], np.uint8)


def _by_layout(folders: Sequence[Path], layout: str) -> dict[str, list[Path]]:
    """Folders by layout; a folder of such folders stands for those."""
    by_layout: dict[str, list[Path]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"--data {folder} is not a folder. Give the one that holds the pairs.")
        for name, parts in (("xbd", XBD), ("bright", BRIGHT)):
            if layout not in ("auto", name):
                continue
            holders = [inner for inner in [folder, *sorted(folder.iterdir())] if _holds(inner, parts)]
            if holders:
                by_layout.setdefault(name, []).extend(holders)
                break
            if layout == name:
                raise InputError(f"{folder} has no folders {', '.join(parts)}, which the layout {name} needs.")
        else:
            by_layout.setdefault("vector", []).append(folder)
    return by_layout


def _holds(folder: Path, parts: Sequence[str]) -> bool:
    return all((folder / part).is_dir() for part in parts)


def _image(folder: Path, stem: str) -> Path:
    for suffix in SUFFIXES:
        if (folder / f"{stem}{suffix}").is_file():
            return folder / f"{stem}{suffix}"
    raise InputError(f"{folder / stem}{SUFFIXES[0]} is missing, but there are labels for it. Fetch the images anew.")


def _xbd_labels(path: Path) -> tuple[np.ndarray, list[str], float | None]:
    """Outlines in pixels, class names and ground size of a pixel of one label file."""
    card = read_json(path)
    try:
        rows: list[dict[str, Any]] = card["features"]["xy"]
        outlines = np.array(shapely.from_wkt([row["wkt"] for row in rows]), dtype=object).reshape(-1)
        names = [str(row["properties"].get("subtype", "un-classified")) for row in rows]
        size = card.get("metadata", {}).get("gsd")
    except (KeyError, TypeError, AttributeError, shapely.errors.GEOSException) as error:
        raise InputError(
            f"{path} is not an xBD label file: {error!r}. Expected features.xy, each with `wkt` and `properties.subtype`."
        ) from error
    return outlines, names, None if size is None else float(size)


def _graded(names: Sequence[str]) -> tuple[np.ndarray, dict[str, int]]:
    """Grades of one image, in which all buildings may be un-classified."""
    try:
        return grades_of(names, "")
    except LabelError:
        return np.full(len(names), VOID, np.uint8), dict(Counter(names))


def _open(pre: Path, post: Path) -> Scene:
    first, second = Layer.open(pre).as_shown(), Layer.open(post).as_shown()
    if first.shape != second.shape:
        raise _size_error(str(post), second.shape, first)
    return make_scene(first, second)


def _size_error(path: str, shape: tuple[int, int], other: Layer) -> InputError:
    return InputError(
        f"{path} has {shape} pixels and {other.source} {other.shape}, expected the same. "
        "Fetch both anew, or resample one."
    )


def _event(stem: str) -> str:
    return re.sub(r"_\d+$", "", stem)


def _log_counts(pairs: Sequence[LabelledPair], read: int) -> None:
    counts = np.sum([np.bincount(pair.grades, minlength=256)[:4] for pair in pairs], axis=0)
    ignored = sum((Counter(pair.ignored) for pair in pairs), Counter[str]())
    by_grade = ", ".join(f"{count} {name}" for count, name in zip(counts, Legend.load(LEGEND).names, strict=True))
    log.info("%d pairs with buildings of %d: %s; ignored: %s", len(pairs), read, by_grade, dict(ignored) or "none")
