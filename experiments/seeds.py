"""Rows of networks over several seeds: their scores as mean ± sd beside what was published, and which orderings held.

Takes rows, folds of scenes and seeds; finished rows are read, not run again. A row that starts from the runs of
other rows gets those first. Rows without their layers are left out, with a note.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from score_table import BenchmarkScenes, Outcome, Row, missing_layers, run_row
from score_table.folds import check_not_empty
from script import SIDE_PX, check_names, number_or_nan, shorten

from deepnets4eo.cards import Legend, PublishedScores
from deepnets4eo.evaluation import Protocol, evaluate_pairs, spread
from deepnets4eo.files import write_json, write_text
from deepnets4eo.grid import whole
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.synthetic import City
from deepnets4eo.synthetic.write import BAND_NAMES, write_raster
from deepnets4eo.terrain import composite_raster
from deepnets4eo.terrain.composites import Channel

log = logging.getLogger(__name__)

ERODE_PX = 3
SIZE_PX, GSD_M = 512, 0.25
TRAIN_CITIES, TEST_CITIES = tuple(range(1, 13)), (21, 22, 23, 24)
SMALL = (
    "data.tile_px=128", "data.num_workers=0", "data.windows_per_epoch=192", "data.sampling=balanced",
    "data.block_px=96", "data.val_share=0.05", "train.batch_size=4", "train.optimizer=adamw", "train.lr=0.002",
    "train.encoder_lr_factor=1", "train.weight_decay=0.01", "train.schedule=poly", "train.rotations=true",
    "train.photometric=0.1", "train.precision=float32", "train.keep=last", "predict.tile_px=320",
)  # fmt: skip

Score = Callable[[Outcome], float]
OutcomesByRow = Mapping[str, Sequence[Outcome]]


@dataclass(frozen=True)
class NetworkRow:
    """A row, and the names of the rows whose runs it starts from, one a stream."""

    row: Row
    streams: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ordering:
    """A claim that one row is above another, or not below it (`strictly` false), in a score."""

    better: str
    worse: str
    what: str
    score: Score
    strictly: bool = True

    def describe(self, outcomes: OutcomesByRow) -> str:
        """Whether the ordering held, on average and in how many of the seeds, as one line of Markdown."""
        if not (outcomes.get(self.better) and outcomes.get(self.worse)):
            return f"- {self.better} against {self.worse} in {self.what}: not measured"
        pairs = zip(outcomes[self.better], outcomes[self.worse], strict=True)
        gains = 100 * np.array([self.score(one) - self.score(other) for one, other in pairs])
        holds = gains > 0 if self.strictly else gains >= 0
        mean = gains.mean()
        if len(gains) < 2:
            return f"- {self.better} against {self.worse} in {self.what}: {mean:+.2f} points in one seed, too few for an ordering"
        verdict = "held" if (mean > 0 if self.strictly else mean >= 0) else "did NOT hold"
        sign = ">" if self.strictly else "≥"
        return (
            f"- {self.better} {sign} {self.worse} in {self.what}: {verdict} on average, {spread(gains, 2, '+')} points; "
            f"in {int(holds.sum())} of {len(gains)} seeds"
        )


def accuracy(outcome: Outcome) -> float:
    """Overall accuracy, 0 to 1."""
    return float(outcome.scores["overall_accuracy"])


def mean_f1(outcome: Outcome) -> float:
    """Mean F1 of the classes that are somewhere, 0 to 1."""
    return float(outcome.scores["mean_f1"])


def f1_of(name: str) -> Score:
    """F1 of a class, 0 to 1; NaN where it is nowhere."""
    return lambda outcome: number_or_nan(outcome.scores["f1"].get(name))


def choose_rows(table: Sequence[NetworkRow], names: Sequence[str] | None) -> list[NetworkRow]:
    """The rows of these names, and those whose runs they start from, in the order of the table."""
    check_names(names, [one.row.name for one in table])
    chosen = set(names or [one.row.name for one in table])
    chosen |= {stream for one in table if one.row.name in chosen for stream in one.streams}
    return [one for one in table if one.row.name in chosen]


def shorten_rows(table: Sequence[NetworkRow]) -> list[NetworkRow]:
    """The rows after two steps, for --smoke."""
    return [replace(one, row=shorten(one.row)) for one in table]


def run_seeds(
    table: Sequence[NetworkRow],
    folds: Sequence[BenchmarkScenes],
    legend: Legend,
    out: Path,
    seeds: Iterable[int],
    protocol: Protocol | None = None,
    after: Callable[[Mapping[str, list[Outcome]]], None] | None = None,
) -> tuple[dict[str, list[Outcome]], dict[str, str]]:
    """Return the outcomes by row, one per seed, the folds' maps scored as one; and why rows were left out.

    protocol : how maps are scored; by default on all labels and on labels eroded by `ERODE_PX`.
    after : called with the outcomes so far after each row of each seed, so that little is lost when a run is stopped.
    """
    protocol = protocol or Protocol(erode_px=ERODE_PX)
    by_row: dict[str, list[Outcome]] = {}
    left_out = {
        one.row.name: f"there is no {', '.join(missing)}"
        for one in table
        if (missing := missing_layers(one.row, folds))
    }
    for seed in seeds:
        for one in (one for one in table if one.row.name not in left_out):
            started = time.perf_counter()
            of_folds = []
            for number, scenes in enumerate(folds, start=1):
                folder = out / f"seed-{seed}" / (f"fold-{number}" if len(folds) > 1 else "")
                first = [run_folder(by_row[name][-1], number - 1, len(folds)) for name in one.streams]
                weights = (f"model.encoder_weights={','.join(map(str, first))}",) if first else ()
                row = replace(one.row, overrides=(*one.row.overrides, *weights, f"train.seed={seed}"))
                of_folds.append(run_row(row, scenes, legend, folder, protocol=protocol))
            by_row.setdefault(one.row.name, []).append(_merge_folds(of_folds, folds, legend, protocol))
            log.info("%s, seed %d: %.0f s", one.row.name, seed, time.perf_counter() - started)
            if after is not None:
                after(by_row)
    check_not_empty(by_row, left_out)
    return by_row, left_out


def run_folder(outcome: Outcome, fold: int = 0, folds: int = 1) -> Path:
    """The run that made an outcome's maps, of the fold of that number."""
    maps = list(outcome.maps.values())
    return maps[fold * len(maps) // folds].parent / "run"


def _merge_folds(
    of_folds: Sequence[Outcome], folds: Sequence[BenchmarkScenes], legend: Legend, protocol: Protocol
) -> Outcome:
    if len(of_folds) == 1:
        return of_folds[0]
    maps = {name: path for outcome in of_folds for name, path in outcome.maps.items()}
    labels = {name: sources[Scene.label_layer] for fold in folds for name, sources in fold.test.items()}
    scores = evaluate_pairs([(path, labels[name]) for name, path in maps.items()], legend, protocol)
    seconds = (sum(outcome.train_seconds for outcome in of_folds), sum(outcome.predict_seconds for outcome in of_folds))
    return Outcome(of_folds[0].name, scores.to_dict(), (), *seconds, maps=maps)


def mean_table(
    title: str,
    by_row: OutcomesByRow,
    classes: Sequence[str],
    published: Mapping[str, PublishedScores],
    notes: Sequence[str],
) -> str:
    """Mean ± sd over the seeds in percent, published rows above; as Markdown."""
    head = ["method", "whose", *classes, "mean F1", "OA", "train s"]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for name, theirs in published.items():
        known = [theirs.f1.get(one) for one in classes]
        mean = None if None in known else float(np.mean([value for value in known if value is not None]))
        cells = ["–" if value is None else f"{value:.1f}" for value in (*known, mean, theirs.overall_accuracy)]
        lines.append([f"{name} ({theirs.protocol})", "published", *cells, "–"])
    for name, outcomes in by_row.items():
        f1 = 100 * np.array([[f1_of(one)(outcome) for one in classes] for outcome in outcomes])
        columns = [*f1.T, _means(f1), 100 * np.array([accuracy(outcome) for outcome in outcomes])]
        seconds = np.mean([outcome.train_seconds for outcome in outcomes])
        lines.append(
            [name, f"ours, {len(outcomes)} seed{'s' * (len(outcomes) > 1)}", *map(spread, columns), f"{seconds:.0f}"]
        )
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"## {title}\n\n{body}\n\n" + "".join(f"{note}\n" for note in notes)


def write_tables(out: Path, text: str, by_row: OutcomesByRow) -> str:
    """seeds.md, and every seed's scores in seeds.json; returns the text."""
    write_json(out / "seeds.json", {name: [one.scores for one in outcomes] for name, outcomes in by_row.items()})
    write_text(out / "seeds.md", text)
    return text


def to_eroded_scores(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes scored without object borders, by a disc of `ERODE_PX`."""
    return [replace(one, scores=one.scores["eroded"]) for one in outcomes]


def city_scenes(out: Path, bands: Sequence[int], *, smoke: bool = False) -> BenchmarkScenes:
    """Synthetic cities in the ISPRS classes: three bands of the image, heights above ground from the DSM, and labels.

    smoke : a small one each to train and to test on.
    """
    size_px, most = (SIDE_PX, 1) if smoke else (SIZE_PX, None)
    splits = [
        {f"city-{seed}": _city(City(seed, size_px, GSD_M), out / f"city-{seed}", bands) for seed in seeds[:most]}
        for seeds in (TRAIN_CITIES, TEST_CITIES)
    ]
    return BenchmarkScenes(*splits)


def with_heights(
    scenes: BenchmarkScenes,
    out: Path,
    name: str = "ndsm",
    channels: Sequence[Channel] = ("ndsm",),
    bands: Sequence[str] = (),
) -> BenchmarkScenes:
    """The scenes, each with a further layer from its surface model where it has one, by default heights above ground.

    A layer `ndsm` of the scenes is used as it is, in its own units, instead of heights above a ground estimated here.
    bands : what the bands of the image show, where a channel is taken from it.
    """

    def one(scene: str, sources: Mapping[str, str]) -> dict[str, str]:
        if "dsm" not in sources or name in sources:
            return dict(sources)
        path = out / name / f"{scene}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            image = sources["image"] if bands else None
            of_surface = [channel for channel in channels if channel != "ndsm" or "ndsm" not in sources]
            own = path if len(of_surface) == len(channels) else path.with_stem(f"{scene}-without-ndsm")
            composite_raster(sources["dsm"], own, image=image, channels=of_surface, bands=bands or None, overwrite=True)
            if own != path:
                _insert_band(own, sources["ndsm"], list(channels).index("ndsm"), path)
        return {**sources, name: str(path)}

    train, test = (
        {scene: one(scene, each) for scene, each in of_split.items()} for of_split in (scenes.train, scenes.test)
    )
    return BenchmarkScenes(train, test)


def _insert_band(others: Path, band: str, index: int, out: Path) -> None:
    """Write a raster's bands with that of another, on its grid, put in at an index."""
    base, more = Layer.open(others), Layer.open(band)
    both = Scene({"others": base, "band": more})
    sample = both.read()
    data = np.insert(sample["others"], index, sample["band"][0], axis=0)
    data[:, ~sample["valid"]] = np.nan
    names = [*base.band_names[:index], "ndsm", *base.band_names[index:]]
    with CogWriter(out, both.grid, count=len(data), dtype="float32", nodata=np.nan, band_names=names) as cog:
        cog.write(whole(both.grid), data)


def curve(run: Path, score: str) -> list[float]:
    """A validation score of a run by epoch, from its log."""
    import pandas as pd

    return [float(value) for value in pd.read_csv(run / "log.csv")[score]]


def _city(city: City, folder: Path, bands: Sequence[int]) -> dict[str, str]:
    paths = {name: folder / f"{name}.tif" for name in ("image", "dsm", Scene.label_layer)}
    if not paths[Scene.label_layer].exists():
        folder.mkdir(parents=True, exist_ok=True)
        tags, names = city.tags, [BAND_NAMES[band] for band in bands]
        with CogWriter(paths["image"], city.grid, count=len(bands), band_names=names, tags=tags) as cog:
            cog.write(whole(city.grid), np.ascontiguousarray(city.image[list(bands)]))
        write_raster(paths["dsm"], city.grid, city.dsm, tags)
        legend = Legend.load("isprs")
        write_raster(paths[Scene.label_layer], city.grid, city.labels(legend), tags, legend)
    return {name: str(path) for name, path in paths.items()}


def _means(f1: np.ndarray) -> np.ndarray:
    return np.array([np.mean(row[~np.isnan(row)]) if (~np.isnan(row)).any() else np.nan for row in f1])
