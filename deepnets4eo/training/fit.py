"""The one trainer: takes a segmenter, samples, a criterion and a scorer; returns a fitted segmenter and its run folder.

Adding a task
-------------
A task is one short module and one line in `setup.cfg` under `deepnets4eo.training.tasks`. It has

samples : (`training.data.Samples`) the windows of an epoch, and each window as tensors. For a target that is a raster,
    subclass `training.data.SceneSamples`. A float target is NaN for void pixels; the target of a whole image is
    (1, 1). Two dates are two inputs, `image_pre` and `image_post`.
criterion : `criterion(network, batch)` returns the loss of a batch, () float32.
scorer : `scorer(segmenter)` returns the validation scores after an epoch; larger is better.
recipe : (`training.recipe.Recipe`, or a subclass) its `train.monitor` is the score that decides which epoch is kept.

The module ends in a function that calls the four steps, and in the `Task` that the entry point names:

    def train_share(recipe: ShareRecipe, out: Path, options: TrainOptions) -> Path:
        split = make_split(open_layers(recipe.data, ["image"]), recipe.data)
        inputs = measure_inputs(split, ["image"])
        segmenter = build_segmenter(recipe, {"name": recipe.model.network}, inputs, LEGEND)
        samples = ShareSamples(split, inputs, recipe)
        scorer = ShareScorer(samples)
        notes = fit_segmenter(segmenter, samples, criterion, scorer, recipe, out, options)
        return write_run(segmenter, recipe, out, split=split, scores=scorer(segmenter), notes=notes)

    TASK = Task(train_share, ShareRecipe)

`train` locks and checks the folder, and `--resume`, `--overwrite` and `--set` work, before the task is called.
`training.regression` is such a module; `tests/training/test_example_task.py` has a short one, with one number per image.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from deepnets4eo.cards import Legend
from deepnets4eo.device import choose
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import report
from deepnets4eo.files import write_json, write_text
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter, RunFolder, Segmenter
from deepnets4eo.segmenters.history import draw_curves, write_log
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling
from deepnets4eo.training.ranks import Rank
from deepnets4eo.training.recipe import Recipe, read_recipe, resolve
from deepnets4eo.training.same_recipe import as_requested, recipe_identity
from deepnets4eo.training.splits import DataSplit, write_split_maps
from deepnets4eo.training.tasks import TrainOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from deepnets4eo.training.batches import Batch, Loader
    from deepnets4eo.training.data import Samples
    from deepnets4eo.training.epochs import Remembering

log = logging.getLogger(__name__)

SPLIT, CONFUSION = "split.geojson", "confusion.csv"


class Split(Protocol):
    """Part of a split that the run folder keeps; `training.splits.DataSplit` has it."""

    def to_geojson(self) -> dict[str, Any]:
        """Return the location of each part as GeoJSON."""


def build_segmenter(
    recipe: Recipe, network: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling | None = None
) -> NetworkSegmenter:
    """Build an untrained network whose weights follow from `train.seed`.

    Errors: InputError for a network or option that does not exist, or weights that do not fit.

    Parameters
    ----------
    recipe : its `train.seed`, `model.encoder_weights` and, without `tiling`, section `predict` are used
    network : arguments of `create_model`, without channels and classes
    inputs : layers and scaling; the network takes their bands, concatenated
    legend : the network has one output per class, then the outputs of its quantity
    tiling : how prediction cuts scenes; by default as in the recipe's section `predict`

    Returns
    -------
    The segmenter, on the CPU.
    """
    import torch

    from deepnets4eo.segmenters import create_model

    predict = recipe.predict
    sizes: dict[str, Any] = {"in_channels": inputs.in_channels, "num_classes": legend.num_channels}
    if tiling is None:
        tiling = Tiling(**predict.model_dump())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.train.seed)
        bands = [band for layer in inputs.layers.values() for band in layer.bands]
        module = create_model(**network, **sizes, weights=recipe.model.encoder_weights, bands=bands)
    _check_dates(module, inputs)
    return NetworkSegmenter(network, inputs, legend, tiling=tiling, module=module)


def _check_dates(module: nn.Module, inputs: InputSpec) -> None:
    """Refuse layers if a network that cuts its bands into dates would mix the layers of two dates. Errors: InputError."""
    dates: int = max(getattr(part, "dates", 1) for part in module.modules())
    layers = [[band.casefold() for band in layer.bands] for layer in inputs.layers.values()]
    each = max(len(layers) // dates, 1)
    first, *others = (sum(layers[start : start + each], []) for start in range(0, len(layers), each))
    reordered = any(sorted(bands) == sorted(first) and bands != first for bands in others)
    uneven = len(others) + 1 != dates or any(len(bands) != len(first) for bands in others)
    if dates > 1 and len(layers) > 1 and (reordered or uneven):
        listed = "; ".join(f"{name}: {', '.join(layer.bands)}" for name, layer in inputs.layers.items())
        raise InputError(
            f"the network compares {dates} dates, and the layers are {listed}. Give all dates the same bands in the same "
            "order, the oldest date first."
        )


def fit_segmenter(
    segmenter: NetworkSegmenter,
    samples: Samples | Loader,
    criterion: Callable[[nn.Module, Batch], Tensor],
    scorer: Callable[[NetworkSegmenter], dict[str, float]],
    recipe: Recipe,
    out: Path,
    options: TrainOptions,
    memory: Remembering | None = None,
) -> dict[str, Any]:
    """Train the network of a segmenter in place; the kept epoch's weights stay in it.

    The same seed, samples and device give the same bits, also after an interruption; on a GPU only if all operations are deterministic.

    Every epoch writes `checkpoints/`, `log.csv` and `curves.png`. A network without trainable weights stays unchanged.

    Errors: InputError when an epoch has no full batch, or `train.monitor` is none of the scores.

    RunError when the loss is not finite, or the checkpoint to resume from is of another recipe.

    Parameters
    ----------
    segmenter : with an untrained network, as in `build_segmenter`
    samples : windows of each epoch; or a loader of whole batches, which augments them itself
    criterion : (network, batch) → loss, () float32; a batch is what `samples` returns, (N, …) on the network's device
    scorer : segmenter → scores by name, after each epoch; one is `train.monitor`; `val_loss` is drawn next to the loss
    recipe : its section `train`, `data.windows_per_epoch` and `data.num_workers` are used
    out : the run folder
    options : device, and whether to resume
    memory : the object of `criterion`, if its loss depends on earlier batches: checkpoints keep what it remembers

    Returns
    -------
    Notes for the run's card: epochs, best_epoch, kept, batch_size, compute, devices, seconds; `finished_after` if training
    ended early. Of several processes (`training.ranks`) only the first returns, unless `options.followed`.
    """

    from deepnets4eo.training.batches import Loader, with_batch_size
    from deepnets4eo.training.epochs import Fit, say_how_far
    from deepnets4eo.training.loop import fit_network

    rank, compute = Rank.current(), choose(options.device, recipe.train.precision)
    at_rest = replace(compute, precision="float32")
    if not any(parameter.requires_grad for parameter in segmenter.module.parameters()):
        _check_has_weights(recipe)
        _end_others(rank, options)
        segmenter.to(at_rest)
        return {"compute": at_rest.to_dict(), "seconds": 0.0}
    device = rank.own_device(compute.device)
    segmenter.send_batches_to(replace(at_rest, device=device))  # of scorers that predict; the loop moves the network
    if isinstance(samples, Loader):
        if rank.count > 1:
            raise InputError(
                f"this task makes its own batches, which {rank.count} devices cannot share. Leave out --devices."
            )
        loader = samples
    else:
        recipe = with_batch_size(recipe, segmenter.module, criterion, samples, compute)
        loader = _load_windows(samples, recipe, rank)
    train = recipe.train
    limits = {"minutes": options.minutes, "epochs": options.epochs, "finish": options.finish}
    identity = recipe_identity(recipe)
    fit = Fit(train, out, identity, device, compute.precision, options.resume, rank, memory=memory, **limits)  # type: ignore[arg-type]
    with rank.group(fit.device):
        progress = fit_network(segmenter.module, criterion, loader, lambda _: scorer(segmenter), fit)
    _end_others(rank, options)
    segmenter.to(at_rest)
    epochs = {"epochs": progress.epochs_done, "best_epoch": progress.best_epoch, "kept": fit.choose_weights(progress)}
    if how_far := say_how_far(progress, fit):
        epochs["finished_after"] = how_far
    seconds = round(sum(row["seconds"] for row in progress.history), 3)
    batch_size = train.usual_batch_size
    return {**epochs, "batch_size": batch_size, "compute": compute.to_dict(), "devices": rank.count, "seconds": seconds}


def _end_others(rank: Rank, options: TrainOptions) -> None:
    if not options.followed:
        rank.end_unless_first()


def _load_windows(samples: Samples, recipe: Recipe, rank: Rank) -> Loader:
    """Return a loader of augmented windows in batches, according to the recipe."""
    from deepnets4eo.training.augmentation import Augmentation
    from deepnets4eo.training.data import TrainLoader

    train, data = recipe.train, recipe.data
    augment = Augmentation(train.flips, train.rotations, train.photometric, train.modality_dropout, train.clicks)
    return TrainLoader(samples, augment, train.batch_size, data.windows_per_epoch, train.seed, data.num_workers, rank)


def _check_has_weights(recipe: Recipe) -> None:
    """Check that a network without trainable weights has weights to keep.

    Such a network takes no step, so that not even statistics of normalisation change."""
    if not recipe.model.encoder_weights:
        raise InputError(
            f"nothing in the network {recipe.model.network} learns, and it has no weights to keep. Set "
            "model.encoder_weights to the runs that it puts together, or leave out frozen."
        )
    log.info("nothing in the network %s learns: its weights stay as they are", recipe.model.network)


def write_run(
    segmenter: Segmenter,
    recipe: Recipe,
    out: Path,
    *,
    split: Split | None,
    scores: Mapping[str, Any],
    notes: Mapping[str, Any],
) -> Path:
    """Write the run folder of a fitted segmenter.

    Parameters
    ----------
    segmenter : the trained segmenter
    recipe
        As resolved. Values that `train` was given as 0 or none stay so in the run; its card states as `chosen` what the data
        chose for them.
    out : the run folder; `fit_segmenter` has written its log there
    split : for `split.geojson`; of a `DataSplit` also maps, see `write_split_maps`; None: data without a location
    scores : of the validation part, for `metrics.json`; a matrix `confusion` is also written as `confusion.csv`
    notes
        For the card: the notes from `fit_segmenter`, and the training data. Without `epochs` `log.csv` and `curves.png` have
        one epoch, with the overall scores and `seconds`.

    Returns
    -------
    The run folder, which `load_run` reads.
    """
    Rank.current().end_unless_first()
    write_results(out, split=split, scores=scores, notes=notes)
    kept = {"task": recipe.task, **notes}
    begun, values = RunFolder(out).recipe, recipe.to_dict()
    if begun.is_file():
        values, chosen = as_requested(recipe, resolve(read_recipe(begun), kind=type(recipe), where=str(begun)))
        kept |= {"chosen": chosen} if chosen else {}
    return save_run(segmenter, out, recipe=values, seed=recipe.train.seed, notes=kept)


def write_results(out: Path, *, split: Split | None, scores: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
    """Write the files of a run folder other than its model: split, scores, and a log of one epoch if there is no log."""
    if split is not None:
        write_json(out / SPLIT, split.to_geojson())
    if isinstance(split, DataSplit):
        write_split_maps(split, out)
    write_json(RunFolder(out).metrics, scores)
    if "confusion" in scores:
        write_text(out / CONFUSION, report.confusion_csv(scores))
    if "epochs" not in notes:
        overall = {
            name: scores[name] for name in report.ScoreNames.overall if name in scores
        }  # of several labels an image: one
        row = {"epoch": 1, "seconds": notes["seconds"], **overall}
        write_log(RunFolder(out).log, [row])
        draw_curves(out / "curves.png", [row])
