"""Ground that several scenes of a training share, by their location and by the bytes of their files.

Measures how much of the shared ground is both learnt from and validated on. Scenes without a location are compared only by their
bytes; synthetic scenes have no location.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices
from deepnets4eo.errors import GridError
from deepnets4eo.files import sha256
from deepnets4eo.grid import Grid, apply_affine, projected_extent, transformer
from deepnets4eo.rasters import Scene
from deepnets4eo.tiling import spread_indices

log = logging.getLogger(__name__)

WGS84 = "EPSG:4326"
MIN_SHARE = 0.01  # of the smaller footprint: less is an edge
FAR = 10.0  # times their own width from the origin: what has no CRS lies somewhere all the same
SAMPLES_ALONG = 64  # of the pixels of a scene, along each side
MAX_OTHERS = 16  # scenes that one is compared with: more lie there only where all have one false place
MAX_LOOKED_AT = 200  # scenes whose ground is counted
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
    members: dict[bytes, list[int]] = {}
    for number, shape in shapes.items():
        if shape is not None:
            members.setdefault(shapely.to_wkb(shape), []).append(number)
    if not members:
        return []
    outlines, same = np.array([shapes[numbers[0]] for numbers in members.values()], object), list(members.values())
    left, right = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    left, right = left[left < right], right[left < right]
    areas = shapely.area(outlines)
    shared = shapely.area(shapely.intersection(outlines[left], outlines[right]))
    enough = shared >= MIN_SHARE * np.minimum(areas[left], areas[right])
    pairs = {pair for numbers in same for pair in _pairs_within(numbers)}
    for group, other in zip(left[enough].tolist(), right[enough].tolist(), strict=True):
        pairs |= {(a, b) for a in same[group][:MAX_OTHERS] for b in same[other][:MAX_OTHERS]}
    return sorted((min(pair), max(pair)) for pair in pairs)


def _pairs_within(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """All pairs of a few numbers, of many each with the next ones."""
    for index, number in enumerate(numbers):
        yield from ((number, other) for other in numbers[index + 1 : index + 1 + MAX_OTHERS])


def ground_groups(scenes: Sequence[Any]) -> list[int]:
    """For each scene the first one of its group: scenes that show the same ground, or are linked by others that do."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(scenes)
    pairs = np.array([*enumerate(twins_of(scenes)), *overlapping_pairs(scenes)], np.int64).reshape(-1, 2)
    _, group = connected_components(coo_array((np.ones(len(pairs)), pairs.T), (count, count)), directed=False)
    first = np.unique(group, return_index=True)[1]
    return [int(first[number]) for number in group]


def learnt_share(scenes: Sequence[Any], splits: Sequence[Any], train: str, val: str) -> float:
    """Return the share of the validated ground that is learnt from in another scene.

    It is estimated from 4,096 positions in each of at most 200 scenes."""
    twins = twins_of(scenes)
    others = defaultdict[int, list[int]](list)
    for first, other in {*overlapping_pairs(scenes), *_same_twins(twins)}:
        others[first].append(other)
        others[other].append(first)
    areas = {number: float(split.area(val)) for number, split in enumerate(splits) if val in split.parts}
    shared = sorted(number for number in areas if others[number] and areas[number])
    if not shared:
        return 0.0
    looked_at = [shared[index] for index in spread_indices(len(shared), MAX_LOOKED_AT)]
    learnt = sum(
        areas[number] * _learnt_of(number, others[number], scenes, splits, twins, (train, val)) for number in looked_at
    )
    seen = sum(areas[number] for number in looked_at)
    return learnt / seen * sum(areas[number] for number in shared) / sum(areas.values())


def _learnt_of(
    number: int,
    others: Sequence[int],
    scenes: Sequence[Any],
    splits: Sequence[Any],
    twins: Sequence[int],
    parts: tuple[str, str],
) -> float:
    """Return the share of a scene's validation pixels that the training sees through other scenes of the same ground."""
    grid, (train, val) = scenes[number].grid, parts
    pixels = _spread_pixels(grid)
    pixels = pixels[splits[number].contains(val, pixels)]
    if not len(pixels):
        return 0.0
    known = np.zeros(len(pixels), bool)
    for index in spread_indices(len(others), MAX_OTHERS):
        other = others[index]
        theirs = pixels if twins[number] == twins[other] else _pixels_on(grid, scenes[other].grid, pixels)
        inside = ((theirs >= 0) & (theirs < np.array(scenes[other].grid.shape))).all(axis=1)
        known[inside] |= splits[other].contains(train, theirs[inside])
    return float(known.mean())


