"""The task `change-cover`: pairs with change and land cover of both dates in, a run of classes from → to out.

Recipe, samples, loss and scores of strategies of Daudt et al. (CVIU 187, 2019): joint (4.1), sequential (4.2) and
direct (2).

Strategies 1 and 3 combine runs that were trained by themselves: `change.strategies`. Refuses recipes without a legend
of land cover.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from deepnets4eo.cards import VOID, Legend, SplitPart
from deepnets4eo.change.change_scores import check_two_classes
from deepnets4eo.change.transitions import CoverLayers, from_to_legend, join_covers
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import LabelReader, report
from deepnets4eo.lazy import check_extra
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.options import Section
from deepnets4eo.read_as import LABELS, Door
from deepnets4eo.segmenters import NetworkSegmenter
from deepnets4eo.training import (
    ClassSamples,
    DataSection,
    DataSplit,
    LabelledScene,
    Prepared,
    Recipe,
    Sample,
    SampleWindow,
    SegmentationCriterion,
    SumOfLosses,
    Task,
    TrainOptions,
    TrainSection,
    ValidationLoader,
    build_segmenter,
    class_of_monitor,
    class_weights,
    fit_segmenter,
    load_legend,
    median_frequency,
    prepare,
    protocol_name,
    warn_of_hidden_class,
    write_run,
)

COVERS = (CoverLayers.pre, CoverLayers.post)
CoverReaders = Mapping[str, LabelReader]

Batch = Mapping[str, Tensor]
OVERALL = ("overall_accuracy", "kappa", "mean_f1", "mean_iou")

log = logging.getLogger(__name__)

STAGE = "checkpoints/cover"  # of strategy 4.2: cleared and resumed with the other checkpoints
MONITOR = "kappa"  # of land cover


class CoverSection(Section):
    """Options of land cover, and of its training alongside change."""

    legend: str | dict[str, Any] = Field(default="", description="of land cover: a name, a YAML file, or the classes")
    strategy: Literal["joint", "sequential", "direct"] = Field(
        default="sequential",
        description="sequential: land cover first, then change with it frozen (4.2); joint: both at once (4.1); direct: "
        "each pair from -> to is a class of any network (2)",
    )
    weight: float = Field(default=1.0, ge=0, description="of the losses of land cover, with strategy joint")
    epochs: int | None = Field(
        default=None, ge=1, description="of land cover, with strategy sequential; none: as train"
    )
    class_weighting: Literal["none", "median_frequency"] = Field(
        default="median_frequency", description="of land cover"
    )


class CoverTrain(TrainSection):
    """Optimisation; `monitor` is a score of change."""

    monitor: str = Field(
        default=MONITOR,
        pattern=r"^(mean_iou|mean_f1|overall_accuracy|kappa|f1\..+)$",
        description="score of change that decides which epoch is best; mean_iou, mean_f1, overall_accuracy, kappa, f1.CLASS",
    )


class CoverRecipe(Recipe):
    """The recipe of land cover and change: pairs with the layers image_pre, image_post, labels (change), cover_pre and
    cover_post.

    The network is "hrscd" or "change-encoder" for the strategies joint and sequential, any for direct.
    """

    cover: CoverSection = CoverSection()
    train: CoverTrain = CoverTrain()


@dataclass(frozen=True)
class _Covers:
    """Additions of land cover to the prepared data of any recipe."""

    recipe: CoverRecipe
    prepared: Prepared
    legend: Legend

    @cached_property
    def readers(self) -> list[CoverReaders]:
        return open_covers(self.prepared.split.scenes, self.legend, self.recipe.data)

    @cached_property
    def pairs(self) -> NDArray[np.int64]:
        return count_pairs(self.prepared.split, self.readers, self.legend.num_classes)

    @property
    def pixels(self) -> list[int] | None:
        """Return the training pixels of each class of land cover at both dates, or None if they are not needed."""
        if self.recipe.cover.class_weighting == "none":
            return None
        counts = self.pairs.sum(axis=0) + self.pairs.sum(axis=1)
        return [int(count) for count in counts]

    def samples(self, *, pairs: bool = False) -> CoverSamples:
        prepared = self.prepared
        count = self.legend.num_classes if pairs else 0
        arguments = (prepared.split, prepared.inputs, self.recipe, prepared.cells)
        return CoverSamples(*arguments, readers=self.readers, pairs=count)

    def validation(self, samples: CoverSamples, halo_px: int, most: int | None) -> ValidationLoader:
        return self.prepared.validation(samples, self.recipe.data.tile_px, halo_px, most=most)


def train_cover(recipe: CoverRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a network of classes from → to; returns the run folder."""
    check_extra("deep")
    covers = _prepare(recipe)
    segmenter = _untrained(covers)
    train = _train_direct if recipe.cover.strategy == "direct" else _train_parts
    notes = train(covers, segmenter, out, options)
    matrices = _matrices(covers, segmenter)
    split = covers.prepared.split
    protocol = {
        "name": protocol_name(split.validated),
        "leaky": split.leaky, "split": split.describe(),
    }  # fmt: skip
    names = {"change": covers.prepared.legend.names, "cover": covers.legend.names}
    scores = report.scores(matrices["from_to"], segmenter.legend.names) | {
        "legend": segmenter.legend.name, "protocol": protocol, "synthetic": covers.prepared.synthetic,
        **{part: report.scores(matrices[part], of_part) for part, of_part in names.items()},
    }  # fmt: skip
    return write_run(segmenter, recipe, out, split=split, scores=scores, notes=_notes(covers, scores) | notes)


