"""What a job that labels points has finished, in its scratch folder: sorted tiles, labels, and the job they belong to."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.files import plain, read_json, write_json, writing
from deepnets4eo.points.files import CloudFile
from deepnets4eo.points.labeller import PointLabeller
from deepnets4eo.points.tiles import TiledPoints

JOB, LABELS, FINISHED = "job.json", "labels.npy", "finished.txt"


class LabelProgress:
    """The scratch folder of a job.

    Parameters
    ----------
    folder
        Where the job keeps what it has finished.
    file
        The points that are labelled.
    labeller
        What labels them.
    neighbours
        Files whose points count in halos.
    """

    def __init__(self, folder: Path, file: CloudFile, labeller: PointLabeller, neighbours: Sequence[CloudFile]) -> None:
        self._folder, self._file = folder, file
        self._job = plain({"file": _identity(file), "labeller": _describe(labeller), "neighbours": [_identity(one) for one in neighbours]})  # fmt: skip
        self.tile_folder = folder / "tiles"

    @property
    def is_sorted(self) -> bool:
        """Whether the points of this very job are sorted in tiles."""
        try:
            return bool(read_json(self._folder / JOB) == self._job)
        except DeepNets4EOError:  # there is none, or it was cut off
            return False

    @property
    def labelled_tiles(self) -> frozenset[int]:
        """Numbers of the tiles that are labelled."""
        path = self._folder / FINISHED
        words = path.read_text(encoding="ascii").split("\n")[:-1] if path.is_file() else []
        return frozenset(int(word) for word in words)

    def clear(self) -> None:
        """Removes what there is."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def begin(self) -> None:
        """Makes room for the labels of a job whose points are sorted."""
        with writing(self._folder):
            shape = (self._file.point_count, 4)
            labels = np.lib.format.open_memmap(self._folder / LABELS, mode="w+", dtype=np.uint8, shape=shape)
            labels[:, 0] = 255
            labels.flush()
            write_json(self._folder / JOB, self._job)

    def open_tiles(self) -> TiledPoints:
        """Returns the sorted points."""
        return TiledPoints(self.tile_folder, self._file.crs, str(self._file.path))

    def store(self, index: NDArray[np.uint64], labels: NDArray[np.uint8]) -> None:
        """Keeps the labels (n, 4) of the points at an index (n,) of the file."""
        with writing(self._folder):
            stored = np.load(self._folder / LABELS, mmap_mode="r+")
            stored.view(np.uint32)[index, 0] = np.ascontiguousarray(labels).view(np.uint32)[:, 0]

    def finish(self, number: int) -> None:
        """Notes that a tile is labelled."""
        with writing(self._folder), (self._folder / FINISHED).open("a", encoding="ascii") as file:
            file.write(f"{number}\n")

    def labels(self) -> NDArray[np.uint8]:
        """Returns the labels (N, 4) in the file's order, read from disk where they are used."""
        labels: NDArray[np.uint8] = np.load(self._folder / LABELS, mmap_mode="r")
        return labels


def _identity(file: CloudFile) -> list[Any]:
    status = file.path.stat()
    return [str(file.path.resolve()), status.st_size, status.st_mtime_ns, str(file.given_crs)]


def _describe(labeller: PointLabeller) -> list[Any]:
    """Returns what distinguishes labellers; those of runs name their folder in `source`."""
    source = str(getattr(labeller, "source", ""))
    return [type(labeller).__name__, source, labeller.legend.to_dict(), labeller.halo_m, list(labeller.needs)]
