"""Training of damage networks: a resolved recipe in, a run with scores counted in buildings out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.cards import VOID, Legend, run_path
from deepnets4eo.damage.network.datasets import read_pairs
from deepnets4eo.damage.network.grader import EVEN_GRADES, POST_ALONE
from deepnets4eo.damage.network.kept_pairs import KeptPairs
from deepnets4eo.damage.network.pairs import LEGEND, POST, PRE, GradedPair, measure_pairs
from deepnets4eo.damage.network.recipe import MADE_UP, DamageRecipe
from deepnets4eo.damage.network.samples import BuildingSplit, MadeUpPairs, PairSamples, made_up_samples, split_buildings
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.evaluation import report
from deepnets4eo.files import remove
from deepnets4eo.lazy import check_extra
from deepnets4eo.plugins import load_plugin, plugins_of
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter, RunFolder
from deepnets4eo.tiling import Tiling
from deepnets4eo.training import StreamSamples, Task, TrainOptions, build_segmenter, fit_segmenter, write_run

if TYPE_CHECKING:
    from deepnets4eo.damage.network.scoring import Validation

log = logging.getLogger(__name__)
KEPT = "pairs"  # folder in the run, of pairs that are kept
SHARED = "twin."  # what names of the U-Net of both dates begin with
VALIDATED = (*report.ScoreNames.overall, "kappa_quadratic", "auc_major_or_worse", "calibration_error", "temperature")


@dataclass(frozen=True)
class TrainingPairs:
    """The data for training and validation. counts : (K,) buildings of each grade; notes : for the card."""

    samples: PairSamples | StreamSamples[GradedPair]
    inputs: InputSpec
    validation: Validation
    counts: Sequence[int] = ()
    split: BuildingSplit | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def train_damage(recipe: DamageRecipe, out: Path, options: TrainOptions, made_up: MadeUpPairs | None = None) -> Path:
    """Train a damage network, score it on buildings left out, and write the run.

    Parameters
    ----------
    recipe : all options that determine the training
    out : the run folder
    options : device, resume, minutes
    made_up : training pairs with `data.source: made-up`, by default the pairs of the miniature world

    Returns
    -------
    The run folder.

    Raises
    ------
    InputError
        Pairs cannot be read, made or split, or a network does not take two dates.

    Examples
    --------
    ```python
    train_damage(DamageRecipe(data=DamageData(folders=("xbd/train",))), Path("runs/grader"), TrainOptions())
    ```
    """
    if recipe.data.source == MADE_UP and made_up is None:
        made_up = _plugin_pairs(recipe)  # it names all extras that are missing
    check_extra("deep")
    from deepnets4eo.damage.network.architecture import DamageCriterion
    from deepnets4eo.damage.network.scoring import epoch_scores, grade_validation

    material = labelled_material(recipe) if made_up is None else made_up_material(recipe, made_up, out / KEPT)
    segmenter = build_untrained(recipe, material.inputs)
    criterion = DamageCriterion(recipe.train, segmenter.legend, material.counts)

    def score(segmenter: NetworkSegmenter) -> dict[str, float]:
        return epoch_scores(grade_validation(segmenter, material.validation), recipe.train.ordinal)

    fitted = fit_segmenter(segmenter, material.samples, criterion.step, score, recipe, out, options, criterion)
    if isinstance(material.samples, StreamSamples):
        fitted["windows"] = material.samples.learnt(fitted.get("epochs", 0), recipe.model.start)
    scores, notes = score_as_stored(segmenter, material.validation, recipe)
    scores["synthetic"] = material.notes["synthetic"]
    run = write_run(segmenter, recipe, out, split=material.split, scores=scores, notes=notes | material.notes | fitted)
    if recipe.data.pairs_folder is None:
        _remove_kept(out / KEPT, goes_on=options.is_limited and fitted.get("epochs", 0) < recipe.train.epochs)
    return run


def _remove_kept(folder: Path, *, goes_on: bool) -> None:
    """Remove the pairs that a run kept for itself, unless its training continues; then log their folder and size."""
    if not folder.is_dir():
        return
    if not goes_on:
        remove(folder)
        return
    sizes = [file.stat().st_size for file in KeptPairs.kept_in(folder)]
    log.info("%d drawn pairs are kept for --resume: %s, %.0f MB", len(sizes), folder, sum(sizes) / 1e6)


def labelled_material(recipe: DamageRecipe) -> TrainingPairs:
    """Read labelled pairs and split their buildings. Errors: InputError."""
    from deepnets4eo.damage.network.scoring import Validation

    data = recipe.data
    split = split_buildings(read_pairs(data, recipe.train.seed), data, recipe.train.seed)
    samples = PairSamples(split, measure_pairs(split.training_pairs), recipe)
    described, counts = split.describe(), split.counts(split.train)
    validation = Validation(split.scenes, split.val, samples.scaling, described, post_alone=recipe.train.post_loss > 0)
    shares = (counts / max(counts.sum(), 1)).round(6).tolist()
    notes = {
        "scaling": data.scaling,
        "pairs": {pair.name: pair.sources for pair in split.scenes},
        "ignored_buildings": {pair.name: pair.ignored for pair in split.scenes if pair.ignored},
        "synthetic": any(pair.synthetic for pair in split.scenes),
        "training_shares": dict(zip(described["buildings"]["train"], shares, strict=True)),
    }
    return TrainingPairs(samples, samples.inputs, validation, counts.tolist(), split, notes)


def made_up_material(recipe: DamageRecipe, made_up: MadeUpPairs, folder: Path) -> TrainingPairs:
    """Return endless windows of pairs, and synthetic pairs of other seeds for validation. folder : of pairs that are kept."""
    inputs = InputSpec({PRE: LayerInput.display_rgb, POST: LayerInput.display_rgb}, recipe.data.gsd_m)
    validation = made_up_validation(recipe, inputs, made_up.validation)
    samples = made_up_samples(made_up, recipe, folder)
    return TrainingPairs(samples, inputs, validation, notes={"synthetic": True})


def made_up_validation(recipe: DamageRecipe, inputs: InputSpec, pairs: Sequence[GradedPair]) -> Validation:
    """Return pairs in memory as a validation part."""
    from deepnets4eo.damage.network.scoring import Validation

    labelled = [pair.to_labelled(str(number), recipe.data.gsd_m) for number, pair in enumerate(pairs)]
    grades = [pair.grades for pair in labelled]
    names = Legend.load(LEGEND).names
    counts = np.bincount(np.concatenate(grades), minlength=VOID + 1)[: len(names)]
    described = {
        "kind": "made-up places of other seeds", "pairs": len(pairs),
        "buildings": {"val": dict(zip(names, counts.tolist(), strict=True))},
    }  # fmt: skip
    post_alone = recipe.train.post_loss > 0
    return Validation(labelled, grades, lambda _: inputs, described, post_alone=post_alone, one_tile=True)


def _plugin_pairs(recipe: DamageRecipe) -> MadeUpPairs:
    """Return the pairs of the entry point "made-up". Raises InputError."""
    sources = plugins_of("damage_pairs")
    if MADE_UP not in sources:
        raise InputError(
            f"data.source is {MADE_UP}, but no installed package makes such pairs. Put experiments, a folder of the source "
            "of deepnets4eo, into PYTHONPATH, or set data.source=pairs."
        )
    made: MadeUpPairs = load_plugin(sources[MADE_UP])(recipe)
    return made


def score_as_stored(
    segmenter: NetworkSegmenter, validation: Validation, recipe: DamageRecipe
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Round the weights as they are stored and score them: metrics of the run, and notes of its card."""
    from deepnets4eo.damage.network.scoring import full_scores, grade_validation

    segmenter.stored = recipe.model.stored
    if segmenter.stored == "float16":
        segmenter.module.half().float()  # what is scored is what is written
    even = recipe.train.ordinal
    scores = full_scores(grade_validation(segmenter, validation), even, validation.described)
    notes = _validated(scores) | {"split": validation.described, "leaky": scores["protocol"]["leaky"]}
    if even:
        notes[EVEN_GRADES] = True
    if validation.post_alone:
        notes[POST_ALONE] = _validated(scores[POST_ALONE])
    return scores, notes