def _prepare(recipe: CoverRecipe) -> _Covers:
    if not recipe.cover.legend:
        raise InputError("the recipe names no legend of land cover. Set cover.legend, e.g. to hrscd.")
    if not recipe.model.network:
        raise InputError("the recipe names no model. Set model.network, e.g. to hrscd.")
    if recipe.train.losses.get("contrastive", 0) > 0:
        raise InputError(
            "train.losses has contrastive, which the task change-cover does not train with. Leave it out, or train change alone "
            "with the task segmentation and change-encoder."
        )
    cover = load_legend(Recipe(legend=recipe.cover.legend))
    prepared = prepare(recipe, COVERS)
    check_two_classes(prepared.legend, f"legend {prepared.legend.name!r}")
    return _Covers(recipe, prepared, cover)


def _untrained(covers: _Covers) -> NetworkSegmenter:
    recipe, legend = covers.recipe, from_to_legend(covers.legend)
    model = recipe.model
    network: dict[str, Any] = {"name": "from-to", "network": model.network, "encoder": model.encoder}
    if recipe.cover.strategy == "direct":
        network = {"name": model.network, "encoder": model.encoder, **model.options}
    elif model.options:
        network["options"] = model.options
    described = {key: value for key, value in network.items() if value is not None}
    return build_segmenter(recipe, described, covers.prepared.inputs, legend)


def _train_direct(covers: _Covers, segmenter: NetworkSegmenter, out: Path, options: TrainOptions) -> dict[str, Any]:
    """Strategy 2: each pair is a class."""

    train, inputs = covers.recipe.train, covers.prepared.inputs
    pixels = [int(count) for count in covers.pairs.ravel()]
    plain = train.model_copy(update={"monitor": MONITOR})  # the monitored class is one of change
    criterion = SegmentationCriterion(plain, segmenter.legend, inputs.names, pixels)
    samples = covers.samples(pairs=True)
    return fit_segmenter(segmenter, samples, criterion.step, _change_scorer(covers), covers.recipe, out, options)


