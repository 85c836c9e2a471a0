"""Rare true changes in a series of the miniature city: how many of the first k of a ranking are true. SYNTHETIC.

Usage: python experiments/series_novelty.py [--seeds 0 1 2] [--size 512] [--dates 24] [--data FOLDER] [--out runs/series_novelty]
Each city is rendered at dates of two years, with the seasons, light and noise of its sensor; clouds are laid over it, whose
rims the masks miss, and a few patches of ground become something else from one date on. All methods rank the same
cells at the same dates: ours, and plain ones on pixels (length of the standardised difference, IR-MAD), as the mean over a
cell, of each date and the one before, or of the medians of three dates before and from the date on. With --data, the real series there are ranked too. One of them,
the flood, has land, water and clouds labelled on each date: the changes of its cells, by bands, by frozen features and by Galileo where the samples have its file, are scored on the cells whose share of water
differs from the median of the three dates before. --seeds without a number runs only the real series. Writes table.md and results.json.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from script import add_smoke, plain_errors, require_all, require_files, title_of
from sklearn.metrics import roc_auc_score

from deepnets4eo.change import NoveltyOptions
from deepnets4eo.change.classical.pair_scores import SPECTRAL
from deepnets4eo.change.series import SeriesJob
from deepnets4eo.change.series.dates import DatedImage
from deepnets4eo.change.series.deltas import iter_deltas
from deepnets4eo.change.series.features import CellGrid, CellSeries, cell_sums, measure_cells
from deepnets4eo.change.series.job import make_features
from deepnets4eo.change.series.ranking import CellEvents, collect_events, score_events
from deepnets4eo.change.series.stack import ImageSeries, MaskRule
from deepnets4eo.evaluation import spread
from deepnets4eo.files import write_json, write_text
from deepnets4eo.grid import Window
from deepnets4eo.jobs import JobOutput
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City

log = logging.getLogger(__name__)

CELL_PX, GSD_M = 16, 1.0
LAND, WATER = 1, 2  # classes of the labels of the real flood
MIN_CLEAR, MIN_CHANGE = 0.7, 0.3  # of a cell: share of pixels without clouds, and change of its share of water
REAL_WAYS = {"bands": None, "frozen features": "efficientnet-lite0"}
GALILEO = "eo_weights/galileo_nano/encoder.safetensors"  # used where the samples have it
SENTINEL_2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")  # as stored
BANDS = ("red", "green", "blue", "nir")
CHANGES, CLOUDS = 8, 0.12
LATE = 3  # dates after the true one at which a change still counts, as clouds may hide it; one before, for medians
NEW = np.array([[200, 195, 190, 185], [50, 55, 60, 25], [150, 120, 90, 140]])  # concrete, water, bare soil
REAL: dict[str, tuple[str, dict[str, Any], NoveltyOptions]] = {
    "landsat": ("landsat_series/landsat", dict(bands=["swir", "nir", "red", "green"]), NoveltyOptions(cell_px=16)),
    "modis": ("modis_ndvi_series/TERRA*", dict(bands=["ndvi"]), NoveltyOptions(cell_px=8)),
    "flood": (
        "s2_flood_series/S2",
        dict(
            bands={"blue": 2, "green": 3, "red": 4, "nir": 8},
            masks="s2_flood_series/segmentation",
            mask=MaskRule((0, 3)),
        ),
        NoveltyOptions(cell_px=8, persistence=0),
    ),
}


@dataclass(frozen=True)
class TrueChange:
    """Cell and index of the first date."""

    row: int
    col: int
    index: int


def make_series(seed: int, size: int, count: int) -> tuple[ImageSeries, list[TrueChange]]:
    """A series of one city, and its true changes."""
    rng = np.random.default_rng([seed, 77])
    days = [date(2021, 1, 20) + timedelta(days=round(730 / count * number)) for number in range(count)]
    cells = size // CELL_PX
    spots = rng.permutation((cells - 2) ** 2)[:CHANGES]
    changes = [
        TrueChange(1 + int(spot) // (cells - 2), 1 + int(spot) % (cells - 2), int(rng.integers(count // 3, count - 4)))
        for spot in spots
    ]
    images = []
    for index, (day, picture) in enumerate(City(100 + seed, size, GSD_M).series(days)):
        image = picture.astype(np.float32)
        for number, change in enumerate(changes):
            if index >= change.index:
                rows, cols = (slice(one * CELL_PX, (one + 1) * CELL_PX) for one in (change.row, change.col))
                noise = rng.normal(0, 6, (4, CELL_PX, CELL_PX))
                image[:, rows, cols] = NEW[number % len(NEW)][:, None, None] + noise
        field = gaussian_filter(rng.normal(size=(size, size)), size / 16, mode="wrap")
        share = CLOUDS * rng.uniform(0, 2)
        image = np.where(field > np.quantile(field, 1 - share), 235 + rng.normal(0, 4, image.shape), image)
        masks = ((field > np.quantile(field, 1 - 0.75 * share)).astype(np.uint8),)
        images.append(DatedImage(day, (image.clip(1, 255).astype(np.uint8),), masks))
    return ImageSeries(images, bands=BANDS), changes


Ranked = list[tuple[int, int]]  # (index of the date, cell), the first is the most novel


def by_novelty(series: ImageSeries, cells: CellGrid, **how: Any) -> Ranked:
    """Ours: changes of cells in the order of their scores."""
    options = NoveltyOptions(cell_px=CELL_PX, **how)
    measured = measure_cells(series, cells, make_features(series, options), workers=1)
    events: CellEvents = score_events(collect_events(iter_deltas(measured, options), options.history), options)
    index = [series.dates.index(day) for day in measured.dates]
    return [(index[events.date[one]], int(events.cell[one])) for one in np.argsort(-events.score, kind="stable")]


def by_pairs(series: ImageSeries, cells: CellGrid, method: str, dates: int) -> Ranked:
    """A method of two dates on medians of so many dates before and from each date on: its mean over cells, by its median."""
    window = Window(0, 0, *series.shape)
    stack = [series.read(index, window) for index in range(len(series))]
    scores = [np.zeros(cells.count)] * dates
    for index in range(dates, len(series) - dates + 1):
        (pre, pre_valid), (post, post_valid) = (
            _median(stack[first : first + dates]) for first in (index - dates, index)
        )
        valid = pre_valid & post_valid
        score = np.where(valid, _pair_score(method, pre, post, valid), 0)
        number = cell_sums(valid.astype(np.float32), cells)
        mean = cell_sums(score, cells) / np.maximum(number, 1)
        mean[number < 0.7 * CELL_PX**2] = 0
        scores.append((mean / max(float(np.median(mean[mean > 0])), 1e-9)).ravel())
    table = np.stack(scores)
    order = np.argsort(-table, axis=None)[: cells.count]
    return [(int(flat) // cells.count, int(flat) % cells.count) for flat in order]


def _median(images: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Median of the valid values of each pixel, each image standardised; and where there is one."""
    if len(images) == 1:
        return images[0]
    values = np.stack([
        np.where(valid, (image - image[:, valid].mean(axis=1)[:, None, None]) / image[:, valid].std(axis=1)[:, None, None], np.nan)
        for image, valid in images
    ])  # fmt: skip
    known = np.logical_or.reduce([valid for _, valid in images])
    values[:, :, ~known] = 0
    return np.nanmedian(values, axis=0), known