def _same_twins(twins: Sequence[int]) -> set[tuple[int, int]]:
    """Pairs of scenes that are both twins of a third one."""
    members = defaultdict[int, list[int]](list)
    for number, first in enumerate(twins):
        members[first].append(number)
    return {pair for numbers in members.values() for pair in _pairs_within(numbers)}


def _files_of(named: Any) -> list[Path]:
    """Return the files of a scene that are learnt from; empty if one of the sources is no file."""
    sources = getattr(named, "sources", None)
    if sources is None:
        cloud = getattr(named, "file", None)
        sources = {} if cloud is None else {"points": str(cloud.path)}
    paths = [Path(path) for layer, path in sorted(sources.items()) if layer != Scene.label_layer]
    return paths if all(path.is_file() for path in paths) else []


def _look(path: Path) -> tuple[int, bytes]:
    """Return the size of a file, and a digest of its beginning, middle and end."""
    size, digest = path.stat().st_size, hashlib.sha256()
    with path.open("rb") as file:
        for start in sorted({0, max(0, size // 2), max(0, size - PIECE_BYTES)}):
            file.seek(start, os.SEEK_SET)
            digest.update(file.read(PIECE_BYTES))
    return size, digest.digest()


def _lies_somewhere(named: Any) -> bool:
    """Return whether a scene has a location: a CRS, or coordinates far from the origin, and is not synthetic."""
    if _is_made_up(named):
        return False
    if named.grid.crs is not None:
        return True
    x, y = _corners(named.grid).T
    width = max(np.ptp(x), np.ptp(y))
    return bool(np.abs(x).min() > FAR * width or np.abs(y).min() > FAR * width)


def _is_made_up(named: Any) -> bool:
    """Return whether a scene is synthetic; a scene that states so itself is not opened for this."""
    holders = (
        named,
        *(
            getattr(named, name)
            for name in ("scene", "file")
            if not hasattr(named, "synthetic") and hasattr(named, name)
        ),
    )
    return any(getattr(holder, "synthetic", False) for holder in holders)


def _corners(grid: Grid) -> NDArray[np.float64]:
    height, width = grid.shape
    return apply_affine(grid.affine, np.array([(0, 0), (width, 0), (width, height), (0, height)], float))


def _footprint(grid: Grid, *, in_degrees: bool) -> Any:
    """Return the outline of a grid, in its own CRS or in degrees; None if it has no outline in degrees."""
    if not in_degrees:
        return shapely.make_valid(shapely.Polygon(_corners(grid)))
    try:
        extent = projected_extent(grid.extent, WGS84)  # type: ignore[arg-type]
    except GridError:
        return None
    return None if extent is None else shapely.make_valid(extent.geom)


def _spread_pixels(grid: Grid) -> Indices:
    """Return (N, 2) rows and columns spread evenly over a grid."""
    rows, cols = (
        np.unique(((np.arange(SAMPLES_ALONG) + 0.5) * side / SAMPLES_ALONG).astype(np.int64)) for side in grid.shape
    )
    return np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)


def _pixels_on(grid: Grid, other: Grid, pixels: Indices) -> Indices:
    """Convert pixels (N, 2) of a grid to pixels of another grid."""
    positions = apply_affine(grid.affine, pixels[:, ::-1].astype(np.float64) + 0.5)
    if grid.crs is not None and other.crs is not None and grid.crs != other.crs:
        positions = np.column_stack(transformer(grid.crs.proj, other.crs.proj).transform(*positions.T))
    at = apply_affine(~other.affine, positions)[:, ::-1]
    return np.floor(np.nan_to_num(at, nan=-1.0, posinf=-1.0, neginf=-1.0)).astype(np.int64)
