"""Training of damage networks, by labelled pairs of files or by a stream of pairs in memory: a run folder out.

`train_grader` is the task `damage`: a resolved recipe in, the tree that every run has out, scores counted in buildings.
`train_on_stream` trains both heads of the default damage network, and writes its weights in half precision. Refuses
networks that do not take two dates, and pairs that leave nothing to validate on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.cards.catalog import run_path
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.damage.network.datasets import read_pairs
from deepnets4eo.damage.network.grader import EVEN_GRADES
from deepnets4eo.damage.network.pairs import LEGEND, POST, PRE
from deepnets4eo.damage.network.recipe import SiameseRecipe
from deepnets4eo.damage.network.samples import BuildingSplit, split_buildings
from deepnets4eo.damage.network.scaling import measure_pairs
from deepnets4eo.errors import RunError
from deepnets4eo.evaluation import report
from deepnets4eo.files import write_json
from deepnets4eo.lazy import check_extra
from deepnets4eo.segmenters.inputs import DISPLAY_RGB, InputSpec
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.segmenters.segmenter import WEIGHTS, NetworkSegmenter
from deepnets4eo.tiling import Tiling
from deepnets4eo.training.fit import METRICS, build_segmenter, fit_segmenter, write_run
from deepnets4eo.training.streams import StreamSamples
from deepnets4eo.training.tasks import Task, TrainOptions

if TYPE_CHECKING:
    from deepnets4eo.damage.network.pairs import LabelledPair
    from deepnets4eo.damage.network.recipe import StreamRecipe, StreamSection
    from deepnets4eo.damage.network.samples import GradedPair, Variation
    from deepnets4eo.damage.network.scoring import StreamGraded

GSD_DRAW = 7  # beside a pair's seed, so that no other draw follows from the same numbers
SHARED = "twin."  # what names of the U-Net of both dates begin with


def train_grader(recipe: SiameseRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a Siamese network on labelled pairs; returns the run folder."""
    check_extra("deep")
    from deepnets4eo.damage.network.criterion import GradingCriterion
    from deepnets4eo.damage.network.samples import PairSamples
    from deepnets4eo.damage.network.scoring import full_scores, grade_validation, validation_scores

    split = split_buildings(read_pairs(recipe.data, recipe.train.seed), recipe.data, recipe.train.seed)
    samples = PairSamples(split, measure_pairs(split.training_pairs), recipe)
    segmenter = _untrained(recipe, samples.inputs)
    criterion = GradingCriterion(recipe.train, segmenter.legend, split.counts(split.train).tolist())

    def score(segmenter: NetworkSegmenter) -> dict[str, float]:
        return validation_scores(grade_validation(segmenter, samples))

    notes = fit_segmenter(segmenter, samples, criterion.step, score, recipe, out, options)
    scores = full_scores(grade_validation(segmenter, samples), split)
    scores["synthetic"] = any(pair.synthetic for pair in split.scenes)
    notes = _notes(recipe, split, scores) | notes
    return write_run(segmenter, recipe, out, split=split, scores=scores, notes=notes)


def _untrained(recipe: SiameseRecipe | StreamRecipe, inputs: InputSpec) -> NetworkSegmenter:
    """The segmenter with random weights, or those of the encoder that the recipe names."""
    model, predict = recipe.model, recipe.predict
    network = {"name": model.network, "encoder": model.encoder, "decoder_channels": list(model.decoder_channels)}
    tiling = Tiling(predict.tile_px, predict.halo_px)  # logits of buildings are pooled over cores that abut
    return build_segmenter(recipe, network, inputs, Legend.load(LEGEND), tiling)


def _notes(recipe: SiameseRecipe, split: BuildingSplit, scores: dict[str, Any]) -> dict[str, Any]:
    """What the card says about the training, beside what prediction needs."""
    counts = split.describe()["buildings"]
    shares = np.array(list(counts["train"].values()), float)
    return {
        "scaling": recipe.data.scaling,
        "temperature": scores["temperature"],
        "pairs": {pair.name: pair.sources for pair in split.scenes},
        "ignored_buildings": {pair.name: pair.ignored for pair in split.scenes if pair.ignored},
        "split": split.describe(),
        "leaky": False,
        "synthetic": scores["synthetic"],
        "training_shares": dict(zip(counts["train"], (shares / max(shares.sum(), 1)).round(6).tolist(), strict=True)),
        "validation": {name: scores[name] for name in (*report.OVERALL, "auc_major_or_worse", "calibration_error")},
    }


