"""Training on views: snapshots are rendered once with the split that each pixel shows, and read in every epoch.

Samples are layers (C, H, W) float32, valid (H, W) bool and mask (H, W) uint8. All draws follow from (seed, epoch).

In a training view, faces of validation points are not valid, and only training points have a label.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import report
from deepnets4eo.files import writing
from deepnets4eo.points.cloud_data import PointPart
from deepnets4eo.points.views.snapshots import Third, ViewLayer, snapshot_inputs
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter
from deepnets4eo.training import (
    DataSplit,
    Recipe,
    Sample,
    TrainOptions,
    build_segmenter,
    fit_segmenter,
    load_legend,
    protocol_name,
    read_ahead,
)

log = logging.getLogger(__name__)

PART = "part"  # layer of a stored view: LEARNT, WITHHELD or NEITHER, and


MIN_LABELLED_SHARE = 0.01  # share of labelled pixels that makes a view worth reading


@dataclass
class RenderedViews:
    """Snapshots in a store, with their labels and the split of each pixel, and which of them show which split."""

    legend: Legend
    split: DataSplit[Any]
    inputs: InputSpec
    store: ViewStore
    learnt: list[int] = field(default_factory=list)
    withheld: list[int] = field(default_factory=list)
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    #: Further parts of a split: of faces that only some withheld points span, and of pixels that show no face.
    border: ClassVar[int] = 3
    nothing: ClassVar[int] = 4

    @classmethod
    def in_folder(
        cls, folder: Path, legend: Legend, split: DataSplit[Any], layers: Sequence[str], third: Third = "depth"
    ) -> RenderedViews:
        """Return an empty store of views below a folder; layers, third : as of `snapshot_inputs`. Errors: OutputError."""
        return cls(legend, split, snapshot_inputs(layers, third), ViewStore(folder))

    @staticmethod
    def legend_of(recipe: Recipe, example: str) -> Legend:
        """Return the legend of a recipe. Raises InputError for none, or no model, such as the example."""
        legend = load_legend(recipe)
        if not recipe.model.network:
            raise InputError(f"the recipe names no model. Set model.network, e.g. to {example}.")
        return legend

    @property
    def training_pixels(self) -> list[int]:
        """K counts: labelled pixels of each class in the views to learn from."""
        return [int(count) for count in self.pixels[: self.legend.num_classes]]

    def add(self, layers: dict[str, NDArray[Any]], part: ByteImage) -> None:
        """Keep a snapshot that shows enough labelled points. part : (H, W), of `FaceView.values`."""
        labels = layers[ViewLayer.labels]
        learnt, withheld = ((labels != VOID) & (part == which) for which in (PointPart.learnt, PointPart.withheld))
        enough = max(1.0, MIN_LABELLED_SHARE * labels.size)
        if max(learnt.sum(), withheld.sum()) < enough:
            return
        number = self.store.append(
            {name: layers[name] for name in self.inputs.names} | {ViewLayer.labels: labels, PART: part}
        )
        if learnt.sum() >= enough:
            self.learnt.append(number)
            self.pixels += np.bincount(labels[learnt], minlength=256)
        if withheld.sum() >= enough:
            self.withheld.append(number)

    def train(
        self, recipe: Recipe, out: Path, options: TrainOptions, *, third_factor: float = 1.0
    ) -> tuple[NetworkSegmenter, dict[str, Any]]:
        """Train the network of a recipe on the views; returns its segmenter, and notes for the card. third_factor : as of
        `ViewSamples`."""
        from deepnets4eo.training import SegmentationCriterion

        self._warn_of_lacking()
        network = {"name": recipe.model.network, "encoder": recipe.model.encoder}
        network = {key: value for key, value in network.items() if value is not None} | recipe.model.options
        segmenter = build_segmenter(recipe, network, self.inputs, self.legend)
        criterion = SegmentationCriterion(recipe.train, self.legend, self.inputs.names, self.training_pixels)
        validation = ValidationViews(self, recipe.train.usual_batch_size, recipe.data.num_workers)

        def score(segmenter: NetworkSegmenter) -> dict[str, float]:
            if not self.withheld:
                return {recipe.train.monitor: float("nan")}  # undefined, so that the last epoch's weights are kept
            return criterion.validate(segmenter.module, validation)

        samples = ViewSamples(self, recipe, third_factor)
        return segmenter, fit_segmenter(segmenter, samples, criterion.step, score, recipe, out, options)

    def protocol(self, counted: str, *, validated: bool) -> dict[str, Any]:
        """Return how scores were made, as scores.json names it. counted : what was counted."""
        name = protocol_name(validated, counted)
        return {"name": name, "leaky": self.split.leaky, "split": self.split.describe()}

    def notes(self, scores: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the card states about a training on views, in addition to what prediction needs."""
        return {
            "split": self.split.describe(),
            "leaky": self.split.leaky,
            "training_views": len(self.learnt),
            "validation_views": len(self.withheld),
            "training_pixels": dict(zip(self.legend.names, self.training_pixels, strict=True)),
            "validation": {name: scores[name] for name in (*report.ScoreNames.overall, "seen_share") if name in scores},
        }

    def _warn_of_lacking(self) -> None:
        """Warn of classes that no training view shows, and of a validation split that no view shows."""
        pixels = zip(self.legend.names, self.training_pixels, strict=True)
        lacking = [name for name, count in pixels if not count]
        if lacking:
            log.warning(
                "No training view shows %s: never learnt, and not reliable where it is predicted. Check the labels, or choose "
                "data or a split that show it.", ", ".join(lacking),
            )  # fmt: skip
        if self.split.validated and not self.withheld:
            log.warning("No view shows a labelled point of the validation part: no epoch is better than another.")


