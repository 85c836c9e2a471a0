"""What the experiments on change share: pairs of the miniature city, one training and one score of change, tables.

Takes scenes as layer → file; returns F1 of change and kappa, pixels of all test scenes pooled.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
from zero import Zero, everything

import deepnets4eo
from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import Legend
from deepnets4eo.change import ChangeDetector, split_from_to
from deepnets4eo.change.normalisation import normalise
from deepnets4eo.evaluation import Protocol, evaluate, spread
from deepnets4eo.files import write_json, write_text
from deepnets4eo.grid import Window, crop, whole
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.segmenters import Run, RunFolder, Segmenter, load_run
from deepnets4eo.synthetic import City, Event
from deepnets4eo.training import TrainOptions, load_recipe

log = logging.getLogger(__name__)

GSD_M, SIZE_PX, SMOKE_PX, MARGIN_PX = 0.5, 256, 96, 8
TRAIN_CITIES, TEST_CITIES = (1, 2, 3, 4), (21, 22)
COVER = {
    "name": "minicity-cover",
    "classes": [
        {"value": 0, "name": "ground", "color": [200, 200, 200]},
        {"value": 1, "name": "building", "color": [200, 30, 30]},
        {"value": 2, "name": "vegetation", "color": [60, 150, 40]},
        {"value": 3, "name": "water", "color": [0, 110, 190]},
    ],
}
OF_MINICITY = np.array([0, 1, 2, 2, 0, 0, 3, 3], np.uint8)  # impervious building low tree car clutter boat water
BATCH, STEPS_PER_EPOCH = 8, 20
SMALL = (
    "data.tile_px=64", "data.num_workers=0", f"data.windows_per_epoch={BATCH * STEPS_PER_EPOCH}", "data.sampling=balanced",
    "data.val_share=0", f"train.batch_size={BATCH}", "train.lr=0.002", "train.keep=last", "train.class_weights.no change=1", "train.photometric=0.1",
    "predict.tile_px=256", "predict.halo_px=32",
)  # fmt: skip

CLASSICAL = {
    "IR-MAD (no training)": "ir-mad", "MAD (no training)": "mad", "change vectors (no training)": "cva",
    "PCA and 2-means (no training)": "pca-kmeans",
}  # fmt: skip

Sources = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class ChangeScore:
    """F1 of change and kappa of all pixels, 0 to 1, seconds of the training, and kappa of each test scene by itself."""

    f1: float
    kappa: float
    seconds: float = 0.0
    of_scenes: tuple[float, ...] = ()


def city_pairs(
    out: Path, seeds: Sequence[int], *, smoke: bool = False, shifts_px: Sequence[int] = ()
) -> dict[str, dict[str, str]]:
    """Pairs of synthetic cities (SYNTHETIC): images in red, green and blue, land cover at both dates, and change.

    Change is where land cover differs. shifts_px : further post images `image_post_N`, off by N pixels in both directions.
    """
    pairs = {}
    for seed in seeds:
        folder = out / f"city-{seed}"
        names = [
            "image_pre",
            "image_post",
            "cover_pre",
            "cover_post",
            "labels",
            *(f"image_post_{s}" for s in shifts_px),
        ]
        pairs[f"city-{seed}"] = {name: str(folder / f"{name}.tif") for name in names}
        if not all(Path(path).exists() for path in pairs[f"city-{seed}"].values()):
            _write_pair(City(seed, _whole_px(smoke=smoke), GSD_M, event=_registered_event(seed)), folder, shifts_px)
    return pairs


def _whole_px(*, smoke: bool) -> int:
    return (SMOKE_PX if smoke else SIZE_PX) + 2 * MARGIN_PX


def _registered_event(seed: int) -> Event:
    """A strong event without any displacement."""
    kind = ("tornado", "quake", "fire", "hurricane")[seed % 4]
    return Event(shift_px=(0, 0), rotation_deg=0, kind=kind, damage_shares=(0.3, 0.1, 0.15, 0.45), cloud_shadows=0)


def _write_pair(city: City, folder: Path, shifts_px: Sequence[int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    height, width = city.shape
    window = Window(MARGIN_PX, MARGIN_PX, height - 2 * MARGIN_PX, width - 2 * MARGIN_PX)
    grid, (rows, cols) = crop(city.grid, window), window.slices
    pre, post = city.pre.image[:3], city.post.image[:3]
    covers = [OF_MINICITY[date.labels("minicity")][rows, cols] for date in (city.pre, city.post)]
    images = {"image_pre": pre[:, rows, cols], "image_post": post[:, rows, cols]}
    for shift in shifts_px:
        images[f"image_post_{shift}"] = np.roll(post, (shift, shift), (1, 2))[:, rows, cols]
    for name, image in images.items():
        with CogWriter(folder / f"{name}.tif", grid, count=3, tags=city.tags) as cog:
            cog.write(whole(grid), np.ascontiguousarray(image))
    cover, change = Legend.from_dict(COVER), Legend.load("change")
    labels = {"cover_pre": (covers[0], cover), "cover_post": (covers[1], cover)}
    labels["labels"] = ((covers[0] != covers[1]).astype(np.uint8), change)
    for name, (values, legend) in labels.items():
        with CogWriter(folder / f"{name}.tif", grid, legend=legend, nodata=255, tags=city.tags) as cog:
            cog.write(whole(grid), values[None])


def train_run(recipe: str, overrides: Sequence[str], scenes: Sources, out: Path, *, smoke: bool = False) -> Path:
    """Train a recipe on scenes; a run that is there is used again, and one that was stopped goes on."""
    if (out / "card.json").exists():
        return out
    few = ("data.windows_per_epoch=8", "train.epochs=1") if smoke else ()
    listed = json.dumps([{"name": name, **sources} for name, sources in scenes.items()])
    resolved, _ = load_recipe(recipe, overrides=(*overrides, *few, f"data.scenes={listed}"))
    started = time.perf_counter()
    run = deepnets4eo.train(resolved, out, options=TrainOptions(resume=RunFolder(out).recipe.exists()))
    write_json(out / "seconds.json", time.perf_counter() - started)
    log.info("%s: %.0f s", out, time.perf_counter() - started)
    return run


def score_change(
    run: Path | Run | Segmenter,
    scenes: Sources,
    out: Path,
    *,
    post: str = "image_post",
    stored: str = "change",
    light: str = "none",
) -> ChangeScore:
    """Predict the test scenes and score change, of all pixels pooled.

    post : layer that is the later date. stored : legend that the files of the labels are in. light : "none" or
    "training", see `change.normalisation`.
    """
    loaded = load_run(run) if isinstance(run, Path) else run
    maps = {}
    for name, sources in scenes.items():
        scene = Scene.open(None, **_dates(sources, post))
        seen = scene if light == "none" else normalise(scene, loaded.inputs)[0]
        maps[name] = _predict_change(loaded, seen, out / name)
    return _pooled(maps, scenes, stored)


def score_classical(
    method: str, scenes: Sources, out: Path, *, post: str = "image_post", stored: str = "change"
) -> ChangeScore:
    """The same of a method without training, which is fitted to each test pair by itself."""
    maps = {}
    for name, sources in scenes.items():
        scene = Scene.open(None, **_dates(sources, post))
        maps[name] = _predict_change(ChangeDetector.of_scene(scene, method), scene, out / name)
    return _pooled(maps, scenes, stored)


def change_labels(path: str, stored: str = "change") -> ByteImage:
    """Return (H, W) labels of change in a file: 0 no change, 1 change, 255 void. stored : legend that they are in, as 255 for change in masks"""
    legend = Legend.load(stored)
    indices: ByteImage = legend.to_index()[legend.from_file(Layer.open(path).read()[0][0])]
    return indices


def everything_changed(scenes: Sources, *, stored: str = "change") -> Zero:
    """Return the zero of a table of change: everything in these scenes called changed. stored : legend that their labels are in"""
    values = np.concatenate([change_labels(one["labels"], stored).ravel() for one in scenes.values()])
    return everything(float((values == 1).sum() / np.isin(values, (0, 1)).sum()))


def zero_row(zero: Zero, *names: str) -> list[list[float]]:
    """Return the cells of a zero in a table of shares. names : its scores, a column each"""
    return [[zero.scores[name] / 100] for name in names]


def _dates(sources: Mapping[str, str], post: str) -> dict[str, str]:
    return {"image_pre": sources["image_pre"], "image_post": sources[post]}


def _predict_change(run: Run | Segmenter, scene: Scene, out: Path) -> Path:
    """Map of no change and change; `out` is its path without the suffix."""
    target = out.with_name(f"{out.name}.tif")
    target.parent.mkdir(parents=True, exist_ok=True)
    predict(run, scene, target, PredictOptions(overwrite=True, device="cpu", precision="float32"))
    legend = Layer.open(target).legend
    if legend is not None and legend.num_classes > 2:
        return split_from_to(target, out)["change"]
    return target


def _pooled(maps: Mapping[str, Path], scenes: Sources, stored: str) -> ChangeScore:
    legend, protocol = Legend.load("change"), Protocol(reference_legend=Legend.load(stored))
    single = [evaluate(path, scenes[name]["labels"], legend, protocol).matrix for name, path in maps.items()]
    every = reduce(add, single)
    f1, kappa, *kappas = np.nan_to_num([every.f1[legend.index("change")], every.kappa, *(one.kappa for one in single)])
    return ChangeScore(float(f1), float(kappa), of_scenes=tuple(map(float, kappas)))


def table(
    title: str, columns: Sequence[str], rows: Mapping[str, Sequence[Sequence[float]]], notes: Sequence[str]
) -> str:
    """Mean ± sd over the seeds in percent, as Markdown. rows : name → one list a column, one value a seed"""
    lines = [f"| {' | '.join(['method', *columns])} |", f"|---|{'---:|' * len(columns)}"]
    for name, cells in rows.items():
        lines.append(f"| {' | '.join([name, *(spread(100 * np.array(cell)) for cell in cells)])} |")
    return "\n".join([f"## {title}", "", *lines, "", *notes, ""])


def ordering(name: str, better: Sequence[float], worse: Sequence[float]) -> str:
    """Whether a claim held, on average and in how many seeds."""
    gains = 100 * (np.array(better) - np.array(worse))
    verdict = "held" if gains.mean() >= 0 else "did NOT hold"
    return f"- {name}: {verdict}, {spread(gains, 1, '+')} points; in {int((gains >= 0).sum())} of {len(gains)} seeds"


def ordering_over_scenes(name: str, better: Sequence[ChangeScore], worse: Sequence[ChangeScore]) -> str:
    """Mean ± standard error of the difference in kappa over test scenes, each the mean of its seeds."""
    gains = 100 * (np.array([one.of_scenes for one in better]) - np.array([one.of_scenes for one in worse])).mean(
        axis=0
    )
    error = f" ± {gains.std(ddof=1) / np.sqrt(len(gains)):.1f}" if len(gains) > 1 else ""
    return (
        f"- {name}, over scenes: {gains.mean():+.1f}{error} (standard error); in {(gains >= 0).sum()} of {len(gains)}"
    )


def publish(out: Path, text: str) -> None:
    """Print a table and keep it."""
    write_text(out / "table.md", text)
    print(text)
