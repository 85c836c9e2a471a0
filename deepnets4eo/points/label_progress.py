"""Finished work of a labelling of points: sorted tiles, labels of each tile, and labels of all points in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from deepnets4eo.cards import VOID
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError
from deepnets4eo.files import remove, writing
from deepnets4eo.jobs import Arrays, Journal, Scratch
from deepnets4eo.points.cloud import has_asprs_noise
from deepnets4eo.points.colourise import Orthophoto
from deepnets4eo.points.files import CloudFile
from deepnets4eo.points.labeller import LoadedLabeller, PointLabeller, label_tile, load_labeller
from deepnets4eo.points.tiles import TiledPoints

LABELS = "labels.npy"
SORTED = "sorted"  # the block that says that all points are sorted
WITHOUT_COLOUR = "without_colour"


@dataclass(frozen=True)
class TileLabels:
    """Labels the sorted points of a file, tile by tile."""

    tiles: TiledPoints
    labeller: PointLabeller
    orthophoto: Orthophoto | None

    def __call__(self, number: str) -> dict[str, NDArray[Any]]:
        """`index` (n,) of the points of a tile in the file, `labels` (n, 4), and how many are without colour."""
        points = self.tiles.read(self.tiles.tile(int(number)), self.labeller.halo_m)
        if points is None:
            return {"index": np.zeros(0, np.uint64), "labels": np.zeros((0, 4), np.uint8), WITHOUT_COLOUR: np.array(0)}
        cloud, own, without = points.cloud, len(points.index), 0
        if self.orthophoto is not None:
            cloud, without = self.orthophoto.colourise(cloud, own)
        return {
            "index": points.index, "labels": label_tile(self.labeller, cloud, own), WITHOUT_COLOUR: np.array(without)
        }  # fmt: skip


@contextmanager
def open_labels(
    open_tiles: Callable[[], TiledPoints], source: str, orthophoto: Orthophoto | None
) -> Iterator[TileLabels]:
    """In a worker: load the labeller and yield what labels tiles."""
    labeller = load_labeller(source)
    with Compute().torch_settings():
        yield TileLabels(open_tiles(), labeller, orthophoto)


class LabelProgress:
    """The scratch folder of a job."""

    def __init__(
        self,
        scratch: Scratch,
        file: CloudFile,
        labeller: PointLabeller,
        neighbours: Sequence[CloudFile] = (),
        orthophoto: Orthophoto | None = None,
    ) -> None:
        self._scratch, self._file = scratch.folder, file
        self._folder = scratch.of(
            [(file.path, str(file.given_crs)) for file in (file, *neighbours)],
            describe_labeller(labeller),
            None if orthophoto is None else [orthophoto.all_returns, *orthophoto.layers],
        )
        self.tile_folder = self._folder / "tiles"
        asprs = file.asprs and has_asprs_noise(labeller.legend)
        self.open_tiles = partial(TiledPoints, self.tile_folder, file.crs, str(file.path), asprs=asprs)
        self._journal = Journal(self._folder)
        self.labelled_folder, self.without_colour = self._folder / "labelled", 0

    @property
    def is_sorted(self) -> bool:
        """Return whether the points of this job are sorted into tiles that all exist."""
        if self._journal.get(SORTED) is None:
            return False
        try:
            return self.open_tiles().are_there
        except (InputError, ValueError, KeyError, TypeError, AttributeError):  # a plan that was damaged
            return False

    def clear(self) -> None:
        """Remove all finished work, of other jobs as well."""
        with writing(self._scratch):
            remove(self._scratch)

    def begin(self) -> None:
        """Note that the points are sorted."""
        self._journal.put(SORTED, {})

    def begin_labels(self) -> None:
        """Make room for the labels."""
        with writing(self._folder):
            shape = (self._file.point_count, 4)
            labels = np.lib.format.open_memmap(self._folder / LABELS, mode="w+", dtype=np.uint8, shape=shape)
            labels[:, 0] = VOID
            labels.flush()

    def store(self, tile: Arrays) -> None:
        """Store the labels (n, 4) of a tile in the file's order, and count its points without colour."""
        with writing(self._folder):
            stored = np.load(self._folder / LABELS, mmap_mode="r+")
            stored.view(np.uint32)[tile["index"], 0] = np.ascontiguousarray(tile["labels"]).view(np.uint32)[:, 0]
        self.without_colour += int(tile[WITHOUT_COLOUR])

    def labels(self) -> NDArray[np.uint8]:
        """Return the labels (N, 4) in the file's order, which are read when they are used."""
        labels: NDArray[np.uint8] = np.load(self._folder / LABELS, mmap_mode="r")
        return labels


def describe_labeller(labeller: PointLabeller) -> list[Any]:
    """Return what distinguishes labellers: what training wrote, or options."""
    run_digest = None
    if isinstance(labeller, LoadedLabeller):
        run_digest, labeller = labeller.run_digest, labeller.labeller
    options = {
        name: value.model_dump()
        for name, value in getattr(labeller, "__dict__", {}).items()
        if isinstance(value, BaseModel)
    }
    about = [labeller.legend.to_dict(), labeller.halo_m, list(labeller.needs)]
    return [type(labeller).__name__, run_digest, options, *about]
