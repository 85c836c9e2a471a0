"""The task `change-cover`: pairs with change and land cover of both dates in, a run of classes from → to out.

Strategies of Daudt et al. (CVIU 187, 2019): joint (4.1), sequential (4.2) and direct (2). Strategies 1 and 3 put runs
together that were trained by themselves: `change.strategies`. Refuses recipes without a legend of land cover.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deepnets4eo.cards.legend import Legend
from deepnets4eo.change.change_scores import check_two_classes
from deepnets4eo.change.cover_samples import COVERS, CoverReaders, CoverSamples, count_pairs, open_covers
from deepnets4eo.change.transitions import from_to_legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import report
from deepnets4eo.lazy import check_extra
from deepnets4eo.options import Section
from deepnets4eo.segmenters.segmenter import NetworkSegmenter
from deepnets4eo.training.data import ValidationLoader
from deepnets4eo.training.fit import build_segmenter, fit_segmenter, write_run
from deepnets4eo.training.recipe import Recipe, TrainSection
from deepnets4eo.training.segmentation import NOT_VALIDATED, Prepared, load_legend, prepare
from deepnets4eo.training.tasks import Task, TrainOptions

log = logging.getLogger(__name__)

STAGE = "checkpoints/cover"  # of strategy 4.2: cleared and resumed with the other checkpoints
MONITOR = "kappa"  # of land cover


class CoverSection(Section):
    """Land cover, and how it is learnt beside change."""

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
    """All that decides the training of land cover and change: pairs with the layers image_pre, image_post, labels
    (change), cover_pre and cover_post; the network "hrscd" or "change-encoder" for the strategies joint and
    sequential, any for direct."""

    cover: CoverSection = CoverSection()
    train: CoverTrain = CoverTrain()


@dataclass(frozen=True)
class _Covers:
    """What land cover adds to what is prepared of any recipe."""

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
        """Training pixels of each class of land cover at both dates; None where they are not needed."""
        if self.recipe.cover.class_weighting == "none":
            return None
        counts = self.pairs.sum(axis=0) + self.pairs.sum(axis=1)
        return [int(count) for count in counts]

    def samples(self, *, pairs: bool = False) -> CoverSamples:
        prepared = self.prepared
        count = self.legend.num_classes if pairs else 0
        arguments = (prepared.split, prepared.inputs, self.recipe, prepared.cells)
        return CoverSamples(*arguments, readers=self.readers, pairs=count)

    def validation(self, samples: CoverSamples, halo_px: int) -> ValidationLoader:
        return self.prepared.validation(samples, self.recipe.data.tile_px, halo_px)


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
        "name": "validation part of the training scenes" if split.validated else NOT_VALIDATED,
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
    from deepnets4eo.training.criterion import SegmentationCriterion

    train, inputs = covers.recipe.train, covers.prepared.inputs
    pixels = [int(count) for count in covers.pairs.ravel()]
    plain = train.model_copy(update={"monitor": MONITOR})  # the monitored class is one of change
    criterion = SegmentationCriterion(plain, segmenter.legend, inputs.names, pixels)
    samples = covers.samples(pairs=True)
    return fit_segmenter(segmenter, samples, criterion.step, _change_scorer(covers), covers.recipe, out, options)


def _train_parts(covers: _Covers, segmenter: NetworkSegmenter, out: Path, options: TrainOptions) -> dict[str, Any]:
    """Strategies 4.1 and 4.2."""
    from deepnets4eo.change.cover_criterion import CoverCriterion

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


def _matrices(covers: _Covers, segmenter: NetworkSegmenter) -> Any:
    from deepnets4eo.change.cover_criterion import score_covers

    halo_px = min(segmenter.halo_px, covers.recipe.data.tile_px // 8)
    batches = covers.validation(covers.samples(), halo_px)
    return score_covers(segmenter, batches, covers.legend.num_classes, margin_px=halo_px)


def _change_scorer(covers: _Covers) -> Any:
    """Scores of change after an epoch, the monitored class among them, and of land cover."""
    from deepnets4eo.change.cover_criterion import overall
    from deepnets4eo.training.criterion import class_of_monitor

    of_class = class_of_monitor(covers.recipe.train, covers.prepared.legend)

    def score(segmenter: NetworkSegmenter) -> dict[str, float]:
        matrices = _matrices(covers, segmenter)
        f1 = {name: float(matrices["change"].f1[index]) for name, index in of_class.items()}
        return overall(matrices["change"]) | f1 | {"cover_accuracy": float(matrices["cover"].overall_accuracy)}

    return score


def _cover_scorer(covers: _Covers) -> Any:
    from deepnets4eo.change.cover_criterion import overall

    return lambda segmenter: overall(_matrices(covers, segmenter)["cover"])


def _notes(covers: _Covers, scores: dict[str, Any]) -> dict[str, Any]:
    """What the card says about the training, beside what prediction needs."""
    prepared = covers.prepared
    return {
        "strategy": covers.recipe.cover.strategy,
        "scenes": {named.name: named.sources for named in prepared.split.scenes},
        "split": prepared.split.describe(),
        "leaky": prepared.split.leaky,
        "synthetic": prepared.synthetic,
        "training_pixels": dict(zip(prepared.legend.names, prepared.pixels, strict=True)),
        "validation": {name: scores["change"][name] for name in report.OVERALL},
    }


TASK = Task(train_cover, CoverRecipe)