class ViewStore:
    """Records of arrays in a file below an existing folder; the file disappears with the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with writing(folder):
            self._file = tempfile.TemporaryFile(dir=folder, prefix=".views-")  # noqa: SIM115 - it lives as long as the store
        self._dtype: np.dtype[Any] | None = None
        self._records: NDArray[Any] | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, layers: Mapping[str, NDArray[Any]]) -> int:
        """Write one snapshot; returns its number. All have the layers of the first. Errors: OutputError."""
        if self._dtype is None:
            self._dtype = np.dtype([(name, layer.dtype, layer.shape) for name, layer in layers.items()])
        record = np.empty((), self._dtype)
        for name, layer in layers.items():
            record[name] = layer
        with writing(self._folder):
            self._file.write(record.tobytes())
        self._count += 1
        self._records = None
        return self._count - 1

    def read(self, number: int) -> dict[str, NDArray[Any]]:
        """Return a copy of the layers of one snapshot; several threads may read."""
        assert self._dtype is not None
        if self._records is None:
            self._file.flush()
            self._records = np.memmap(self._file, self._dtype, "r", shape=(self._count,))
        record = self._records[number]
        return {name: np.array(record[name]) for name in self._dtype.names or ()}


class ViewWindow(NamedTuple):
    """A view of an epoch, and what the third band of its composite is multiplied by."""

    number: int
    third_factor: float = 1.0


class ViewSamples:
    """Views to learn from; the third band of each composite is multiplied by a random factor from 1 / `third_factor` to
    `third_factor`."""

    def __init__(self, rendered: RenderedViews, recipe: Recipe, third_factor: float = 1.0) -> None:
        self.rendered, self.count, self.seed = rendered, recipe.data.windows_per_epoch, recipe.train.seed
        self.largest = math.log(third_factor)

    def windows(self, epoch: int) -> list[ViewWindow]:
        """Return the views of an epoch: all views in random order, repeated as often as needed."""
        rng = np.random.default_rng([self.seed, epoch])
        rounds = -(-self.count // len(self.rendered.learnt))
        order = np.concatenate([rng.permutation(self.rendered.learnt) for _ in range(rounds)])
        factors = np.exp(rng.uniform(-self.largest, self.largest, self.count))
        return [
            ViewWindow(int(number), float(factor)) for number, factor in zip(order[: self.count], factors, strict=True)
        ]

    def read(self, window: ViewWindow) -> Sample:
        """Read a view for training."""
        return read_view(self.rendered, window.number, PointPart.learnt, window.third_factor)


@dataclass(frozen=True)
class ValidationViews:
    """Batches of the views that show validation points, read ahead by `workers` threads."""

    rendered: RenderedViews
    batch_size: int
    workers: int = 0

    def __iter__(self) -> Iterator[Sample]:
        numbers = self.rendered.withheld

        def batch(index: int) -> Sample:
            chosen = numbers[index * self.batch_size : (index + 1) * self.batch_size]
            views = [read_view(self.rendered, number, PointPart.withheld) for number in chosen]
            return {name: np.stack([view[name] for view in views]) for name in views[0]}

        return read_ahead(batch, range(-(-len(numbers) // self.batch_size)), self.workers)


def read_view(rendered: RenderedViews, number: int, part: int, third_factor: float = 1.0) -> Sample:
    """Return a scaled snapshot by layers with `valid` and the labels of one split as `mask`; withheld faces are hidden
    from what is learnt."""
    layers = rendered.store.read(number)
    if third_factor != 1 and ViewLayer.composite in layers:
        third = layers[ViewLayer.composite][2]
        layers[ViewLayer.composite][2] = np.minimum(np.rint(third * np.float32(third_factor)), 255)
    parts = layers[PART]
    nothing = RenderedViews.nothing
    hidden = (nothing, PointPart.withheld, RenderedViews.border) if part == PointPart.learnt else (nothing,)
    valid = ~np.isin(parts, hidden)
    prepared = rendered.inputs.prepare(layers | {"valid": valid})
    ends = np.cumsum([len(layer.bands) for layer in rendered.inputs.layers.values()])
    sample: Sample = dict(zip(rendered.inputs.names, np.split(prepared, ends[:-1]), strict=True))
    return sample | {"mask": np.where(parts == part, layers[ViewLayer.labels], np.uint8(VOID)), "valid": valid}
