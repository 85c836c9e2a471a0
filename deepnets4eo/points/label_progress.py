"""What a job that labels points has finished, in its scratch folder: sorted tiles, labels, and the journal of both."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from deepnets4eo.files import writing
from deepnets4eo.jobs.identity import file_identity, identity_hash, layer_identity
from deepnets4eo.jobs.journal import Journal
from deepnets4eo.points.cloud import has_asprs_noise
from deepnets4eo.points.colourise import Orthophoto
from deepnets4eo.points.files import CloudFile
from deepnets4eo.points.labeller import PointLabeller, run_digest
from deepnets4eo.points.tiles import TiledPoints

LABELS = "labels.npy"
SORTED = "sorted"  # the block that says that all points are sorted
WITHOUT_COLOUR = "without_colour"


class LabelProgress:
    """The scratch folder of a job that labels the points of a file, with neighbours whose points count in halos and an
    orthophoto for colours."""

    def __init__(
        self,
        scratch: Path,
        file: CloudFile,
        labeller: PointLabeller,
        neighbours: Sequence[CloudFile] = (),
        orthophoto: Orthophoto | None = None,
    ) -> None:
        self._scratch, self._file = scratch, file
        self._asprs = file.asprs and has_asprs_noise(labeller.legend)
        self._folder = scratch / identity_hash(
            _identity(file),
            _describe(labeller),
            [_identity(one) for one in neighbours],
            None if orthophoto is None else _describe_orthophoto(orthophoto),
        )
        self.tile_folder = self._folder / "tiles"
        self._journal = Journal(self._folder)
        self._labelled = self._journal.tiles("labelled")

    @property
    def is_sorted(self) -> bool:
        """Whether the points of this very job are sorted in tiles."""
        return self._journal.get(SORTED) is not None

    @property
    def labelled_tiles(self) -> frozenset[int]:
        """Numbers of the tiles that are labelled."""
        return frozenset(self._finished())

    @property
    def without_colour(self) -> int:
        """Points of the labelled tiles that have no colour, as they lie beyond the orthophoto."""
        return sum(self._finished().values())

    def clear(self) -> None:
        """Removes what there is, of other jobs as well."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def begin(self) -> None:
        """Makes room for the labels of a job whose points are sorted."""
        with writing(self._folder):
            shape = (self._file.point_count, 4)
            labels = np.lib.format.open_memmap(self._folder / LABELS, mode="w+", dtype=np.uint8, shape=shape)
            labels[:, 0] = 255
            labels.flush()
        self._journal.put(SORTED, {})

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
        self._labelled.put(str(number), {WITHOUT_COLOUR: np.array(without_colour)})

    def labels(self) -> NDArray[np.uint8]:
        """Returns the labels (N, 4) in the file's order, read from disk where they are used."""
        labels: NDArray[np.uint8] = np.load(self._folder / LABELS, mmap_mode="r")
        return labels

    def _finished(self) -> dict[int, int]:
        """Returns the points without colour of each labelled tile, by its number."""
        kept = {int(name): self._labelled.get(name) for name in self._labelled.names()}
        return {number: int(arrays[WITHOUT_COLOUR]) for number, arrays in kept.items() if arrays is not None}


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
