"""Training as users call it: a recipe's name or file and data in, a run folder out, or one run a seed.

Refuses folders that exist without the option to overwrite or resume, and resuming with another recipe or other data.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepnets4eo.cards import CardKind, DatasetCard, recipe_path
from deepnets4eo.device import check_devices
from deepnets4eo.display import list_and_count
from deepnets4eo.errors import InputError, OtherJobError, Reading, RunError
from deepnets4eo.evaluation.comparison import write_mean_scores
from deepnets4eo.files import check_overwrite, read_json, remove, remove_leftovers, sha256, write_json
from deepnets4eo.formats import allow_user_files, offline, user_files
from deepnets4eo.jobs import identity, output_lock
from deepnets4eo.lazy import check_extra, name_missing_extra
from deepnets4eo.outputs import check_not_inputs
from deepnets4eo.prefetch import in_order
from deepnets4eo.segmenters import RunFolder, load_run
from deepnets4eo.segmenters.downloads import allow_downloads
from deepnets4eo.segmenters.history import draw_runs
from deepnets4eo.segmenters.networks import own_network
from deepnets4eo.training.epochs import Checkpoint
from deepnets4eo.training.heartbeat import line_per_minute
from deepnets4eo.training.image_masks import ImageMaskFolders
from deepnets4eo.training.ranks import Rank
from deepnets4eo.training.recipe import Recipe, read_recipe, resolve
from deepnets4eo.training.same_recipe import check_same_recipe, with_whole_paths
from deepnets4eo.training.tasks import Task, TrainOptions, load_task

SEGMENTATION = "segmentation"

if TYPE_CHECKING:
    from torch import nn

OWN_RECIPE = "unet-resnet34"  # by which a user's module is trained
OFFLINE = "a recipe goes online only where that was asked for. Add --online, or give a file on this computer."
MADE = (
    "card.json", Checkpoint.folder, "confusion.csv", "curves.png", "estimator.skops", "legend.yaml", "log.csv", "look.yaml",
    "metrics.json", "mlflow.db", "recipe.yaml", "refit", "split", "split.geojson", "tensorboard", "wandb", "weights.safetensors",
)  # fmt: skip
FILES = "files.json"
BESIDE = (".aux.xml", ".ovr", ".qgz", ".qml", ".txt", ".md", ".log")  # what other programs write beside data
NAMED = 3
SPLIT_KEYS = ("data.split_seed", "data.fold")


@name_missing_extra()
def train(
    recipe: str | Path | Recipe | None = None,
    out: str | Path | None = None,
    *,
    data: str | Path | Sequence[str | Path] | ImageMaskFolders = (),
    model: nn.Module | None = None,
    overrides: Sequence[str] = (),
    options: TrainOptions | None = None,
) -> Path:
    """Train the model that a recipe describes.

    The run contains recipe.yaml, weights.safetensors (estimator.skops), card.json, legend.yaml, log.csv, metrics.json,
    confusion.csv, curves.png, split.geojson, split/ and checkpoints/.

    Two runs of one seed on one CPU have the same weights. With `options.devices`, or within `torchrun`, several
    processes train one network; only the first one writes.

    Errors: InputError for a recipe, data or legend that cannot be used; OutputError when the folder contains a run
    already.

    RunError when the training cannot be resumed, or its loss is not finite.

    Parameters
    ----------
    recipe : name in the catalog, YAML file, or a Recipe; by default "unet-resnet34", if `model` is given
    out : the run folder; by default `runs/NAME`, by the recipe or the class of `model`
    data
        Folders for the recipe's patterns; or one as "DATASET=FOLDER", whose files a dataset card pairs; or `ImageMaskFolders`.
    model
        A module of your own, (N, C, H, W) float32 → scores (N, K, H, W), in place of the recipe's network. It has the trained weights
        afterwards; `load_run(run, model=…)` restores it, whose code is not in the run.
    overrides : values of the recipe to change, as `section.key=value`
    options : device, resume, finish, overwrite, online, devices

    Returns
    -------
    The run folder.

    Examples
    --------
    ```python
    run = train(model=MyNet(3, 6), data=ImageMaskFolders("images", "masks"), out="runs/mine", overrides=["train.epochs=20"])
    predict(load_run(run, model=MyNet(3, 6)), "scene.tif", "labels.tif")
    ```
    """
    if model is not None:
        return _train_own(model, recipe or OWN_RECIPE, out, data, overrides, options or TrainOptions())
    if recipe is None:
        raise InputError(
            "neither a recipe nor a model is given. Give a recipe, e.g. unet-resnet34, or model=a torch.nn.Module."
        )
    options, out = options or TrainOptions(), _run_folder(recipe, out)
    data, overrides = _with_folders(recipe, out, data, overrides, options)
    resolved, task = load_recipe(recipe, data=data, overrides=overrides)
    check_extra(resolved.train.logger.removesuffix("-offline"))
    rank = Rank.current()
    _check_shared(resolved, options, rank)
    if not rank.is_first:
        return _train_as_rank(task, resolved, out, options)
    recipe_file = recipe if isinstance(recipe, (str, Path)) and not options.resume else None
    check_not_inputs([out, *(out / name for name in MADE)], [recipe_file, paths_in(resolved.to_dict())])
    with output_lock(out):
        check_overwrite(out, overwrite=options.overwrite, resume=options.resume)
        if options.finish:
            _check_begun(resolved, out)
        if options.resume:
            check_same_recipe(RunFolder(out).recipe, resolved)
            check_data_files(resolved, out, out / Checkpoint.folder / FILES)
        else:
            _clear(out)
        remove_leftovers(out / Checkpoint.folder)
        try:
            if resolved.model.network and not options.resume:  # estimators keep no checkpoints
                note_data_files(resolved, out, out / Checkpoint.folder / FILES)
            resolved.save(RunFolder(out).recipe)
            if options.devices == 1:
                return _train_as_rank(task, resolved, out, options)
            from deepnets4eo.training.ranks import run_ranks

            job = (task, resolved, out, replace(options, devices=1), [str(path) for path in user_files()])
            run_ranks(options.devices, _train_as_rank, *job)
            return out
        except Exception:
            if not any(out.rglob(f"{Checkpoint.folder}/**/*.safetensors")):  # there is nothing to resume
                _clear(out)
            raise


def _run_folder(recipe: str | Path | Recipe, out: str | Path | None) -> Path:
    """Return the folder of the run: `out`, or by default `runs/NAME`."""
    if out is not None:
        return Path(out)
    return Path("runs") / (recipe.task if isinstance(recipe, Recipe) else Path(recipe).stem)


def _with_folders(
    recipe: str | Path | Recipe,
    out: Path,
    data: str | Path | Sequence[str | Path] | ImageMaskFolders,
    overrides: Sequence[str],
    options: TrainOptions,
) -> tuple[str | Path | Sequence[str | Path], Sequence[str]]:
    """Return data and overrides for `load_recipe`: images and masks of two folders become scenes and a legend of the recipe."""
    if not isinstance(data, ImageMaskFolders):
        return data, overrides
    check_overwrite(out, overwrite=options.overwrite, resume=options.resume)
    resolved, _ = load_recipe(recipe, overrides=overrides)
    chosen = {override.partition("=")[0].strip() for override in overrides}
    return (), [*overrides, *data.overrides(resolved, chosen, out)]


def _train_own(
    model: nn.Module,
    recipe: str | Path | Recipe,
    out: str | Path | None,
    data: str | Path | Sequence[str | Path] | ImageMaskFolders,
    overrides: Sequence[str],
    options: TrainOptions,
) -> Path:
    """Train a user's module by the rest of a recipe; its weights become the trained ones."""
    if options.devices > 1:
        raise InputError(f"a module of your own cannot be sent to {options.devices} processes. Give devices=1.")
    with own_network(model) as name:
        resolved, _ = load_recipe(recipe, overrides=overrides)
        if not resolved.model.network:
            raise InputError(
                f"the task {resolved.task} of the recipe trains no network. Choose another recipe, e.g. {OWN_RECIPE}."
            )
        section: dict[str, Any] = {"network": name, "encoder": None, "encoder_weights": None, "options": {}}
        own = resolved.model_copy(update={"model": resolved.model.model_copy(update=section)})
        out = Path("runs") / type(model).__name__ if out is None else Path(out)
        kept = [override for override in overrides if not override.startswith("model.")]  # those are in `own`
        run = train(own, out, data=data, overrides=kept, options=options)
    trained = load_run(run, model=model).segmenter
    model.load_state_dict(trained.module.state_dict())  # type: ignore[attr-defined]
    return run


