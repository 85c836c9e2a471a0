"""Points of a file, and of its neighbours, sorted in square tiles on disk, and read again tile by tile with a halo.

A tile with too many points is divided into four.

The halo of a tile has the points within `halo_m` of its square, edges included. A labeller with that reach has the same
scores as without tiles.

Memory: one chunk while sorting, then one tile with its halo. Disk: some 45 bytes a point.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json, write_json, writing
from deepnets4eo.points.cloud import Bounds, PointCloud, within
from deepnets4eo.points.files import CloudFile

NEIGHBOUR = np.iinfo(np.uint64).max  # index of points that belong to another file
MAX_RECORDS = 1_000_000  # that are read at once
MIN_SIDE_M = 0.5  # of tiles that are divided: points that lie on each other cannot be separated
PLAN = "tiles.json"
Records = NDArray[np.void]


class CloudTile(NamedTuple):
    """Square tile of points: its number, west and south edge and side in metres, and the number of points inside."""

    number: int
    x_m: float
    y_m: float
    side_m: float
    points: int

    def bounds(self, margin_m: float = 0.0) -> Bounds:
        """Return the edges of the tile, moved outwards by a margin."""
        return (
            self.x_m - margin_m,
            self.y_m - margin_m,
            self.x_m + self.side_m + margin_m,
            self.y_m + self.side_m + margin_m,
        )


@dataclass(frozen=True)
class TilePoints:
    """Points of a tile, then the points of its halo; `index` (n,) gives the points of the tile in the order of the file."""

    cloud: PointCloud
    index: NDArray[np.uint64]


class TiledPoints:
    """Points that `sort_in_tiles` sorted in a folder, `own_points` of the file itself. Raises InputError without any."""

    def __init__(self, folder: Path, crs: CRS | None, source: str, *, asprs: bool = True) -> None:
        plan = read_json(folder / PLAN)
        self.own_points, self._asprs = int(plan["own_points"]), asprs
        self.tiles = tuple(CloudTile(*tile) for tile in plan["tiles"])
        self._dtype = np.dtype([(name, kind, *map(tuple, shape)) for name, kind, *shape in plan["fields"]])
        self._folder, self._crs, self._source = folder, crs, source
        self._edges = np.array([tile.bounds() for tile in self.tiles]).reshape(-1, 4)

    @property
    def are_there(self) -> bool:
        """Return whether the folder contains all points of every tile."""
        files = [(_path(self._folder, tile.number), tile.points * self._dtype.itemsize) for tile in self.tiles]
        return all(path.is_file() and path.stat().st_size == size for path, size in files)

    def tile(self, number: int) -> CloudTile:
        """Return the tile of a number."""
        return next(tile for tile in self.tiles if tile.number == number)

    def read(self, tile: CloudTile, halo_m: float) -> TilePoints | None:
        """Return the points of a tile and within `halo_m` around it; None if all points of the tile belong to neighbours."""
        records = self._load(tile.number)
        is_own = records["index"] != NEIGHBOUR
        own = records[is_own]
        if not len(own):
            return None
        around = [records[~is_own]]
        box = tile.bounds(halo_m)
        for number in self._touching(box):
            if number != tile.number:
                others = self._load(number)
                around.append(others[within(others["xyz"], box)])
        return TilePoints(self._to_cloud(np.concatenate([own, *around])), own["index"].copy())

    def _touching(self, box: Bounds) -> list[int]:
        edges = self._edges
        hit = (edges[:, 0] <= box[2]) & (edges[:, 2] >= box[0]) & (edges[:, 1] <= box[3]) & (edges[:, 3] >= box[1])
        return [self.tiles[index].number for index in np.flatnonzero(hit)]

    def _load(self, number: int) -> Records:
        return np.fromfile(_path(self._folder, number), self._dtype)

    def _to_cloud(self, records: Records) -> PointCloud:
        names = [name for name in self._dtype.names or () if name not in ("xyz", "index")]
        measured: dict[str, Any] = {name: np.ascontiguousarray(records[name]) for name in names}
        xyz = np.ascontiguousarray(records["xyz"])
        return PointCloud(xyz, crs=self._crs, source=self._source, asprs=self._asprs, **measured)


def sort_in_tiles(
    file: CloudFile, folder: Path, *, most_points: int, halo_m: float = 0.0, neighbours: Sequence[CloudFile] = ()
) -> Iterator[int]:
    """Sort the points of a file, without withheld ones, into tiles of at most `most_points` in an empty folder. Points
    of its neighbours within `halo_m` metres are added.

    Yields the number of points read so far.

    Raises InputError for no points, points too far apart, another CRS, damaged files; OutputError where tiles cannot be
    written.
    """
    file.check_not_empty()
    side_m, low = _side(file, most_points, halo_m), file.bounds[0, :2]
    (x0, y0, _), (x1, y1, _) = file.bounds
    dtype, counts = _record_type(file), dict[tuple[int, int], int]()
    numbers: dict[tuple[int, int], int] = {}
    done = own = 0
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for cloud in file.whole_chunks():
            used = cloud.without_withheld()
            if used is not None:
                index = np.arange(done, done + len(cloud))
                index = index if cloud.withheld is None else index[~cloud.withheld]
                _spill(folder, used, index, low, side_m, dtype, numbers, counts)
                own += len(used)
            done += len(cloud)
            yield done
        box = (x0 - halo_m, y0 - halo_m, x1 + halo_m, y1 + halo_m)
        for neighbour in neighbours:
            _check_crs(file, neighbour)
            if not _touches(neighbour.bounds, box):
                continue
            for cloud in neighbour.chunks():
                near = within(cloud.xyz, box)
                if near.any():
                    _spill(folder, cloud.subset(near), None, low, side_m, dtype, numbers, counts)
        tiles = [
            CloudTile(number, float(low[0]) + col * side_m, float(low[1]) + row * side_m, side_m, counts[col, row])
            for (col, row), number in numbers.items()
        ]
        tiles = _divide(folder, tiles, dtype, most_points)
        plan = {"tiles": [list(tile) for tile in tiles], "fields": dtype.descr, "own_points": own}
        write_json(folder / PLAN, plan)


def _side(file: CloudFile, most_points: int, halo_m: float) -> float:
    """Return the side in metres of tiles that would contain half of `most_points` if points were evenly distributed."""
    file.check_extent()
    width, height = np.ptp(file.bounds, axis=0)[:2]
    area = max(width, 1.0) * max(height, 1.0)
    side = float(np.sqrt(area * most_points / 2 / max(file.point_count, 1)))
    longest = np.floor(max(width, height)) + 1.0  # points on the far edge belong to the same tile
    return float(max(np.ceil(min(side, longest)), halo_m, 1.0))


def _record_type(file: CloudFile) -> np.dtype[Any]:
    known: dict[str, tuple[Any, ...]] = {"colour": (np.uint8, (3,)), "intensity": (np.float32,)}
    measured = [(name, *known.get(name, (np.uint8,))) for name in file.measurements]
    return np.dtype([("xyz", np.float64, (3,)), ("index", np.uint64), *measured])


def _spill(
    folder: Path,
    cloud: PointCloud,
    index: NDArray[np.int64] | None,
    low: NDArray[np.float64],
    side_m: float,
    dtype: np.dtype[Any],
    numbers: dict[tuple[int, int], int],
    counts: dict[tuple[int, int], int],
) -> None:
    """Append points to the files of their tiles, counted from `low`; index : (N,), None for neighbours."""
    records = np.zeros(len(cloud), dtype)
    records["xyz"] = cloud.xyz
    records["index"] = NEIGHBOUR if index is None else index
    for name, values in cloud.measurements().items():
        if name in (dtype.names or ()):
            records[name] = values
    cells = np.floor((cloud.xyz[:, :2] - low) / side_m).astype(np.int64)
    for cell, group in _groups(records, cells):
        number = numbers.setdefault(cell, len(numbers))
        counts[cell] = counts.get(cell, 0) + len(group)
        with _path(folder, number).open("ab") as file:
            group.tofile(file)


def _groups(records: Records, cells: NDArray[np.int64]) -> Iterator[tuple[tuple[int, int], Records]]:
    """Yield the records of each cell; cells : (N, 2) column and row."""
    low = cells.min(axis=0)
    rows = int(cells[:, 1].max() - low[1]) + 1
    keys = (cells[:, 0] - low[0]) * rows + (cells[:, 1] - low[1])
    if keys.max() < 1 << 16:
        keys = keys.astype(np.uint16)  # NumPy sorts 16 bit by radix, ten times as fast
    order = np.argsort(keys, kind="stable")
    in_order = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], in_order[1:] != in_order[:-1]]))
    records = records[order]
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        col, row = cells[order[start]]
        yield (int(col), int(row)), records[start:stop]


def _divide(folder: Path, tiles: list[CloudTile], dtype: np.dtype[Any], most_points: int) -> list[CloudTile]:
    """Return the tiles by row, divided in four until each has at most `most_points` points or the smallest side."""
    finished, waiting, number = [], list(tiles), len(tiles)
    while waiting:
        tile = waiting.pop()
        if tile.points <= most_points or tile.side_m <= MIN_SIDE_M:
            finished.append(tile)
            continue
        half, path = tile.side_m / 2, _path(folder, tile.number)
        counts = dict.fromkeys(((0, 0), (0, 1), (1, 0), (1, 1)), 0)
        numbers = {cell: number + offset for offset, cell in enumerate(counts)}
        number += len(counts)
        with path.open("rb") as file:
            while len(records := np.fromfile(file, dtype, MAX_RECORDS)):
                cells = (records["xyz"][:, :2] >= (tile.x_m + half, tile.y_m + half)).astype(np.int64)
                for cell, group in _groups(records, cells):
                    counts[cell] += len(group)
                    with _path(folder, numbers[cell]).open("ab") as part:
                        group.tofile(part)
        path.unlink()
        waiting += [
            CloudTile(numbers[col, row], tile.x_m + col * half, tile.y_m + row * half, half, count)
            for (col, row), count in counts.items()
            if count
        ]
    return sorted(finished, key=lambda tile: (tile.y_m, tile.x_m))


def _check_crs(file: CloudFile, neighbour: CloudFile) -> None:
    if file.crs is not None and neighbour.crs is not None and file.crs != neighbour.crs:
        raise InputError(
            f"{neighbour.path} has the CRS {neighbour.crs.name}, {file.path} has {file.crs.name}. "
            "Expected one CRS for a file and its neighbours: reproject one of them."
        )


def _touches(bounds: NDArray[np.float64], box: Bounds) -> bool:
    """Return whether bounds (2, 3) and a box have a point in common."""
    return bool((bounds[0, :2] <= box[2:]).all() and (bounds[1, :2] >= box[:2]).all())


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number}.points"
