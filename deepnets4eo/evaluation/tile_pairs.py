"""Tiles of two folders paired by their names.

Takes a folder of predictions and one of references; returns pairs of files.
Refuses references without a prediction, or with several of equal fit, and predictions that would be counted twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import shapely

from deepnets4eo.display.summary import list_names
from deepnets4eo.errors import InputError
from deepnets4eo.grid import projected_extent
from deepnets4eo.rasters.scene import Layer

MOST_COMMON = (
    1e-3  # share of a reference that another may cover: edges of tiles are rounded, more so between projections
)
ENDINGS = {".tif", ".tiff", ".png", ".jpg", ".jpeg", ".vrt"}


def pair_tiles(predictions: str | Path, references: str | Path) -> list[tuple[Path, Path]]:
    """Returns (prediction, reference) of two folders by name: `area5.tif` fits `area5_noBoundary.tif` and the reverse.

    One prediction may have several references where they are parts of its map: all have a CRS, and they do not overlap.

    Raises InputError for a reference without a prediction, or with several, and for a prediction with several references
    otherwise.
    """
    stems = {path: _words(path) for path in _rasters(Path(predictions))}
    pairs = []
    for reference in _rasters(Path(references)):
        words = _words(reference)
        lengths = {path: _common_words(words, other) for path, other in stems.items()}
        best = [path for path, length in lengths.items() if length and length == max(lengths.values())]
        if len(best) != 1:
            names = ", ".join(path.name for path in best) or "none"
            raise InputError(
                f"{reference.name} needs one prediction in {predictions}, found {names}. "
                "Give both the same name, or the longer one the shorter one's name as its beginning."
            )
        pairs.append((best[0], reference))
    if not pairs:
        raise InputError(f"{references} holds no rasters (tif, png, jpg, vrt). Name the folder of the reference tiles.")
    _check_counted_once(pairs)
    return pairs


def _check_counted_once(pairs: Sequence[tuple[Path, Path]]) -> None:
    references: dict[Path, list[Path]] = {}
    for prediction, reference in pairs:
        references.setdefault(prediction, []).append(reference)
    for prediction, several in references.items():
        if len(several) > 1 and not _are_parts(prediction, several):
            names = list_names([path.name for path in several])
            raise InputError(
                f"{prediction} fits several references in {several[0].parent}: {names}; expected one, or parts of its map that "
                "do not overlap, all with a CRS. Keep one reference of each prediction in the folder, e.g. either the full "
                "or the eroded ones, and give the others predictions of their own."
            )


def _are_parts(prediction: Path, references: Sequence[Path]) -> bool:
    """Whether the references lie beside each other, by their CRSs and that of the prediction."""
    grids = [Layer.open(path, labels=True).grid for path in (*references, prediction)]
    crs = grids[0].crs
    if crs is None or any(grid.crs is None for grid in grids):
        return False
    extents = [projected_extent(grid.extent, crs) for grid in grids[:-1]]
    shapes = np.array([extent.geom for extent in extents if extent is not None])
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    first, second = first[first < second], second[first < second]
    smaller = np.minimum(shapely.area(shapes[first]), shapely.area(shapes[second]))
    common = shapely.area(shapely.intersection(shapes[first], shapes[second]))
    return len(shapes) == len(references) and not (common > MOST_COMMON * smaller).any()


def _rasters(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder, but the other one is. Give two rasters or two folders of tiles.")
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in ENDINGS)


def _words(path: Path) -> list[str]:
    return re.split(r"[_\-. ]+", path.stem.lower())


def _common_words(words: list[str], other: list[str]) -> int:
    """Returns how many words two names share where one begins with the other, else 0."""
    length = min(len(words), len(other))
    return length if words[:length] == other[:length] else 0