@Reading.of_source("Is it the right file? Correct it, or write it again.")
def load_recipe(
    recipe: str | Path | Recipe, *, data: str | Path | Sequence[str | Path] = (), overrides: Sequence[str] = ()
) -> tuple[Recipe, Task]:
    """Resolve a recipe and find its task.

    Errors: InputError (naming the key, its value and what was expected).

    Parameters
    ----------
    recipe : name in the catalog, YAML file, or a Recipe
    data : Folders for the recipe's patterns; or one as "DATASET=FOLDER", whose files a dataset card pairs.
    overrides : values of the recipe to change, as `section.key=value`

    Returns
    -------
    The recipe as resolved, and its task.

    Examples
    --------
    >>> recipe, task = load_recipe("unet-mobilenet", overrides=["legend=isprs", "train.epochs=20"])
    >>> recipe.task, recipe.train.epochs
    ('segmentation', 20)
    """
    values, where = _values(recipe)
    task = load_task(_task_name(values, overrides))
    dataset_name, folders = _data_folders([data] if isinstance(data, (str, Path)) else list(data))
    section = values.get("data") or {}
    if folders:
        _check_takes_folders(task.recipe, where)
    if folders and isinstance(section, Mapping):  # anything else is refused below
        added = {"folders": [str(Path(f).resolve()) for f in folders]} | (
            {"dataset": dataset_name} if dataset_name else {}
        )
        values = values | {"data": {**section, **added}}
    resolved = _resolve(values, overrides, task.recipe, where)
    dataset = getattr(resolved.data, "dataset", None)  # tasks may have data sections of their own
    if dataset and not resolved.legend:
        resolved = resolved.model_copy(update={"legend": DatasetCard.load(dataset).legend})
    return with_whole_paths(resolved), task