def _train_parts(covers: _Covers, segmenter: NetworkSegmenter, out: Path, options: TrainOptions) -> dict[str, Any]:
    """Strategies 4.1 and 4.2."""

    recipe, prepared = covers.recipe, covers.prepared
    criterion = CoverCriterion(recipe.train, prepared.inputs.names, prepared.legend, prepared.pixels, covers.pixels)
    samples = covers.samples()
    scorer = _change_scorer(covers)
    if recipe.cover.strategy == "joint":
        both = partial(criterion.step_both, cover_weight=recipe.cover.weight)
        return fit_segmenter(segmenter, samples, both, scorer, recipe, out, options)
    first = recipe.train.model_copy(update={"epochs": recipe.cover.epochs or recipe.train.epochs, "monitor": MONITOR})
    stage = recipe.model_copy(update={"train": first})
    log.info("land cover first: %d epochs", first.epochs)
    before = replace(options, followed=True)
    fit_segmenter(segmenter, samples, criterion.step_cover, _cover_scorer(covers), stage, out / STAGE, before)
    cast(Any, segmenter.module).freeze_cover()
    log.info("then change, with land cover as it is: %d epochs", recipe.train.epochs)
    return fit_segmenter(segmenter, samples, criterion.step_change, scorer, recipe, out, options)


