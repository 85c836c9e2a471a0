"""Heights above ground and land cover from one image: alone, together, and beside a plain loop; mean ± sd over the seeds.

Usage: python experiments/height_semantics.py --out FOLDER [--seeds 0 1 2]                   (miniature city, SYNTHETIC)
       python experiments/height_semantics.py --out FOLDER --data IGN                         (ortho and classified cloud of IGN, halves)
       python experiments/height_semantics.py --out FOLDER --dataset dfc2018 --data ROOT     (surface minus terrain model)
       python experiments/height_semantics.py --out FOLDER --dataset dfc2019 --data ROOT     (US3D: heights above ground)
       python experiments/height_semantics.py --out FOLDER --dataset isprs_vaihingen --data ROOT --heights "ndsm/{id}.tif"

RMSE is in metres above ground, of all pixels and of those within 2 px of a roof's edge; F1 is the mean over the classes. Small trainings
of one network and of as many steps for all rows, but for --dataset. On the miniature city heights.png shows the cities beside their estimates. The plain loop is what one writes in sixty lines.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from change_pairs import COVER, OF_MINICITY, publish, train_run
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.interpolate import griddata
from scipy.ndimage import binary_closing, binary_dilation, binary_erosion
from script import add_smoke, plain_errors, require_files, store_results, title_of

from deepnets4eo.cards import VOID, DatasetCard, Legend, Quantity, SplitPart, open_dataset
from deepnets4eo.evaluation import evaluate_pairs, evaluate_values, spread
from deepnets4eo.files import write_yaml
from deepnets4eo.grid import Grid, Window, crop
from deepnets4eo.points import open_cloud
from deepnets4eo.points.height_grid import height_grid
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.segmenters import create_model, load_run
from deepnets4eo.synthetic import City

log = logging.getLogger(__name__)

GSD_M, SIDE_PX, EDGE_PX, BUILDING = 0.5, 256, 2, 1
TRAIN_CITIES, TEST_CITIES = (1, 2, 3, 4), (21, 22)
EDGES = Legend.from_dict({"name": "edges", "classes": [
    {"value": 0, "name": "elsewhere", "color": [200, 200, 200]}, {"value": 1, "name": "roof edge", "color": [200, 30, 30]}]})  # fmt: skip
NETWORK = "light-unet"
OPTIONS: dict[str, Any] = {"decoder_channels": [32, 16, 16]}
STEPS, EPOCH_STEPS, BATCH, TILE_PX, LR = 160, 20, 8, 64, 2e-3
SMALL = (
    f"model.network={NETWORK}", f"model.options={json.dumps(OPTIONS)}", "model.encoder=null", f"data.tile_px={TILE_PX}",
    f"data.windows_per_epoch={BATCH * EPOCH_STEPS}", f"train.epochs={STEPS // EPOCH_STEPS}", f"train.batch_size={BATCH}", f"train.lr={LR}",
    "train.average=0", "train.schedule=poly", "data.num_workers=0", "data.val_share=0", "data.sampling=random", "train.photometric=0.1",
    "train.precision=float32", "predict.tile_px=256", "predict.halo_px=32", "predict.overlap_px=0",
)  # fmt: skip
ZERO = "target.zero=value"
ALONE, GRADIENT, COVER_ALONE, PLAIN = (
    "heights alone, L1",
    "heights alone, L1 + gradient",
    "land cover alone",
    "plain loop, L1",
)
BOTH = "heights and land cover"
HEIGHTS, TOGETHER, CLASSES = "depth/heights", "depth/heights-and-cover", "unet-mobilenet"  # recipes
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    ALONE: (HEIGHTS, (ZERO,)),
    GRADIENT: (HEIGHTS, (ZERO, "train.losses.gradient=1")),
    COVER_ALONE: (CLASSES, ("train.refit=false",)),
    BOTH: (TOGETHER, (ZERO,)),
}
COLUMNS = ("RMSE m", "RMSE at roof edges m", "MAE m", "R2 %", "mean F1 %")
Sources = Mapping[str, Mapping[str, str]]


def write_scene(
    folder: Path,
    grid: Grid,
    image: NDArray[Any],
    heights: NDArray[Any],
    labels: NDArray[Any],
    legend: Legend,
    *,
    synthetic: bool,
) -> dict[str, str]:
    """Image, heights, labels and roof edges of one scene as files; those that exist are kept."""
    roof = binary_closing(
        labels == legend.value("building"), iterations=2
    )  # of a cloud: cells without a point lie between
    edge = binary_dilation(roof, iterations=EDGE_PX) & ~binary_erosion(roof, iterations=EDGE_PX, border_value=1)
    tags = {"SYNTHETIC": "miniature city"} if synthetic else {}
    written: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
        "image": (image, {"count": len(image)}),
        "height": (heights[None].astype(np.float32), {"dtype": "float32", "nodata": float("nan"), "unit": "m"}),
        "labels": (labels[None], {"legend": legend, "nodata": VOID}),
        "edges": (edge.astype(np.uint8)[None], {"legend": EDGES, "nodata": VOID}),
    }
    for name, (values, how) in written.items():
        if not (path := folder / f"{name}.tif").exists():
            with CogWriter(path, grid, tags=tags, **how) as writer:
                writer.write(Window(0, 0, *values.shape[1:]), values)
    return {name: str(folder / f"{name}.tif") for name in written}


def city_scenes(out: Path, seeds: Sequence[int], side_px: int) -> dict[str, dict[str, str]]:
    """Made-up cities (SYNTHETIC)."""
    legend, scenes = Legend.from_dict(COVER), {}
    for seed in seeds:
        city = City(seed, side_px, GSD_M)
        labels = OF_MINICITY[city.labels("minicity")]
        heights = city.pre.dsm - city.dtm
        scenes[f"city-{seed}"] = write_scene(
            out / f"city-{seed}", city.grid, city.pre.image[:3], heights, labels, legend, synthetic=True
        )
    return scenes


def ign_halves(folder: Path, out: Path) -> tuple[Sources, Sources]:
    """The west of a tile of IGN's ortho to learn from and its east to test on, with 2 m between; heights are those of the cloud's
    points above its ground points, void where a cell has none."""
    (ortho,) = require_files(folder, "test_data_rgb.tif")
    (cloud,) = require_files(folder, "test_data_77055_627760_LA93_IGN69.laz")
    image = Layer.open(ortho)
    file = open_cloud(cloud)
    points = np.concatenate([np.column_stack([chunk.xyz, chunk.classification]) for chunk in file.chunks()])  # type: ignore[list-item]
    cells = height_grid(file.chunks, image.grid, leave_out=(1,))
    rows, cols = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    xs, ys = image.grid.affine * (cols, rows)
    ground = points[points[:, 3] == 2]
    terrain = griddata(ground[:, :2], ground[:, 2], (xs, ys), method="linear")
    terrain = np.where(np.isnan(terrain), griddata(ground[:, :2], ground[:, 2], (xs, ys), method="nearest"), terrain)
    heights = np.maximum(cells.top - terrain, 0)
    labels = np.full(image.shape, VOID, np.uint8)
    for code, label in ((2, 0), (3, 2), (4, 2), (5, 2), (6, 1)):
        inner = points[points[:, 3] == code]
        col, row = ~image.grid.affine * (inner[:, 0], inner[:, 1])
        inside = (row >= 0) & (col >= 0) & (row < image.shape[0]) & (col < image.shape[1])
        labels[row[inside].astype(int), col[inside].astype(int)] = label
    legend, pixels, (height, width) = Legend.from_dict(COVER), image.read()[0], image.shape
    halves = {
        "west": Window(0, 0, height, width // 2 - 5),
        "east": Window(0, width // 2 + 5, height, width - width // 2 - 5),
    }
    parts = {
        name: {name: write_scene(
            out / name, crop(image.grid, at), pixels[:, at.slices[0], at.slices[1]], heights[at.slices], labels[at.slices], legend, synthetic=False
        )}
        for name, at in halves.items()
    }  # fmt: skip
    return parts["west"], parts["east"]


def dataset_scenes(name: str, root: Path, heights: str | None) -> tuple[Sources, Sources, tuple[str, ...]]:
    """Tiles to train and to test on of a dataset's card, and how its heights are read."""
    layouts = {
        "dfc2018": (("dsm", "dtm"), ("target.layer=dsm", "target.terrain=dtm")),
        "dfc2019": (("agl",), ("target.layer=agl",)),
    }
    layers, target = layouts.get(name, (("height",), ()))
    card = DatasetCard.load(name).with_layout({"height": heights} if heights else {})
    parts = [
        {tile: {layer: str(path) for layer, path in sources.items()} for tile, sources in open_dataset(
            card, root, part=part, layers=["image", "labels", *layers]).items()}
        for part in (SplitPart.train, SplitPart.test)
    ]  # fmt: skip
    return parts[0], parts[1], target


