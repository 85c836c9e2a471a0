"""Samples of pairs with land cover of both dates beside their change.

Takes scenes whose layers `cover_pre` and `cover_post` are label rasters; returns them as class indices, void 255.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.change.transitions import COVER_POST, COVER_PRE, join_covers
from deepnets4eo.evaluation.label_reader import OF_TRAINING, LabelReader
from deepnets4eo.grid import blocks
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.training.data import ClassSamples, Sample
from deepnets4eo.training.recipe import DataSection
from deepnets4eo.training.scenes import LabelledScene, warn_of_hidden_class
from deepnets4eo.training.splits import TRAIN, DataSplit, SampleWindow

COVERS = (COVER_PRE, COVER_POST)
READ_PX = 1024

CoverReaders = Mapping[str, LabelReader]


def open_covers(scenes: Sequence[LabelledScene], legend: Legend, data: DataSection) -> list[CoverReaders]:
    """Readers of land cover at both dates of each scene, on its grid. Errors: InputError, LabelError as of label rasters."""

    def one(named: LabelledScene, layer: str) -> LabelReader:
        raw = Layer.open(named.sources[layer], nodata=data.nodata.get(layer))
        reader = LabelReader(raw, legend, unknown=data.unknown_labels, remedies=OF_TRAINING)
        warn_of_hidden_class(reader, layer)
        return reader.on(named.grid)

    return [{layer: one(named, layer) for layer in COVERS} for named in scenes]


def count_pairs(split: DataSplit[LabelledScene], readers: Sequence[CoverReaders], covers: int) -> NDArray[np.int64]:
    """Training pixels of each pair of covers, (L, L). Peak memory: one window."""
    counts = np.zeros(256, np.int64)
    for number, of_scene in enumerate(readers):
        for window in blocks(_shape(split.scenes[number]), READ_PX):
            pre, post = (of_scene[layer].read(window) for layer in COVERS)
            pairs = np.where(split.mask(number, TRAIN, window), join_covers(pre, post, covers), VOID)
            counts += np.bincount(pairs.ravel(), minlength=256)
    return counts[: covers**2].reshape(covers, covers)


class CoverSamples(ClassSamples):
    """Windows with the change mask, and `cover_pre` and `cover_post` (h, w) uint8 from the readers of each scene. With
    `pairs` L the mask is the pair of covers from → to; with 0 it is change."""

    def __init__(self, *arguments: Any, readers: Sequence[CoverReaders], pairs: int = 0) -> None:
        super().__init__(*arguments)
        self._readers, self._pairs = readers, pairs

    def _read(
        self, window: SampleWindow, labelled: NDArray[np.bool_], hidden: NDArray[np.bool_] | None = None
    ) -> Sample:
        sample = super()._read(window, labelled, hidden)
        usable = labelled & sample["valid"]
        covers = {
            layer: np.where(usable, reader.read(window.window), np.uint8(VOID))
            for layer, reader in self._readers[window.scene].items()
        }
        if self._pairs:
            return sample | {"mask": join_covers(covers[COVER_PRE], covers[COVER_POST], self._pairs)}
        return sample | covers


def _shape(named: LabelledScene) -> tuple[int, int]:
    height, width = named.scene.shape
    return height, width