def _matrices(covers: _Covers, segmenter: NetworkSegmenter, most: int | None = None) -> Any:

    halo_px = min(segmenter.halo_px, covers.recipe.data.tile_px // 8)
    batches = covers.validation(covers.samples(), halo_px, most)
    return score_covers(segmenter, batches, covers.legend.num_classes, margin_px=halo_px)


def _change_scorer(covers: _Covers) -> Any:
    """Scores of change after an epoch, the monitored class among them, and of land cover."""

    of_class = class_of_monitor(covers.recipe.train, covers.prepared.legend)

    def score(segmenter: NetworkSegmenter) -> dict[str, float]:
        matrices = _matrices(covers, segmenter, covers.recipe.data.windows_per_epoch)
        f1 = {name: float(matrices["change"].f1[index]) for name, index in of_class.items()}
        return overall(matrices["change"]) | f1 | {"cover_accuracy": float(matrices["cover"].overall_accuracy)}

    return score


def _cover_scorer(covers: _Covers) -> Any:

    return lambda segmenter: overall(_matrices(covers, segmenter, covers.recipe.data.windows_per_epoch)["cover"])


def _notes(covers: _Covers, scores: dict[str, Any]) -> dict[str, Any]:
    """Return what the card states about the training, in addition to what prediction needs."""
    prepared = covers.prepared
    return {
        "strategy": covers.recipe.cover.strategy,
        "scenes": {named.name: named.sources for named in prepared.split.scenes},
        "split": prepared.split.describe(),
        "leaky": prepared.split.leaky,
        "synthetic": prepared.synthetic,
        "training_pixels": dict(zip(prepared.legend.names, prepared.pixels, strict=True)),
        "validation": {name: scores["change"][name] for name in report.ScoreNames.overall},
    }


TASK = Task(train_cover, CoverRecipe)


class CoverCriterion:
    """Losses of change, of land cover, or of both, for networks of the kind `CoverAndChange`.

    pixels : training pixels of no change and change.
    cover_pixels : (L,) training pixels of land cover, None if it is not weighted.
    """

    def __init__(
        self,
        train: TrainSection,
        layers: Sequence[str],
        legend: Legend,
        pixels: Sequence[int],
        cover_pixels: Sequence[int] | None,
    ) -> None:
        self.layers, self.legend = list(layers), legend
        self.of_class = class_of_monitor(train, legend)
        self.change_loss = SumOfLosses(train.losses, class_weights(train, legend, pixels))
        weights = None if cover_pixels is None else median_frequency(cover_pixels)
        self.cover_loss = SumOfLosses(train.losses, weights)

    def step_cover(self, network: Any, batch: Batch) -> Tensor:
        """Compute the loss of land cover at both dates, () float32."""
        return self._cover_losses(network.forward_cover(self._dates(batch)), batch).sum()

    def step_change(self, network: Any, batch: Batch) -> Tensor:
        """Return only the loss of change, () float32."""
        return self._change_loss(network.forward_all(self._dates(batch))[0], batch)

    def step_both(self, network: Any, batch: Batch, *, cover_weight: float) -> Tensor:
        """Return the loss of change plus `cover_weight` times the losses of land cover, () float32."""
        change, *covers = network.forward_all(self._dates(batch))
        return self._change_loss(change, batch) + cover_weight * self._cover_losses(covers, batch).sum()

    def _dates(self, batch: Batch) -> Tensor:
        return torch.cat([batch[name] for name in self.layers], dim=1)

    def _change_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        loss: Tensor = self.change_loss.to(logits.device)(logits, batch["mask"].long(), batch["valid"])
        return loss

    def _cover_losses(self, logits: Sequence[Tensor], batch: Batch) -> Tensor:
        loss = self.cover_loss.to(logits[0].device)
        pairs = zip(logits, COVERS, strict=True)
        return torch.stack([loss(cover_logits, batch[name].long(), batch["valid"]) for cover_logits, name in pairs])


def score_covers(
    segmenter: NetworkSegmenter, batches: Iterable[Sample], covers: int, *, margin_px: int
) -> dict[str, ConfusionMatrix]:
    """Count the confusion matrices of change, of land cover at both dates, and of the pairs from → to, over a validation part."""
    matrices = {"change": ConfusionMatrix(2), "cover": ConfusionMatrix(covers), "from_to": ConfusionMatrix(covers**2)}
    for batch in batches:
        stack = np.concatenate([batch[name] for name in segmenter.inputs.names], axis=1)
        pairs = segmenter.predict_classes(stack, margin_px=margin_px)
        height, width = pairs.shape[1:]
        inner = np.s_[:, margin_px : margin_px + height, margin_px : margin_px + width]
        pre, post = pairs // covers, pairs % covers
        mask, cover_pre, cover_post = (batch[name][inner] for name in ("mask", *COVERS))
        matrices["change"].update(mask, (pre != post).astype(np.uint8))
        matrices["cover"].update(cover_pre, pre).update(cover_post, post)
        known = (cover_pre < covers) & (cover_post < covers)
        reference = np.where(known, cover_pre.astype(np.int64) * covers + cover_post, 255)
        matrices["from_to"].update(reference, pairs)
    return matrices


def overall(matrix: ConfusionMatrix) -> dict[str, float]:
    """Return the overall scores of a matrix."""
    return {name: float(getattr(matrix, name)) for name in OVERALL}


def open_covers(scenes: Sequence[LabelledScene], legend: Legend, data: DataSection) -> list[CoverReaders]:
    """Open readers of land cover at both dates of each scene, on its grid. Errors: InputError, LabelError."""

    def open_reader(named: LabelledScene, layer: str) -> LabelReader:
        door = Door(f"layer {layer!r}", on_ground=False)
        raw = LABELS.open(named.sources[layer], door, nodata=data.nodata.get(layer))
        reader = LabelReader.for_training(raw, legend, unknown=data.unknown_labels)
        warn_of_hidden_class(reader, layer)
        return reader.on(named.grid)

    return [{layer: open_reader(named, layer) for layer in COVERS} for named in scenes]


def count_pairs(split: DataSplit[LabelledScene], readers: Sequence[CoverReaders], covers: int) -> NDArray[np.int64]:
    """Count the training pixels of each pair of covers, (L, L). Peak memory: one window."""
    counts = np.zeros(256, np.int64)
    for number, of_scene in enumerate(readers):
        for window in split.scenes[number].scene.blocks():
            pre, post = (of_scene[layer].read(window) for layer in COVERS)
            pairs = np.where(split.mask(number, SplitPart.train, window), join_covers(pre, post, covers), VOID)
            counts += np.bincount(pairs.ravel(), minlength=256)
    return counts[: covers**2].reshape(covers, covers)


class CoverSamples(ClassSamples):
    """Windows with the change mask, and `cover_pre` and `cover_post` (h, w) uint8 from the readers of each scene.

    With `pairs` L the mask is the pair of covers from → to; with 0 it is change.
    """

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
            return sample | {"mask": join_covers(covers[CoverLayers.pre], covers[CoverLayers.post], self._pairs)}
        return sample | covers
