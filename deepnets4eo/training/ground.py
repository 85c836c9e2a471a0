"""Which scenes of a training show the same ground, by where they lie and by the bytes of their files; and how much of it is learnt from and validated on.

Scenes without a place are compared by their bytes alone; made-up ones lie nowhere.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices
from deepnets4eo.errors import GridError
from deepnets4eo.files import sha256
from deepnets4eo.grid import Grid, apply_affine, projected_extent, transformer
from deepnets4eo.rasters.scene import LABELS

log = logging.getLogger(__name__)

WGS84 = "EPSG:4326"
LEAST_SHARE = 0.01  # of the smaller footprint: less is an edge
FAR = 10.0  # times their own width from the origin: what has no CRS lies somewhere all the same
SAMPLES_ALONG = 64  # of the pixels of a scene, along each side
PIECE_BYTES = 1 << 16


def twins_of(scenes: Sequence[Any]) -> list[int]:
    """For each scene the first one whose files (all but labels) have the same bytes: itself, or one under another name."""
    files = [_files_of(named) for named in scenes]
    first: dict[tuple[Any, ...], int] = {}
    likely: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for number, paths in enumerate(files):
        likely[tuple(map(_look, paths)) if paths else (number,)].append(number)
    twins = list(range(len(scenes)))
    for numbers in likely.values():
        for number in numbers if len(numbers) > 1 else ():
            twins[number] = first.setdefault(tuple(map(sha256, files[number])), number)
    return twins


def overlapping_pairs(scenes: Sequence[Any]) -> list[tuple[int, int]]:
    """Pairs of scenes whose footprints share 1 % and more of the smaller one."""
    grids = [(number, named.grid) for number, named in enumerate(scenes) if _lies_somewhere(named)]
    systems = {grid.crs for _, grid in grids}
    if len(systems) > 1:
        grids = [(number, grid) for number, grid in grids if grid.crs is not None]
    shapes = {number: _footprint(grid, in_degrees=len(systems) > 1) for number, grid in grids}
    numbers = [number for number, shape in shapes.items() if shape is not None]
    if len(numbers) < 2:
        return []
    outlines = np.array([shapes[number] for number in numbers], object)
    left, right = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    left, right = left[left < right], right[left < right]
    areas = shapely.area(outlines)
    shared = shapely.area(shapely.intersection(outlines[left], outlines[right]))
    enough = shared >= LEAST_SHARE * np.minimum(areas[left], areas[right])
    pairs = zip(left[enough].tolist(), right[enough].tolist(), strict=True)
    return sorted((min(numbers[a], numbers[b]), max(numbers[a], numbers[b])) for a, b in pairs)


def ground_groups(scenes: Sequence[Any]) -> list[int]:
    """For each scene the first one of its group: scenes that show the same ground, or are linked by others that do."""
    group = twins_of(scenes)
    for one, other in overlapping_pairs(scenes):
        joined, moved = sorted((group[one], group[other]))
        group = [joined if of_scene == moved else of_scene for of_scene in group] if joined != moved else group
    return group


def learnt_share(scenes: Sequence[Any], splits: Sequence[Any], train: str, val: str) -> float:
    """The share of the validated ground that is learnt from in another scene; of 4,096 places a scene."""
    others = defaultdict[int, list[int]](list)
    twins = twins_of(scenes)
    linked = [(first, number) for number, first in enumerate(twins) if first != number]
    for one, other in {*overlapping_pairs(scenes), *linked, *_same_twins(twins)}:
        others[one].append(other)
        others[other].append(one)
    validated, learnt = 0.0, 0.0
    for number, named in enumerate(scenes):
        pixels = _spread_pixels(named.grid)
        pixels = pixels[splits[number].contains(val, pixels)]
        known = np.zeros(len(pixels), bool)
        for other in others[number] if len(pixels) else ():
            at = pixels if twins[number] == twins[other] else _pixels_on(named.grid, scenes[other].grid, pixels)
            inside = ((at >= 0) & (at < np.array(scenes[other].grid.shape))).all(axis=1)
            known[inside] |= splits[other].contains(train, at[inside])
        area = float(np.prod(named.grid.shape)) / max(len(_spread_pixels(named.grid)), 1)
        validated, learnt = validated + area * len(pixels), learnt + area * int(known.sum())
    return learnt / validated if validated else 0.0


def _same_twins(twins: Sequence[int]) -> set[tuple[int, int]]:
    """Pairs of scenes that are both twins of a third one."""
    members = defaultdict[int, list[int]](list)
    for number, first in enumerate(twins):
        members[first].append(number)
    return {(a, b) for numbers in members.values() for a in numbers for b in numbers if a < b}


def _files_of(named: Any) -> list[Path]:
    """The files of a scene that are learnt from; none where one of them is no file."""
    sources = getattr(named, "sources", None)
    if sources is None:
        cloud = getattr(named, "file", None)
        sources = {} if cloud is None else {"points": str(cloud.path)}
    paths = [Path(path) for layer, path in sorted(sources.items()) if layer != LABELS]
    return paths if all(path.is_file() for path in paths) else []


def _look(path: Path) -> tuple[int, bytes]:
    """The size of a file, and a digest of its beginning, middle and end."""
    size, digest = path.stat().st_size, hashlib.sha256()
    with path.open("rb") as file:
        for start in sorted({0, max(0, size // 2), max(0, size - PIECE_BYTES)}):
            file.seek(start, os.SEEK_SET)
            digest.update(file.read(PIECE_BYTES))
    return size, digest.digest()


def _lies_somewhere(named: Any) -> bool:
    """Whether a scene has a place: a CRS, or coordinates far from the origin, and was not made up."""
    made_up = getattr(named, "scene", None) or getattr(named, "file", None)
    if getattr(made_up, "synthetic", False):
        return False
    if named.grid.crs is not None:
        return True
    x, y = _corners(named.grid).T
    width = max(np.ptp(x), np.ptp(y))
    return bool(np.abs(x).min() > FAR * width or np.abs(y).min() > FAR * width)


def _corners(grid: Grid) -> NDArray[np.float64]:
    height, width = grid.shape
    return apply_affine(grid.affine, np.array([(0, 0), (width, 0), (width, height), (0, height)], float))


def _footprint(grid: Grid, *, in_degrees: bool) -> Any:
    """The outline of a grid, in its own CRS or in degrees; None where it has none there."""
    if not in_degrees:
        return shapely.make_valid(shapely.Polygon(_corners(grid)))
    try:
        extent = projected_extent(grid.extent, WGS84)  # type: ignore[arg-type]
    except GridError:
        return None
    return None if extent is None else shapely.make_valid(extent.geom)


def _spread_pixels(grid: Grid) -> Indices:
    """(N, 2) rows and columns spread evenly over a grid."""
    rows, cols = (
        np.unique(((np.arange(SAMPLES_ALONG) + 0.5) * side / SAMPLES_ALONG).astype(np.int64)) for side in grid.shape
    )
    return np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)


def _pixels_on(grid: Grid, other: Grid, pixels: Indices) -> Indices:
    """Pixels (N, 2) of a grid as those of another one."""
    positions = apply_affine(grid.affine, pixels[:, ::-1].astype(np.float64) + 0.5)
    if grid.crs is not None and other.crs is not None and grid.crs != other.crs:
        positions = np.column_stack(transformer(grid.crs.proj, other.crs.proj).transform(*positions.T))
    at = apply_affine(~other.affine, positions)[:, ::-1]
    return np.floor(np.nan_to_num(at, nan=-1.0, posinf=-1.0, neginf=-1.0)).astype(np.int64)