def score_run(run: Path, scenes: Sources, out: Path) -> list[float]:
    """The columns of a run on test scenes, NaN for what it does not estimate."""
    segmenter = load_run(run).segmenter
    values: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    for name, sources in scenes.items():
        first, second = out / name / "values.tif", out / name / "labels.tif"
        if segmenter.legend.classes:
            beside = second.with_name("heights.tif") if segmenter.legend.quantity else None
            predict(run, sources["image"], second, PredictOptions(values=beside, overwrite=True, device="cpu"))
            labels[name] = second
            values |= {name: beside} if beside else {}
        else:
            predict(run, sources["image"], first, PredictOptions(overwrite=True, device="cpu"))
            values[name] = first
    f1 = float("nan")
    if labels:
        pairs: list[Any] = [(path, scenes[name]["labels"]) for name, path in labels.items()]
        f1 = 100 * evaluate_pairs(pairs, replace_quantity(segmenter.legend)).matrix.mean_f1
    return [*(score_values(values, scenes) if values else [float("nan")] * 4), f1]


def replace_quantity(legend: Legend) -> Legend:
    """The classes of a legend alone."""
    return Legend(legend.name, legend.classes, legend.void_color)


def score_values(values: Mapping[str, Any], scenes: Sources) -> list[float]:
    """RMSE, RMSE at roof edges, MAE in metres and R² in percent of heights, all scenes pooled."""
    reports = [
        evaluate_values(
            [(values[name], scenes[name]["height"])], Quantity.from_name("height"), class_map=scenes[name]["edges"]
        )
        for name in values
    ]

    def pooled(score: str, group: str | None = None) -> tuple[float, float]:
        parts = [report["values"] if group is None else report["by_class"][group] for report in reports]
        pixels = sum(part["pixels"] for part in parts)
        return sum(
            part["pixels"] * (part[score] ** 2 if score == "rmse" else part[score]) for part in parts
        ) / pixels, pixels

    return [
        pooled("rmse")[0] ** 0.5, pooled("rmse", "roof edge")[0] ** 0.5, pooled("mae")[0], 100 * pooled("r2")[0],
    ]  # fmt: skip