def train_on_stream(
    make_pair: Callable[[int], GradedPair],
    validation: Sequence[GradedPair],
    recipe: StreamRecipe,
    variation: Variation,
    out: Path,
    options: TrainOptions,
) -> Path:
    """Train both heads, score them on pairs left out, and write the run.

    Parameters
    ----------
    make_pair
        Seed → pair with a graded building.
    validation
        Pairs that are never learnt from.
    recipe
        All that decides the training.
    variation
        How another sensor would show an image.
    out
        The run folder.
    options
        Device, resume, minutes.

    Returns
    -------
    The run folder: weights in half precision, card, metrics, log, checkpoints.

    Examples
    --------
    ```python
    train_on_stream(make_pair, validation, StreamRecipe(), SensorVariation(), Path("runs/pair"), TrainOptions(minutes=30))
    ```
    """
    from deepnets4eo.damage.network.criterion import OrdinalCriterion
    from deepnets4eo.damage.network.samples import read_window
    from deepnets4eo.damage.network.scoring import epoch_scores, grade_stream, to_labelled_pair

    inputs = InputSpec({PRE: DISPLAY_RGB, POST: DISPLAY_RGB}, recipe.data.gsd_m)
    segmenter = build_untrained(recipe, inputs)
    known = [to_labelled_pair(pair, number, recipe.data.gsd_m) for number, pair in enumerate(validation)]

    def grade(segmenter: NetworkSegmenter) -> StreamGraded:
        return grade_stream(segmenter, inputs, validation, known)

    data, criterion = recipe.data, OrdinalCriterion(recipe.train.post_loss)
    samples = StreamSamples(
        lambda seed: _resized_pair(make_pair(seed), seed, data), lambda pair, rng: read_window(pair, data, variation, rng),
        data.windows_per_epoch, data.windows_per_pair, recipe.train.seed,
    )  # fmt: skip
    notes = fit_segmenter(
        segmenter, samples, criterion.step, lambda segmenter: epoch_scores(grade(segmenter)), recipe, out, options
    )
    notes["windows"] = samples.learnt(notes.get("epochs", 0), recipe.model.start)
    metrics, card = score_as_stored(segmenter, validation, known)
    write_json(out / METRICS, metrics | {"fit": notes})
    return save_run(
        segmenter, out, recipe=recipe.to_dict(), seed=recipe.train.seed,
        notes={"task": recipe.task, EVEN_GRADES: True, "leaky": False, "synthetic": True} | card | notes,
    )  # fmt: skip


def score_as_stored(
    segmenter: NetworkSegmenter, pairs: Sequence[GradedPair], known: Sequence[LabelledPair]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Round the weights to half precision, as they are stored, and score them on pairs left out.

    Parameters
    ----------
    segmenter
        With both heads; it is stored in half precision from now on.
    pairs
        That it never learnt from.
    known
        The same pairs, each made by `to_labelled_pair`.

    Returns
    -------
    Metrics of the run, and what its card holds of them, with the temperatures of both heads.
    """
    from deepnets4eo.damage.network.scoring import grade_stream

    segmenter.module.half().float()  # what is scored is what is written
    segmenter.stored = "float16"
    return _scores(grade_stream(segmenter, segmenter.inputs, pairs, known), pairs)


def _resized_pair(pair: GradedPair, seed: int, data: StreamSection) -> GradedPair:
    """The pair with pixels about as large as the recipe says."""
    spread = np.random.default_rng([seed, GSD_DRAW]).uniform(-data.gsd_spread, data.gsd_spread)
    return pair.at(data.gsd_m * float(np.exp(spread)))


def build_untrained(recipe: StreamRecipe, inputs: InputSpec) -> NetworkSegmenter:
    """The segmenter before its first step, from the weights of the recipe's `start` where that is set. Errors: RunError."""
    segmenter = _untrained(recipe, inputs)
    if recipe.model.start is not None:
        _take_over(segmenter, run_path(recipe.model.start))
    return segmenter


def _take_over(segmenter: NetworkSegmenter, run: Path) -> None:
    """Start from all of a run of the same network, or from the U-Net of one that labels pixels. Errors: RunError."""
    from safetensors.torch import load_file

    from deepnets4eo.segmenters.checksums import open_sealed

    open_sealed(run)
    own: dict[str, Any] = segmenter.module.state_dict()
    others = load_file(run / WEIGHTS)
    if not any(name.startswith(SHARED) for name in others):
        others = {SHARED + name: value for name, value in others.items()}
    fitting = {name: others[name].to(value.dtype) for name, value in own.items()
               if name in others and others[name].shape == value.shape}  # fmt: skip
    if len(fitting) < len(own) // 2:
        raise RunError(
            f"{run} has {len(fitting)} of the {len(own)} weights of the network. Start from a run of the same "
            "encoder and decoder_channels, or from none."
        )
    segmenter.module.load_state_dict(own | fitting)


def _scores(graded: StreamGraded, pairs: Sequence[GradedPair]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metrics of the run, and what its card holds of them."""
    from deepnets4eo.damage.network.scoring import group_scores, head_scores

    names = Legend.load(LEGEND).names
    counts = dict(zip(names, np.bincount(graded.pair.grades, minlength=len(names)).tolist(), strict=True))
    pair, post = head_scores(graded.pair), head_scores(graded.post)
    known = graded.truth != VOID
    unseen = float((graded.truth[known] > graded.pair.grades[known]).mean()) if known.any() else 0.0
    metrics = {"pair": pair, "post_alone": post, "groups": group_scores(graded), "buildings": counts,
               "worse_than_visible": unseen}  # fmt: skip
    card = {
        "temperature": pair["temperature"], "validation": pair,
        "post_alone": {"temperature": post["temperature"], "validation": post},
        "split": {"kind": "made-up places of other seeds", "pairs": len(pairs), "buildings": {"val": counts}},
    }  # fmt: skip
    return metrics, card


TASK = Task(train_grader, SiameseRecipe)
