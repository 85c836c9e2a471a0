"""Report of a hyperspectral run: maps, spectra of the classes, confusion matrix and leakage on one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepnets4eo.display import FigureStyle
from deepnets4eo.errors import DeepNets4EOError, InputError
from deepnets4eo.evaluation import confusion_csv, confusion_figure
from deepnets4eo.files import atomic_write, check_overwrite, read_json, write_text
from deepnets4eo.hyperspectral.class_spectra import ClassSpectra
from deepnets4eo.hyperspectral.map_figure import cube_layer, map_figure
from deepnets4eo.hyperspectral.run_page import Figures, page
from deepnets4eo.jobs import output_lock
from deepnets4eo.outputs import check_not_inputs
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.segmenters import load_run
from deepnets4eo.training import DataSplit, LabelledScene, load_recipe, make_split, open_labelled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


PAGE = "report.html"
MAX_SCENES = 12  # of which maps are drawn
DPI = 110


def report(
    run: str | Path,
    out: str | Path,
    *,
    data: str | Path | Sequence[str | Path] = (),
    options: PredictOptions | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the report of a run: report.html, which works offline, with figures, spectra.csv and confusion.csv next to it.

    It has maps of the training's scenes (12 at most), which are predicted here, and mean spectra of each class with
    their spread.

    Confusion matrix, scores by class and leakage are only of withheld pixels.

    Parameters
    ----------
    run : folder that a training of the task `hyperspectral` wrote
    out : folder to write; created if missing
    data : present paths of the training's files, as `train` takes them; by default their paths at training time
    options : options of the predictions, such as their memory
    overwrite : whether an existing report is replaced

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        For a run of another task, or data whose pixels differ from the pixels of the training.
    OutputError
        If the page exists.

    Examples
    --------
    ::

        report("runs/hamida", "runs/hamida/report")
    """
    folder, out = Path(run), Path(out)
    path = out / PAGE
    check_not_inputs([path], [folder])
    with output_lock(out), _whole(folder):
        check_overwrite(path, overwrite=overwrite)
        loaded = load_run(folder)
        metrics, split = _open_split(folder, loaded.card, data)
        options = replace(options or PredictOptions(), overwrite=True)
        mark = FigureStyle.synthetic_mark if metrics.get("synthetic") else ""
        out.mkdir(parents=True, exist_ok=True)
        maps = []
        for number, named in enumerate(split.scenes[:MAX_SCENES]):
            labels = out / f"map_{number + 1}.tif"
            predict(loaded, named.scene, labels, options)
            maps.append(_save(map_figure(split, number, labels, loaded.recipe, mark), out / f"map_{number + 1}.png"))
        layer = cube_layer(split.scenes[0], loaded.recipe["model"]["layers"])
        spectra = ClassSpectra.measure(split, layer)
        write_text(out / "spectra.csv", spectra.csv())
        write_text(out / "confusion.csv", confusion_csv(metrics))
        figures = Figures(
            maps,
            _save(spectra.figure(f"Mean spectra of the classes{mark}"), out / "spectra.png"),
            confusion_figure(metrics, out / "confusion.png", f"Withheld pixels{mark}"),
        )
        left_out = len(split.scenes) - len(maps)
        return write_text(path, page(metrics, loaded.card, loaded.recipe, figures, left_out))


@contextmanager
def _whole(folder: Path) -> Iterator[None]:
    """Turn what a card or scores without their values raise into an InputError that names the run."""
    try:
        yield
    except DeepNets4EOError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"{folder}: its card.json or metrics.json lacks a value, or has one of another kind ({error!r}). Take the run folder as its "
            "training wrote it, or train again."
        ) from error


def _open_split(
    folder: Path, card: dict[str, Any], data: str | Path | Sequence[str | Path]
) -> tuple[dict[str, Any], DataSplit[LabelledScene]]:
    """Return metrics of a run and its training's scenes, split as before. Errors: InputError if the scenes have changed."""
    from deepnets4eo.hyperspectral.samples import describe_parts
    from deepnets4eo.hyperspectral.training import HyperspectralRecipe, with_buffer

    recipe, _ = load_recipe(folder / "recipe.yaml", data=data)
    if not isinstance(recipe, HyperspectralRecipe):
        raise InputError(f"{folder} is a run of the task {recipe.task}, not of hyperspectral. Give one of those.")
    metrics = read_json(folder / "metrics.json")
    _, scenes = open_labelled(recipe)
    if recipe.model.method == "network":
        recipe = with_buffer(recipe, card["notes"]["leakage"]["patch_px"])
    split = make_split(scenes, recipe.data)
    now = describe_parts(split)
    if now != metrics["protocol"]["pixels"]:
        raise InputError(
            f"the labels of {folder} are not those of its training: they have other pixels in its parts. Give the files "
            "that it was trained on with data=."
        )
    return metrics, split


def _save(figure: Figure, path: Path) -> Path:
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=DPI)
    return path