def plain_loop(
    train: Sources, test: Sources, out: Path, seed: int, steps: int, *, target: str = "height"
) -> dict[str, Path]:
    """The same network, windows, loss and rate, as written in an afternoon: whole scenes in memory, no halo, last weights. Returns
    the estimates of the test scenes. A target of depth is void at 0."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    scenes = [(Layer.open(one["image"]).read()[0], Layer.open(one[target]).read()[0][0]) for one in train.values()]
    pixels = np.concatenate([image.reshape(3, -1) for image, _ in scenes], axis=1)
    mean, std = pixels.mean(axis=1)[:, None, None], pixels.std(axis=1)[:, None, None]
    network = create_model(NETWORK, in_channels=3, num_classes=1, **OPTIONS)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, steps, 0.9)
    for _ in range(steps):
        images, heights = [], []
        for _ in range(BATCH):
            image, height = scenes[rng.integers(len(scenes))]
            row, col = (int(rng.integers(side - TILE_PX + 1)) for side in height.shape)
            rows, cols = slice(row, row + TILE_PX), slice(col, col + TILE_PX)
            flip = -1 if rng.integers(2) else 1
            images.append(((image[:, rows, cols] - mean) / std)[..., ::flip])
            heights.append(height[rows, cols][:, ::flip])
        truth = torch.from_numpy(np.stack(heights).copy())
        known = truth.isfinite() & ((truth != 0) | (target == "height"))
        estimate = network(torch.from_numpy(np.stack(images).astype(np.float32).copy()))[:, 0]
        loss = (estimate - truth.nan_to_num()).abs()[known].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    values = {}
    with torch.inference_mode():
        network.eval()
        for name, one in test.items():
            layer = Layer.open(one["image"])
            image = (layer.read()[0] - mean) / std
            below, right = (-side % 32 for side in layer.shape)
            padded = np.pad(image, ((0, 0), (0, below), (0, right)), mode="edge").astype(np.float32)
            estimate = network(torch.from_numpy(padded)[None])[0, :, : layer.shape[0], : layer.shape[1]]
            values[name] = out / f"{name}.tif"
            with CogWriter(values[name], layer.grid, dtype="float32", nodata=float("nan")) as writer:
                writer.write(Window(0, 0, *layer.shape), estimate.numpy())
    return values


def main() -> None:
    """Train all rows with all seeds, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of runs, maps and table.md")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--dataset", choices=["dfc2018", "dfc2019", "isprs_vaihingen"])
    parser.add_argument(
        "--data",
        type=Path,
        help="root of the dataset; without --dataset the folder of an ortho and classified clouds of IGN",
    )
    parser.add_argument("--heights", help="where the heights above ground of Vaihingen lie, e.g. ndsm/{id}.tif")
    add_smoke(parser)
    args = parser.parse_args()
    title, legend = "Miniature city, SYNTHETIC", str(write_yaml(args.out / "cover.yaml", COVER))
    small: tuple[str, ...] = SMALL
    target: tuple[str, ...] = ()
    train: Sources
    test: Sources
    if args.data is not None and args.dataset is None:
        train, test = ign_halves(args.data, args.out)
        title = "IGN, 0.2 m, west half learnt, east half tested"
        small = (*SMALL, "data.split=blocks")
    elif args.dataset is not None:
        train, test, target = dataset_scenes(args.dataset, args.data, args.heights)
        title, small, legend = args.dataset, (), DatasetCard.load(args.dataset).legend
    else:
        side_px = 96 if args.smoke else SIDE_PX
        cities = [seeds[: 1 if args.smoke else None] for seeds in (TRAIN_CITIES, TEST_CITIES)]
        train, test = (city_scenes(args.out, seeds, side_px) for seeds in cities)
    scores: dict[str, list[list[float]]] = {}
    for seed in args.seeds:
        for name in args.rows:
            recipe, overrides = ROWS[name]
            short = _short(name)
            own = (*small, *overrides, *(target if recipe != CLASSES else ()), f"train.seed={seed}")
            needed = {HEIGHTS: ("image", "height", "dsm", "dtm", "agl"), CLASSES: ("image", "labels")}.get(recipe)
            scenes = {
                tile: {k: v for k, v in one.items() if needed is None or k in needed} for tile, one in train.items()
            }
            own = own if recipe == HEIGHTS else (*own, f"legend={legend}")
            run = train_run(recipe, own, scenes, args.out / f"{short}-{seed}", smoke=args.smoke)
            scores.setdefault(name, []).append(score_run(run, test, args.out / f"{short}-{seed}" / "maps"))
            log.info("%s, seed %d: %s", name, seed, scores[name][-1])
        if args.dataset is None:
            maps = plain_loop(train, test, args.out / f"plain-{seed}", seed, 2 if args.smoke else STEPS)
            scores.setdefault(PLAIN, []).append([*score_values(maps, test), float("nan")])
            log.info("%s, seed %d: %s", PLAIN, seed, scores[PLAIN][-1])
    together = args.out / f"{_short(BOTH.format('equal'))}-{args.seeds[0]}" / "maps"
    if args.data is None and args.dataset is None and together.is_dir():
        draw(test, together, args.out / "heights.png")
    stored = {
        name: {
            column: [round(float(one), 3) for one in of_seeds]
            for column, of_seeds in zip(COLUMNS, zip(*values, strict=True), strict=True)
            if not np.isnan(of_seeds).all()
        }
        for name, values in scores.items()
    }
    store_results(args.out, smoke=args.smoke, data=title, scores=stored)
    publish(args.out, text_of(title_of(title, smoke=args.smoke), scores))