def _train_as_rank(task: Task, recipe: Recipe, out: Path, options: TrainOptions, files: Sequence[str] = ()) -> Path:
    """Train in this process, which may be one of several; `files` are those that the user named in another process."""
    if not Rank.current().is_first:  # it would repeat what the first one says
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
    lines = line_per_minute(f"training {recipe.task}") if Rank.current().is_first else nullcontext()
    with allow_user_files(files), allow_downloads() if options.online else offline(OFFLINE), lines:
        return task.train(recipe, out, options)


def _check_shared(recipe: Recipe, options: TrainOptions, rank: Rank) -> None:
    """Refuse what several processes cannot train together."""
    if rank.count > 1 and options.devices > 1:
        raise InputError(f"torchrun has started {rank.count} processes already. Leave out --devices.")
    check_devices(options.device, options.devices)
    count, batch_size = max(rank.count, options.devices), recipe.train.batch_size
    if count == 1:
        return
    if not recipe.model.network:
        raise InputError(f"the recipe trains no network, so {count} devices cannot share it. Leave out --devices.")
    if not batch_size:
        raise InputError(
            "train.batch_size=0 is chosen by the memory of one GPU, but there are several devices. Set "
            f"train.batch_size={count * recipe.train.usual_batch_size}."
        )
    if batch_size % count:
        near = max(count, batch_size - batch_size % count)
        raise InputError(
            f"train.batch_size={batch_size} cannot be shared evenly by {count} devices. Set train.batch_size={near}."
        )


def _check_begun(recipe: Recipe, out: Path) -> None:
    """Refuse to finish what learns in one go, and what has learnt nothing yet."""
    if not recipe.model.network:
        raise InputError("the recipe trains no network, and what it trains is learnt in one go. Leave out --finish.")
    if not any(out.rglob(f"{Checkpoint.folder}/{Checkpoint.last}")):
        raise RunError(f"{out} has no checkpoint: there is nothing to finish. Train it with --resume alone.")


def _data_folders(data: Sequence[str | Path]) -> tuple[str, list[str]]:
    """Return the dataset card named by the data, or "", and the folders: of pavia_university=FOLDER, or of plain folders."""
    named = [str(entry).partition("=") for entry in data if "=" in str(entry) and not Path(entry).exists()]
    if not named:
        return "", [str(entry) for entry in data]
    if len(data) > 1:
        raise InputError(f"--data names the dataset {named[0][0]} next to other data. Give only DATASET=FOLDER.")
    name, _, folder = named[0]
    CardKind.DATASET.path(name)
    return name, [folder]


