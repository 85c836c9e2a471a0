"""What a job that labels points has finished, in its scratch folder: sorted tiles, labels, and the job they belong to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.files import plain, read_json, write_json, writing
from deepnets4eo.jobs.identity import file_identity, layer_identity
from deepnets4eo.points.codes import has_asprs_noise
from deepnets4eo.points.colourise import Orthophoto
from deepnets4eo.points.files import CloudFile
from deepnets4eo.points.labeller import PointLabeller, run_digest
from deepnets4eo.points.tiles import TiledPoints
from deepnets4eo.version import code_version

JOB, LABELS, FINISHED = "job.json", "labels.npy", "finished.txt"


class LabelProgress:
    """The scratch folder of a job that labels the points of a file, with neighbours whose points count in halos and an
    orthophoto for colours."""

    def __init__(
        self,
        folder: Path,
        file: CloudFile,
        labeller: PointLabeller,
        neighbours: Sequence[CloudFile] = (),
        orthophoto: Orthophoto | None = None,
    ) -> None:
        self._folder, self._file = folder, file
        self._asprs = file.asprs and has_asprs_noise(labeller.legend)
        self._job = plain(
            {
                "version": code_version(),
                "file": _identity(file),
                "labeller": _describe(labeller),
                "neighbours": [_identity(one) for one in neighbours],
                "orthophoto": None if orthophoto is None else _describe_orthophoto(orthophoto),
            }
        )
        self.tile_folder = folder / "tiles"
        if (folder / FINISHED).is_file():
            _cut_after_last_line(folder / FINISHED)

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
        return frozenset(number for number, _ in self._finished())

    @property
    def without_colour(self) -> int:
        """Points of the labelled tiles that have no colour, as they lie beyond the orthophoto."""
        return sum(without for _, without in self._finished())

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
        return TiledPoints(self.tile_folder, self._file.crs, str(self._file.path), asprs=self._asprs)

    def store(self, index: NDArray[np.uint64], labels: NDArray[np.uint8]) -> None:
        """Keeps the labels (n, 4) of the points at an index (n,) of the file."""
        with writing(self._folder):
            stored = np.load(self._folder / LABELS, mmap_mode="r+")
            stored.view(np.uint32)[index, 0] = np.ascontiguousarray(labels).view(np.uint32)[:, 0]

    def finish(self, number: int, without_colour: int = 0) -> None:
        """Notes that a tile is labelled, and how many of its points have no colour."""
        with writing(self._folder), (self._folder / FINISHED).open("a", encoding="ascii") as file:
            file.write(f"{number} {without_colour}\n")

    def labels(self) -> NDArray[np.uint8]:
        """Returns the labels (N, 4) in the file's order, read from disk where they are used."""
        labels: NDArray[np.uint8] = np.load(self._folder / LABELS, mmap_mode="r")
        return labels

    def _finished(self) -> list[tuple[int, int]]:
        """Returns number and points without colour of each labelled tile."""
        path = self._folder / FINISHED
        lines = path.read_text(encoding="ascii").splitlines() if path.is_file() else []
        return [(int(number), int(without)) for number, without in (line.split() for line in lines)]


def _cut_after_last_line(path: Path) -> None:
    """Removes a last line that was cut off, as by a full disk: the next one would be written behind it."""
    os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


def _identity(file: CloudFile) -> list[Any]:
    return [*file_identity(str(file.path)), str(file.given_crs)]


def _describe(labeller: PointLabeller) -> list[Any]:
    """Returns what distinguishes labellers: for runs what training wrote, for rules their options."""
    options = {
        name: value.model_dump()
        for name, value in getattr(labeller, "__dict__", {}).items()
        if isinstance(value, BaseModel)
    }
    about = [labeller.legend.to_dict(), labeller.halo_m, list(labeller.needs)]
    return [type(labeller).__name__, run_digest(labeller), options, *about]


def _describe_orthophoto(orthophoto: Orthophoto) -> list[Any]:
    return [orthophoto.all_returns, *map(layer_identity, orthophoto.layers)]