def _short(name: str) -> str:
    """A row's name as that of a folder."""
    return name.replace(" ", "-").replace(",", "").replace("+", "and")


def draw(cities: Sources, maps: Path, path: Path) -> None:
    """Made-up cities: their images, their heights, and the heights and land cover of one pass, as a picture."""
    figure = Figure(figsize=(12, 2.7 * len(cities)), layout="constrained")
    axes = figure.subplots(len(cities), 4, squeeze=False)
    titles = (
        "image",
        "heights above ground, reference",
        "heights estimated from the image",
        "land cover, in the same pass",
    )
    for row, (name, sources) in zip(axes, cities.items(), strict=True):
        Layer.open(sources["image"]).plot(row[0]).set_title("")
        for axis, heights in zip(row[1:], (sources["height"], str(maps / name / "heights.tif")), strict=False):
            drawn = axis.imshow(Layer.open(heights).read()[0][0], vmin=0, vmax=12, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        Layer.open(maps / name / "labels.tif").plot(row[3]).set_title("")
        if row[0] is not axes[0, 0]:
            row[3].get_legend().remove()
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    figure.colorbar(drawn, ax=axes[:, 2], label="m", shrink=0.8)
    figure.suptitle("SYNTHETIC: made-up cities that were not learnt from", fontsize=10)
    figure.savefig(path, dpi=100)


def text_of(title: str, scores: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """The table, and which claims held."""
    head = [f"| {' | '.join(['row', *COLUMNS])} |", f"|---|{'---:|' * len(COLUMNS)}"]
    rows = [
        f"| {name} | {' | '.join('–' if np.isnan(column).all() else spread(column, 2) for column in np.array(values).T)} |"
        for name, values in scores.items()
    ]
    together = BOTH.format("equal")
    claims = [
        claim(text, scores, name, other, column, larger=larger)
        for text, name, other, column, larger in (
            ("L1 + gradient is no worse than L1 at roof edges, RMSE", GRADIENT, ALONE, 1, False),
            ("heights together are no worse than alone, RMSE", together, ALONE, 0, False),
            ("land cover together is no worse than alone, mean F1", together, COVER_ALONE, 4, True),
        )
        if {name, other} <= scores.keys()
    ]
    return "\n".join([f"## {title}", "", *head, *rows, "", *claims, ""])


def claim(
    text: str,
    scores: Mapping[str, Sequence[Sequence[float]]],
    name: str,
    other: str,
    column: int,
    *,
    larger: bool = False,
) -> str:
    """Whether one row is as good as another, on average and in how many seeds."""
    gains = (np.array(scores[name])[:, column] - np.array(scores[other])[:, column]) * (1 if larger else -1)
    verdict = "held" if gains.mean() >= 0 else "did NOT hold"
    return f"- {text}: {verdict}, {spread(gains, 2, '+')} better; in {int((gains >= 0).sum())} of {len(gains)} seeds"


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with plain_errors():
        main()