def _validated(scores: dict[str, Any]) -> dict[str, Any]:
    return {"temperature": scores["temperature"], "validation": {name: scores[name] for name in VALIDATED}}


def build_untrained(recipe: DamageRecipe, inputs: InputSpec) -> NetworkSegmenter:
    """Return the segmenter before its first step, with the weights of `start` if it is set. Raises RunError."""
    model, predict = recipe.model, recipe.predict
    network: dict[str, Any] = {
        "name": model.network, "unet": model.unet, "post_head": recipe.train.post_loss > 0, "encoder": model.encoder,
    }  # fmt: skip
    if model.decoder_channels is not None:
        network["decoder_channels"] = list(model.decoder_channels)
    tiling = Tiling(predict.tile_px, predict.halo_px)  # logits of buildings are pooled over cores that abut
    segmenter = build_segmenter(recipe, network, inputs, Legend.load(LEGEND), tiling)
    if model.start is not None:
        _take_over(segmenter, run_path(model.start))
    return segmenter


def _take_over(segmenter: NetworkSegmenter, run: Path) -> None:
    """Start from all of a run of the same network, or from the U-Net of one that labels pixels. Errors: RunError."""
    from safetensors.torch import load_file

    from deepnets4eo.segmenters import open_sealed

    open_sealed(run)
    own: dict[str, Any] = segmenter.module.state_dict()
    others = load_file(RunFolder(run).read_weights)
    if not any(name.startswith(SHARED) for name in others):
        others = {SHARED + name: value for name, value in others.items()}
    fitting = {name: others[name].to(value.dtype) for name, value in own.items()
               if name in others and others[name].shape == value.shape}  # fmt: skip
    if len(fitting) < len(own) // 2:
        raise RunError(
            f"{run} has {len(fitting)} of the {len(own)} weights of the network. Start from a run of the same "
            "U-Net, encoder and decoder_channels, or from none."
        )
    segmenter.module.load_state_dict(own | fitting)


TASK = Task(train_damage, DamageRecipe)