def _check_takes_folders(kind: type[Recipe], where: str) -> None:
    """Refuse folders for a task whose data are not looked up in any. Errors: InputError."""
    fields = getattr(kind.model_fields["data"].annotation, "model_fields", {})
    if "folders" in fields:
        return
    if "world" in fields:
        raise InputError(
            f"{where}: this recipe learns from synthetic places and takes no --data. Leave out --data; to learn from your own "
            "images and labels, train another recipe, e.g. unet-resnet34."
        )
    raise InputError(f"{where}: this recipe takes no --data. Leave it out, and set data.{', data.'.join(fields)}.")


def _resolve(values: dict[str, Any], overrides: Sequence[str], kind: type[Recipe], where: str) -> Recipe:
    """Resolve the recipe; errors that only its changed values cause are attributed to --set, not to the recipe's file."""
    try:
        return resolve(values, overrides, kind=kind, where=where)
    except InputError:
        if not overrides:
            raise
        resolve(values, kind=kind, where=where)
        return resolve(values, overrides, kind=kind, where=" ".join(f"--set {override}" for override in overrides))


def _values(recipe: str | Path | Recipe) -> tuple[dict[str, Any], str]:
    if isinstance(recipe, Recipe):
        return recipe.to_dict(), "recipe"
    path = recipe_path(recipe)
    return read_recipe(path), str(path)


def _task_name(values: dict[str, Any], overrides: Sequence[str]) -> str:
    """Return the name of the task, which decides the allowed keys and is therefore looked up before they are checked."""
    name = values.get("task", SEGMENTATION)
    for override in overrides:
        if override.startswith("task="):
            name = override.partition("=")[2]
    if not isinstance(name, str):
        raise InputError(f"the recipe's task is {name!r}, expected a name such as {SEGMENTATION!r}.")
    return name


def _clear(out: Path) -> None:
    """Remove what an earlier training made, and nothing else."""
    for name in MADE:
        remove(out / name)
    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()


def note_data_files(recipe: Recipe, out: Path, note: Path) -> None:
    """Write size, time and SHA-256 of every file of the data into `note`; files in the run folder `out` do not count."""
    files = sorted(set(_data_files(recipe, out)))
    digests = in_order(sha256, files)
    write_json(note, {str(path): [*identity(path)[1:], digest] for path, digest in zip(files, digests, strict=True)})


def check_data_files(recipe: Recipe, out: Path, note: Path) -> None:
    """Refuse (OtherJobError) to continue with other data: files of `note` that changed or are gone, and new ones of their kinds."""
    if not note.is_file():
        return
    noted = read_json(note)
    changed = [path for path, state in noted.items() if not _is_as_noted(Path(path), state)]
    kinds = {Path(path).suffix for path in noted}
    changed += sorted({str(path) for path in _data_files(recipe, out) if path.suffix in kinds} - noted.keys())
    if changed:
        raise OtherJobError(
            f"{list_and_count(changed, NAMED)}: changed since the training in {out} began, so that its scores cannot be "
            f"compared. Train again into another --out; if they do not matter, delete {note} and resume.", changed,
        )  # fmt: skip


def _is_as_noted(path: Path, state: Sequence[Any]) -> bool:
    """Return whether a file has the size and time that were noted, or else the size and content."""
    now = identity(path)[1:]
    if now == list(state[:2]):
        return True
    return now[:1] == list(state[:1]) and len(state) > 2 and sha256(path) == state[2]


def paths_in(values: Any) -> list[str]:
    """All texts of a recipe or section that may be paths, in order.

    >>> paths_in({"layers": {"image": "image.tif"}, "epochs": 3, "folders": ["a", "b"]})
    ['image.tif', 'a', 'b']
    """
    if isinstance(values, str):
        return [values]
    items = values.values() if isinstance(values, dict) else values if isinstance(values, (list, tuple)) else ()
    return [path for item in items for path in paths_in(item)]


