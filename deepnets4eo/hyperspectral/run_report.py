"""What a hyperspectral run learnt and how well: maps, spectra of the classes, confusion matrix and leakage on one page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.cards.dataset_card import DatasetCard
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.display.figures import SYNTHETIC_MARK, color_patches, draw_image, drawn_text
from deepnets4eo.errors import DeepNets4EOError, InputError
from deepnets4eo.evaluation.report import BY_CLASS, OVERALL, confusion_csv, confusion_figure, percent
from deepnets4eo.evaluation.withheld import LEARNT, PARTS_LEGEND, WITHHELD
from deepnets4eo.files import atomic_write, check_overwrite, read_json, write_text
from deepnets4eo.grid import blocks, whole
from deepnets4eo.hyperspectral.cube import Cube
from deepnets4eo.jobs.lock import output_lock
from deepnets4eo.outputs.input_files import check_not_inputs
from deepnets4eo.outputs.safe_text import csv_text, document_head, image_address, wide
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters.display import coarse_labels
from deepnets4eo.rasters.moments import MomentSums
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.segmenters.run import load_run
from deepnets4eo.training.job import load_recipe
from deepnets4eo.training.scenes import LabelledScene
from deepnets4eo.training.segmentation import open_labelled
from deepnets4eo.training.splits import TRAIN, VAL, DataSplit, make_split
from deepnets4eo.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure


STYLE = """
table { margin: 8px 0; font-variant-numeric: tabular-nums; } th, td { text-align: right; } th:first-child, td:first-child { text-align: left; }
img { display: block; max-width: min(100%, var(--wide, 1240px)); background: #fff; border-radius: 4px; margin: 8px 0; }
.note { color: var(--ink); border-left: 4px solid var(--accent); background: var(--raised); padding: 8px 14px; margin: 12px 0; }
.warning { border-color: #d55e00; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 8px 0; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
"""
TITLES = {"overall_accuracy": "Overall accuracy", "kappa": "Kappa", "average_accuracy": "Average accuracy",
          "mean_f1": "Mean F1", "mean_iou": "Mean IoU", "fw_iou": "IoU by frequency"}  # fmt: skip

PAGE = "report.html"
SIDE_PX = 700  # longer side of a map in a figure
MOST_SCENES = 12  # of which maps are drawn
PANEL_IN, DPI = 3.6, 110

READ_PX = 128
COLUMNS, WIDE_IN, HIGH_IN = 4, 3.4, 2.3
GAP = 4.0  # times the usual distance of two bands: bands were removed in between, and no line is drawn


def report(
    run: str | Path,
    out: str | Path,
    *,
    data: str | Path | Sequence[str | Path] = (),
    options: PredictOptions | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the report of a run: report.html, which works offline, and beside it figures, spectra.csv and confusion.csv.

    It has maps of the training's scenes (12 at most), which are predicted here, and mean spectra of each class with
    their spread.

    Confusion matrix, scores by class and leakage are of withheld pixels alone.

    Parameters
    ----------
    run : folder that a training of the task `hyperspectral` wrote
    out : folder to write; made where it is missing
    data : where the training's files lie now, as `train` takes them; by default where they lay then
    options : options of the predictions, such as their memory
    overwrite : whether a report that exists is replaced

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        For a run of another task, or data whose pixels are not those of the training.
    OutputError
        Where the page exists.

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
        mark = SYNTHETIC_MARK if metrics.get("synthetic") else ""
        out.mkdir(parents=True, exist_ok=True)
        maps = []
        for number, named in enumerate(split.scenes[:MOST_SCENES]):
            labels = out / f"map_{number + 1}.tif"
            predict(loaded, named.scene, labels, options)
            maps.append(_save(_map_figure(split, number, labels, loaded.recipe, mark), out / f"map_{number + 1}.png"))
        layer = _cube_layer(split.scenes[0], loaded.recipe["model"]["layers"])
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
    """Metrics of a run, and the scenes of its training, split as they were. Errors: InputError where they are others."""
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


def _map_figure(
    split: DataSplit[LabelledScene], number: int, labels: Path, recipe: dict[str, Any], mark: str
) -> Figure:
    """The cube in false colours, the reference, the map and the parts of one scene, with the key of the classes."""
    from matplotlib.figure import Figure

    named = split.scenes[number]
    legend, (height, width) = named.labels.legend, named.scene.shape
    high_in = min(max(PANEL_IN * height / width, 2.0), 2 * PANEL_IN)
    figure = Figure(figsize=(4 * PANEL_IN, high_in + 1.0), layout="constrained")
    image, reference, predicted, parts = figure.subplots(1, 4)
    cube = Cube(named.scene.layers[_cube_layer(named, recipe["model"]["layers"])])
    cube.plot(image, bands=_colour_bands(cube, recipe), max_px=SIDE_PX).set_title("false colours", fontsize=9)
    for axes, layer, layer_legend, title in (
        (reference, Layer(named.labels), legend, "reference"),
        (predicted, Layer.open(labels), legend, "map"),
        (parts, _parts_layer(split, number), PARTS_LEGEND, "learnt and withheld"),
    ):
        values, coarse = coarse_labels(layer, SIDE_PX, layer_legend)
        draw_image(axes, layer_legend.decode(values).transpose(1, 2, 0), coarse).set_title(
            drawn_text(title), fontsize=9
        )
    key = [*((member.color, member.name) for member in legend.classes), (legend.void_color, "no label")]
    key += [*((member.color, member.name) for member in PARTS_LEGEND.classes), (PARTS_LEGEND.void_color, "neither")]
    figure.legend(handles=color_patches(key), loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    figure.suptitle(drawn_text(f"{named.name}{mark}"), fontsize=10)
    return figure


def _parts_layer(split: DataSplit[LabelledScene], number: int) -> Layer:
    """The parts of a scene as labels; a byte a pixel in memory."""
    grid = split.scenes[number].grid
    learnt, withheld = (split.mask(number, part, whole(grid)) for part in (TRAIN, VAL))
    return Layer.open(np.select([withheld, learnt], [WITHHELD, LEARNT], VOID).astype(np.uint8), grid=grid)


def _cube_layer(named: LabelledScene, layers: Sequence[str]) -> str:
    """The layer of most bands among those that the run takes."""
    return max(layers, key=lambda name: named.scene.layers[name].count)


def _colour_bands(cube: Cube, recipe: dict[str, Any]) -> list[int] | None:
    """Bands to draw: None where wavelengths are known, else those of the dataset's card, else three evenly spread ones."""
    if cube.wavelengths_nm is not None:
        return None
    dataset = recipe["data"].get("dataset")
    facts = DatasetCard.load(dataset).cube if dataset else None
    if facts is not None and set(facts.colour_bands) <= set(cube.bands):
        return list(facts.colour_bands)
    count = len(cube.bands)
    return [cube.bands[count * quarter // 4] for quarter in (3, 2, 1)] if count >= 4 else [cube.bands[0]] * 3


def _save(figure: Figure, path: Path) -> Path:
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=DPI)
    return path


@dataclass(frozen=True)
class Figures:
    """PNG files of a report: maps of scenes, spectra of the classes, confusion matrix."""

    maps: Sequence[Path]
    spectra: Path
    confusion: Path


def page(
    metrics: Mapping[str, Any], card: Mapping[str, Any], recipe: Mapping[str, Any], figures: Figures, left_out: int
) -> str:
    """The page; left_out : scenes of which no map was drawn."""
    synthetic = bool(metrics.get("synthetic"))
    title = f"{'SYNTHETIC: ' if synthetic else ''}{recipe['model']['network'] or _method(recipe)}"
    more = f"<p>{left_out} further scenes are not drawn.</p>" if left_out else ""
    body = [
        f"<h1>{escape(title)}</h1>",
        _facts(metrics, card),
        '<p class="note warning">The scene is made up: its scores say nothing about real places.</p>'
        if synthetic
        else "",
        _leakage(metrics["protocol"]),
        "<h2>Scores of the withheld pixels</h2>",
        _table(("", "percent"), ((TITLES[name], percent(metrics[name])) for name in OVERALL)),
        "<h2>By class</h2>",
        _table(("class", "learnt px", "withheld px", "F1", "IoU", "precision", "recall"), _class_rows(metrics)),
        "<h2>Maps</h2>",
        "<p>The map covers all pixels, also those learnt from; the right panel shows which these are.</p>",
        *(_image(path, f"Cube, reference, map and parts of scene {n}") for n, path in enumerate(figures.maps, start=1)),
        more,
        "<h2>Spectra of the classes</h2>",
        _image(figures.spectra, "Mean spectrum and one standard deviation of each class"),
        "<h2>Confusion matrix</h2>",
        "<p>Withheld pixels, each row in percent of its reference class.</p>",
        _image(figures.confusion, "Confusion matrix", "--wide:40rem"),
        f"<p><small>deepnets4eo {escape(__version__)}</small></p>",
    ]
    head = f"{document_head(title)}<style>{STYLE}</style></head>"
    return f"{head}<body data-ready><main>\n" + "\n".join(part for part in body if part) + "\n</main></body></html>\n"


def _method(recipe: Mapping[str, Any]) -> str:
    return f"{recipe['estimator']['name']} on {recipe['model']['method']}"


def _facts(metrics: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    split, notes = metrics["protocol"]["split"], card["notes"]
    sizes = ", ".join(
        f"{name} {', '.join(map(str, split[name]))}" for name in ("block_px", "buffer_px") if name in split
    )
    facts = {
        "Legend": metrics["legend"],
        "Scenes": ", ".join(list(notes["scenes"])[:8]) + (" …" if len(notes["scenes"]) > 8 else ""),
        "Split": f"{split['kind']}{f' ({sizes})' if sizes else ''}",
        "Seed": card["seed"],
        "Epochs": notes.get("epochs"),
        "Training": f"{notes['seconds']:.0f} s" if "seconds" in notes else None,
        "Dataset": (split.get("dataset") or {}).get("name"),
    }
    rows = (f"<dt>{name}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items() if value is not None)
    return f"<dl>{''.join(rows)}</dl>"


def _leakage(protocol: Mapping[str, Any]) -> str:
    leakage, leaky = protocol["leakage"], protocol["leaky"]
    share, own = (percent(leakage[name]) for name in ("share_patch_overlaps", "share_patch_shows_training_pixel"))
    text = (
        f"Leakage: the patches ({leakage['patch_px']} px) of {share} % of the {leakage['test_pixels']:,} withheld pixels overlap "
        f"a training pixel's patch; those of {own} % show a training pixel."
    )
    if leaky:
        text += " The split is leaky: neighbours of withheld pixels were learnt from, so these scores say little about other sites."
    return f'<p class="note{" warning" if leaky or leakage["share_patch_shows_training_pixel"] else ""}">{escape(text)}</p>'


def _class_rows(metrics: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    for name, pixels in metrics["protocol"]["pixels"].items():
        yield (
            name,
            f"{pixels['train']:,}",
            f"{pixels['test']:,}",
            *(percent(metrics[score][name]) for score in BY_CLASS),
        )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return wide(f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>")


def _image(path: Path, words: str, style: str = "") -> str:
    address = image_address(path.read_bytes(), "png")
    return f'<p><img alt="{escape(words)}" style="{style}" src="{address}"></p>'


@dataclass(frozen=True)
class ClassSpectra:
    """Spectra of each class by split (0 learnt from, 1 withheld).

    count : (2, K) pixels
    mean, deviation : (2, K, B) in the units of the cube, NaN without pixels
    wavelengths_nm : (B,) where the cube lists them
    """

    legend: Legend
    bands: Sequence[int]
    wavelengths_nm: Floats | None
    count: Indices
    mean: Floats
    deviation: Floats

    @classmethod
    def measure(cls, split: DataSplit[LabelledScene], layer: str) -> ClassSpectra:
        """Read each labelled window of a layer once, by windows of 128 px."""
        first, legend = split.scenes[0].scene.layers[layer], split.scenes[0].labels.legend
        sums = [[MomentSums() for _ in range(legend.num_classes)] for _ in range(2)]
        for number, named in enumerate(split.scenes):
            cube = named.scene.layers[layer]
            for window in blocks(cube.shape, READ_PX):
                labels = named.labels.reader.read(window)
                if (labels == VOID).all():
                    continue
                data, valid = cube.read(window)
                for part, of_part in zip((TRAIN, VAL), sums, strict=True):
                    inside = np.where(valid & split.mask(number, part, window), labels, VOID)
                    for index in np.unique(inside[inside != VOID]):
                        of_part[index].add(data[:, inside == index])
        count = np.array([[sums_of_class.count for sums_of_class in of_part] for of_part in sums])
        mean, deviation = np.full((2, *count.shape, first.count), np.nan)
        for cell in np.argwhere(count):
            moments = sums[cell[0]][cell[1]].moments()
            mean[tuple(cell)], deviation[tuple(cell)] = (
                moments.mean,
                np.sqrt(np.maximum(np.diag(moments.covariance), 0)),
            )
        return cls(legend, first.bands, first.wavelengths_nm, count, mean, deviation)

    @property
    def has_wavelengths(self) -> bool:
        """Whether every band has a wavelength."""
        return self.wavelengths_nm is not None and bool(np.isfinite(self.wavelengths_nm).all())

    def csv(self) -> str:
        """One row a class, part and band: wavelength, mean, deviation, pixels."""
        rows: list[list[Any]] = [["class", "part", "band", "wavelength_nm", "mean", "deviation", "pixels"]]
        nm = self.wavelengths_nm if self.wavelengths_nm is not None else np.full(len(self.bands), np.nan)
        for index, name in enumerate(self.legend.names):
            for part, part_name in enumerate(("learnt", "withheld")):
                if not self.count[part, index]:
                    continue
                columns = zip(self.bands, nm, self.mean[part, index], self.deviation[part, index], strict=True)
                rows += [
                    [name, part_name, band, "" if np.isnan(wavelength) else f"{wavelength:.6g}", f"{mean:.6g}", f"{spread:.6g}",
                     int(self.count[part, index])]
                    for band, wavelength, mean, spread in columns
                ]  # fmt: skip
        return csv_text(rows)

    def figure(self, title: str = "") -> Figure:
        """Draw one panel a class: mean and one standard deviation of training pixels, mean of those withheld dashed."""
        from matplotlib.figure import Figure

        classes = [index for index in range(self.legend.num_classes) if self.count[:, index].any()]
        columns = min(COLUMNS, len(classes))
        rows = -(-len(classes) // columns)
        figure = Figure(figsize=(max(WIDE_IN * columns, 6.8), HIGH_IN * rows + 0.8), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        x, order = self._axis()
        for axes, index in zip(panels, classes, strict=False):
            color = tuple(np.array(self.legend.colors[index]) / 255)
            mean, spread = self.mean[0, index][order], self.deviation[0, index][order]
            axes.fill_between(x, *_with_gaps(x, mean - spread, mean + spread), color=color, alpha=0.3, linewidth=0)
            axes.plot(x, _with_gaps(x, mean)[0], color=color, linewidth=1.6, label="learnt, ± 1 sd")
            withheld = self.mean[1, index][order]
            axes.plot(x, _with_gaps(x, withheld)[0], color="0.25", linewidth=0.9, linestyle="--", label="withheld")
            learnt, tested = self.count[:, index]
            axes.set_title(
                f"{drawn_text(self.legend.names[index])}\n{learnt:,} learnt, {tested:,} withheld px", fontsize=8
            )
            axes.grid(alpha=0.25)
            axes.tick_params(labelsize=7)
        for axes in panels[len(classes) :]:
            axes.axis("off")
        figure.supxlabel("wavelength, nm" if self.has_wavelengths else "band", fontsize=9)
        figure.supylabel("value of the cube", fontsize=9)
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=8, frameon=False
        )
        if title:
            figure.suptitle(drawn_text(title), fontsize=10, x=0.01, ha="left")
        return figure

    def _axis(self) -> tuple[Floats, Indices]:
        """Values of the x axis, ascending, and the order of the bands along it."""
        values = self.wavelengths_nm if self.wavelengths_nm is not None and self.has_wavelengths else self.bands
        x = np.asarray(values, np.float64)
        order = np.argsort(x, kind="stable")
        return x[order], order


def _with_gaps(x: Floats, *lines: Floats) -> list[Floats]:
    """The lines, NaN at the first band after a gap in x."""
    steps = np.diff(x, prepend=x[0])
    usual = np.median(steps[1:]) if len(x) > 1 else 0.0
    return [np.where(steps > GAP * max(usual, 1e-9), np.nan, line) for line in lines]