def _pair_score(method: str, pre: NDArray[Any], post: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    pair = np.concatenate([
        (each - each[:, valid].mean(axis=1)[:, None, None]) / each[:, valid].std(axis=1)[:, None, None] for each in (pre, post)
    ]).astype(np.float32)  # fmt: skip
    measure = SPECTRAL[method]()
    measure.fit(lambda: iter([(pair, valid)]))
    return measure.measure(pair)


METHODS_IN_TABLE: dict[str, Callable[[ImageSeries, CellGrid], Ranked]] = {
    "rarity × magnitude (ours)": by_novelty,
    "isolation × magnitude (ours)": lambda series, cells: by_novelty(series, cells, rank_by="isolation"),
    "magnitude (ours)": lambda series, cells: by_novelty(series, cells, rank_by="magnitude"),
    "magnitude without persistence (ours)": lambda series, cells: by_novelty(
        series, cells, rank_by="magnitude", persistence=0
    ),
    "rarity × magnitude of frozen features (ours)": lambda series, cells: by_novelty(
        series, cells, encoder="efficientnet-lite0"
    ),
    "z-L2, consecutive dates": lambda series, cells: by_pairs(series, cells, "cva", 1),
    "z-L2, medians of 3 dates": lambda series, cells: by_pairs(series, cells, "cva", 3),
    "IR-MAD, medians of 3 dates": lambda series, cells: by_pairs(series, cells, "ir-mad", 3),
}


def scores_of(ranked: Ranked, changes: Sequence[TrueChange], cells: CellGrid, count: int) -> dict[str, float]:
    """Precision at 8, and the share of the changes among the first 8, 16, and the first 1 % of cells and dates."""
    cols = cells.shape[1]

    def change_of(index: int, cell: int) -> int:
        row, col = divmod(cell, cols)
        matches = (
            n for n, one in enumerate(changes) if (one.row, one.col) == (row, col) and -1 <= index - one.index <= LATE
        )
        return next(matches, -1)

    numbers = np.array([change_of(*one) for one in ranked] or [-1])

    def recall(k: int) -> float:
        return len(set(numbers[:k]) - {-1}) / len(changes)

    percent = cells.count // 100
    return {
        "precision@8": float((numbers[: len(changes)] >= 0).mean()),
        "found in the first 8": recall(8),
        "found in the first 16": recall(16),
        f"found in the first {percent} (1 % of the cells)": recall(percent),
        "found in the first 1 % of cells × dates": recall(cells.count * count // 100),
    }


def table_of(rows: dict[str, list[dict[str, float]]]) -> str:
    """Mean ± sd over the seeds in percent, as Markdown."""
    names = list(next(iter(rows.values()))[0])
    lines = [["method", *names], ["---", *["---:"] * len(names)]]
    lines += [[name, *(spread([100 * one[key] for one in each]) for key in names)] for name, each in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def raw_difference(series: CellSeries, index: int) -> NDArray[np.float64]:
    """Return the length (N,) of the difference between the raw features of a date and the median of the dates before: no method."""
    known = np.where(series.valid[:index, :, None], series.values[:index], np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cells without a clear date, which are not scored
        return np.asarray(np.linalg.norm(np.nan_to_num(series.values[index] - np.nanmedian(known, axis=0)), axis=1))


def score_flood(data: Path) -> dict[str, Any]:
    """Return how well the size of a cell's change ranks the cells whose water changed at the last clear date of the real flood."""
    folder, how, options = REAL["flood"]
    labels = data / str(how["masks"])
    series = ImageSeries.open(str(data / folder), **how | {"masks": labels})
    cells = CellGrid(series.grid, options.cell_px, options.cell_px)
    shares = []
    for path in require_files(labels, "*.tif"):
        kinds = Layer.open(path).read()[0][0]
        clear = cell_sums(np.isin(kinds, (LAND, WATER)).astype(np.float32), cells)
        water = cell_sums((kinds == WATER).astype(np.float32), cells) / np.maximum(clear, 1)
        shares.append(np.where(clear >= MIN_CLEAR * options.cell_px**2, water, np.nan).ravel())
    result: dict[str, Any] = {"zero": {"name": "length of the raw difference"}, "auc": {}}
    ways: dict[str, str | None] = {
        **REAL_WAYS,
        **({"Galileo": str(data / GALILEO)} if (data / GALILEO).is_file() else {}),
    }
    for way, encoder in ways.items():
        chosen = replace(options, encoder=encoder)
        if way == "Galileo":
            named = {
                name: number for number, name in enumerate(SENTINEL_2, start=1) if name not in ("B01", "B09", "B10")
            }
            series = ImageSeries.open(str(data / folder), **how | {"masks": labels, "bands": named})
        measured = measure_cells(series, cells, make_features(series, chosen), workers=1)
        (delta,) = iter_deltas(measured, chosen)
        change = shares[delta.index] - np.nanmedian(shares[: delta.index], axis=0)
        labelled = ~np.isnan(change)
        changed = np.abs(change[labelled]) >= MIN_CHANGE
        result["auc"][way] = round(float(roc_auc_score(changed, delta.magnitude[labelled])), 3)
        raw = raw_difference(measured, delta.index)
        result["zero"][way] = round(float(roc_auc_score(changed, raw[labelled])), 3)
        result |= {"cells": int(labelled.sum()), "changed": int(changed.sum()), "dates": len(series)}
    return result


def rank_real(data: Path, out: Path) -> str:
    """Rank the real series; a sentence each, no scores."""
    lines = []
    for name, (folder, how, options) in REAL.items():
        if "masks" in how:
            how = how | {"masks": data / str(how["masks"])}
        series = ImageSeries.open(str(data / folder), **how)
        SeriesJob(series, JobOutput(out / name, overwrite=True), options).run()
        lines.append(f"- {name}: {len(series)} dates, page in {out / name / 'report.html'}")
    return "\n".join(lines)


def main() -> None:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--dates", type=int, default=24)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    add_smoke(parser)
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.seeds, chosen.size, chosen.dates = chosen.seeds[:1], 256, 12
    logging.basicConfig(level=logging.INFO)
    if chosen.data:
        require_all(chosen.data, [folder for folder, _, _ in REAL.values()])
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in chosen.seeds:
        series, changes = make_series(seed, chosen.size, chosen.dates)
        cells = CellGrid(series.grid, CELL_PX, CELL_PX)
        for name, method in METHODS_IN_TABLE.items():
            started = time.perf_counter()
            rows.setdefault(name, []).append(scores_of(method(series, cells), changes, cells, chosen.dates))
            log.info("seed %d, %s: %.1f s %s", seed, name, time.perf_counter() - started, rows[name][-1])
    text = title_of("Rare changes in series", smoke=chosen.smoke) + "\n\n"
    if rows:
        text += (
            f"SYNTHETIC: {len(chosen.seeds)} cities of {chosen.size}² px, {chosen.dates} dates, {CHANGES} true changes of one cell of "
            f"{CELL_PX} px each, {CLOUDS:.0%} clouds, a quarter of them missed by the masks; percent, mean ± sd over the seeds.\n\n{table_of(rows)}\n"
        )
    real: dict[str, Any] = {}
    if chosen.data:
        real = score_flood(chosen.data)
        ways = ", ".join(
            f"{way} {auc:.3f} (raw difference {real['zero'][way]:.3f})" for way, auc in real["auc"].items()
        )
        text += f"\nReal series:\n{rank_real(chosen.data, chosen.out)}\n"
        text += f"- flood: {real['changed']} of {real['cells']} cells changed their water; AUC by the size of the change: {ways}\n"
    chosen.out.mkdir(parents=True, exist_ok=True)
    write_text(chosen.out / "table.md", text)
    write_json(chosen.out / "results.json", {"smoke": chosen.smoke, "synthetic": rows, "flood": real})
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