def _data_files(recipe: Recipe, out: Path) -> Iterator[Path]:
    legend = [recipe.legend] if isinstance(recipe.legend, str) and recipe.legend else []
    for path in map(Path, [*paths_in(recipe.data.model_dump(mode="json")), *legend]):
        if path.is_file():
            yield path
    keys = ("folders", "unlabelled", "val", "test")
    for folder in [entry for key in keys for entry in getattr(recipe.data, key, ())]:
        for path in Path(folder).rglob("*"):
            of_data = path.is_file() and not path.name.startswith(".") and not path.name.endswith(BESIDE)
            if of_data and out.resolve() not in path.resolve().parents:
                yield path


def train_seeds(
    recipe: str | Path | Recipe,
    out: str | Path | None,
    count: int,
    *,
    data: str | Path | Sequence[str | Path] | ImageMaskFolders = (),
    overrides: Sequence[str] = (),
    options: TrainOptions | None = None,
) -> Path:
    """Train a recipe with several seeds, and average the scores of their withheld parts.

    The runs are `out/seed-0`, `out/seed-1` and so on, from the recipe's `train.seed` on. The file `out/seeds.json` has
    mean, sd and each run's score.

    Run s withholds fold s where `data.split` is folds, else the part drawn by `data.split_seed` s. An override of
    `data.split_seed` or `data.fold` keeps one part for all.

    Errors: InputError for fewer than two seeds, also of those to finish, or a recipe that withholds nothing; else as `train`.

    Parameters
    ----------
    recipe, data, overrides : arguments as in `train`
    out : folder of the runs; by default `runs/RECIPE`
    count : number of seeds, at least 2
    options
        Arguments as in `train`. With `resume`, finished runs of the same recipe are kept; with `finish`, seeds that were not begun are
        left out.

    Returns
    -------
    The folder `out`; read `out/seeds.json` with `deepnets4eo.evaluation.seeds_table`; `out/curves.png` has the curves of all.
    """
    if count < 2:
        raise InputError(f"{count} seeds have no spread. Give 2 or more, or train once without a number of seeds.")
    if Rank.current().count > 1:
        raise InputError(
            "torchrun starts the processes of one training, not of several seeds. Leave it out, and give --devices."
        )
    options, out = options or TrainOptions(), _run_folder(recipe, out)
    data, overrides = _with_folders(recipe, out, data, overrides, options)
    resolved, _ = load_recipe(recipe, data=data, overrides=overrides)
    if getattr(resolved.data, "val_share", None) == 0 and not getattr(resolved.data, "val_scenes", ()):
        raise InputError(
            "data.val_share=0 withholds nothing, so the seeds have no scores. Set it above 0, or train once."
        )
    first = resolved.train.seed
    runs = {f"seed-{seed}": seed for seed in range(first, first + count)}
    if options.finish:
        begun = (
            name for name in runs if RunFolder(out / name).card.exists() or any((out / name).rglob(Checkpoint.last))
        )
        runs = {name: runs[name] for name in begun}
        if len(runs) < 2:
            raise InputError(
                f"{len(runs)} of {count} seeds have begun in {out}; their spread takes two. Go on with only --resume."
            )
    note = out / FILES  # of all seeds
    if options.resume:
        check_data_files(resolved, out, note)
    if not (options.resume and note.is_file()):
        note_data_files(resolved, out, note)
    for name, seed in runs.items():
        changes = [*overrides, f"train.seed={seed}", *_part_of_seed(resolved.data, seed, overrides)]
        if options.resume and RunFolder(out / name).card.exists():
            check_same_recipe(RunFolder(out / name).recipe, load_recipe(recipe, data=data, overrides=changes)[0])
        else:
            train(recipe, out / name, data=data, overrides=changes, options=options)
    if logged := [out / name for name in runs if RunFolder(out / name).log.is_file()]:
        draw_runs(out / "curves.png", logged)
    write_mean_scores(out, {name: read_json(RunFolder(out / name).metrics) for name in runs})
    return out


def _part_of_seed(data: Any, seed: int, overrides: Sequence[str]) -> list[str]:
    """Return overrides that choose the withheld part of a seed; none if the user chose one, or the task has no such choice."""
    if any(override.partition("=")[0] in SPLIT_KEYS for override in overrides) or not hasattr(data, "split_seed"):
        return []
    in_folds = getattr(data, "split", "") == "folds"  # whole images are drawn by the seed alone
    return [f"data.fold={seed % data.folds}"] if in_folds else [f"data.split_seed={seed}"]
