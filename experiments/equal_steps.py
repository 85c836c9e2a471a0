"""Recipes beside plain ways on real crops: networks beside loops of as many steps, superpixels beside SLIC and an SVC.

Usage: python experiments/equal_steps.py --data ROOT --out FOLDER [--ways balanced …] [--crops vaihingen …] [--steps 150] [--seeds 0 1] [--smoke]

ROOT is the folder of samples, with isprs_vaihingen_crop and isprs_potsdam_crop (halves, both ways) and levir_cd.
The weights of the last and of the best epoch are scored on the other half. Writes table.md and results.json; what is finished is not run again, and other
ways of a results.json that is there are kept.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from levir import MASK, samples
from numpy.typing import NDArray
from PIL import Image
from real_tiles import tile_folds
from script import add_smoke, kept_results, plain_errors, require_files, store_results, title_of
from skimage.segmentation import slic
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from deepnets4eo.baselines.superpixels import majority
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.evaluation import spread
from deepnets4eo.files import read_json, write_json, write_text
from deepnets4eo.grid import whole
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.segmenters import NetworkSegmenter, create_model, load_run
from deepnets4eo.training import TrainOptions, train
from deepnets4eo.training.state import load_state

EPOCHS, WITHHELD = 10, "data.val_share=0.2"
PLAIN = "plain loop"
REGIONS, PLAIN_REGIONS = "baselines/rgb-svm", "SLIC, mean and deviation, SVC"  # on the same crops
SUPERPIXELS = (PLAIN_REGIONS, REGIONS)
REGION_PX = 64
CROPS, LEVIR = ("vaihingen", "potsdam"), "LEVIR-CD"
WAYS: dict[str, tuple[str, ...]] = {
    "balanced": (WITHHELD,),
    "balanced, nothing withheld": ("data.val_share=0",),
}
DUBAI = Legend.from_dict({"name": "dubai", "void_values": [0], "classes": [
    {"value": value, "name": name, "color": color} for value, (name, color) in enumerate({
        "building": [60, 16, 152], "land": [132, 41, 246], "road": [110, 193, 228], "vegetation": [254, 221, 58],
        "water": [226, 169, 41],
    }.items(), start=1)
]})  # fmt: skip
Sources = Mapping[str, Mapping[str, str]]
Figures = dict[str, dict[str, dict[str, dict[str, list[float]]]]]
"""Way → epoch that is kept → fold, or the mean of several → score → percent, one per seed."""
Pixels = list[tuple[NDArray[np.float32], NDArray[np.uint8]]]


@dataclass(frozen=True)
class Fold:
    """What is learnt from and tested on, and by which recipe and network."""

    name: str
    legend: Legend
    train: Sources
    test: Sources
    layers: tuple[str, ...] = ("image",)
    recipe: str = "unet-resnet34"
    network: tuple[str, ...] = ("unet", "resnet34")
    tile_px: int = 192
    overrides: tuple[str, ...] = ()
    steps: int = 150

    def read(self, sources: Sources) -> Pixels:
        """(C, H, W) as stored, and class indices (H, W), of each scene."""
        stored = Legend.load("change-mask") if MASK in self.overrides else self.legend
        return [
            (
                np.concatenate([Layer.open(files[name]).read()[0].astype(np.float32) for name in self.layers]),
                stored.to_index()[Layer.open(files[Scene.label_layer], labels=True).read()[0][0]],
            )
            for files in sources.values()
        ]


def dubai_tiles(folder: Path, out: Path) -> dict[str, dict[str, str]]:
    """The labelled parts of the tiles; masks by colour, which JPEG had not touched, as GeoTIFF of values."""
    parts = {}
    for mask in require_files(folder, "tile_*/masks/*.png"):
        name, path = f"{mask.parts[-3]}-{mask.stem}", out / f"{mask.parts[-3]}-{mask.stem}.tif"
        if not path.exists():
            layer = Layer.open(mask)
            colours = np.asarray(Image.open(mask).convert("RGB")).transpose(2, 0, 1)  # a third of them are palettes
            values = sum(
                one.value * (colours == np.array(one.color)[:, None, None]).all(axis=0) for one in DUBAI.classes
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            with CogWriter(path, layer.grid, legend=DUBAI, nodata=0) as cog:
                cog.write(whole(layer.grid), np.asarray(values, np.uint8)[None])
        parts[name] = {"image": str(mask.parents[1] / "images" / f"{mask.stem}.jpg"), Scene.label_layer: str(path)}
    return parts


def folds_of(root: Path, out: Path, chosen: Sequence[str]) -> Iterator[Fold]:
    """Both halves of the chosen crops, and windows of LEVIR-CD if they are chosen."""
    for name, (legend, folds) in tile_folds(root, out / "tiles", [one for one in CROPS if one in chosen]).items():
        for number, fold in enumerate(folds, start=1):
            yield Fold(
                f"{name}, half {number}",
                legend,
                fold.train,
                fold.test,
                overrides=("data.block_px=64", "data.buffer_px=0"),
            )
    if LEVIR not in chosen:
        return
    learnt, tested = samples(root / "levir_cd")
    yield Fold(
        LEVIR, Legend.load("change"), learnt, tested, ("image_pre", "image_post"), "change/fc-siam-diff", ("fc-siam-diff",), 96,
        (MASK,), 200,
    )  # fmt: skip


def matrix_of(
    labels: Callable[[NDArray[np.float32]], NDArray[np.uint8]], pixels: Pixels, classes: int
) -> ConfusionMatrix:
    """Counts of all pixels, rows are the reference."""
    matrix = ConfusionMatrix(classes)
    for image, truth in pixels:
        padded = np.pad(image, ((0, 0), *((0, -side % 32) for side in truth.shape)), mode="reflect")
        matrix.update(truth, labels(padded)[: truth.shape[0], : truth.shape[1]])
    return matrix


def scores_of(matrix: ConfusionMatrix) -> dict[str, float]:
    """Overall accuracy, mean IoU and mean F1 in percent."""
    return {name: 100 * float(getattr(matrix, name)) for name in ("overall_accuracy", "mean_iou", "mean_f1")}


def by_recipe(fold: Fold, overrides: tuple[str, ...], seed: int, steps: int, out: Path) -> dict[str, dict[str, float]]:
    """Scores of the last and of the best epoch of a recipe."""
    size = 8
    scenes = [{layer: files[layer] for layer in (*fold.layers, Scene.label_layer)} for files in fold.train.values()]
    run = train(fold.recipe, out, options=TrainOptions(overwrite=True), overrides=[
        f"data.scenes={json.dumps(scenes)}", f"legend={json.dumps(fold.legend.to_dict())}",
        f"data.tile_px={fold.tile_px}", f"data.windows_per_epoch={size * max(steps // EPOCHS, 1)}", f"train.batch_size={size}",
        f"train.epochs={min(EPOCHS, steps)}", f"train.seed={seed}", "data.num_workers=0", *fold.overrides, *overrides,
    ])  # fmt: skip
    loaded = load_run(run).segmenter
    assert isinstance(loaded, NetworkSegmenter)

    def labels(image: NDArray[np.float32]) -> NDArray[np.uint8]:
        ends = np.cumsum([len(layer.bands) for layer in loaded.inputs.layers.values()])[:-1]
        sample = dict(zip(loaded.inputs.names, np.split(image, ends), strict=True))
        prepared = loaded.inputs.prepare({**sample, "valid": np.ones(image.shape[1:], bool)})
        return loaded.predict_classes(prepared[None])[0]

    tested, scores = fold.read(fold.test), {}
    for name in ("best", "last"):
        load_state(out / "checkpoints" / f"{name}.safetensors", loaded.module)
        scores[name] = scores_of(matrix_of(labels, tested, fold.legend.num_classes))
    return scores


def by_plain_loop(fold: Fold, seed: int, steps: int, *, bfloat16: bool = False) -> ConfusionMatrix:
    """The counts of the same network, AdamW, cross-entropy, windows at random, turns and mirror images."""
    learnt, tested = fold.read(fold.train), fold.read(fold.test)
    mean, std = (
        np.mean([how(image, axis=(1, 2)) for image, _ in learnt], axis=0)[:, None, None] for how in (np.mean, np.std)
    )
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    options: dict[str, Any] = {"encoder": fold.network[1]} if len(fold.network) > 1 else {}
    network = (
        create_model(fold.network[0], in_channels=len(mean), num_classes=fold.legend.num_classes, **options)
        .to(device)
        .train()
    )
    optimizer = torch.optim.AdamW(network.parameters(), 5e-4)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, steps, 0.9)
    for _ in range(steps):
        images, masks = [], []
        for _ in range(8):
            image, mask = learnt[rng.integers(len(learnt))]
            row, col = (rng.integers(max(side - fold.tile_px, 0) + 1) for side in mask.shape)
            window = np.s_[..., row : row + fold.tile_px, col : col + fold.tile_px]
            turns, mirrored = int(rng.integers(4)), 1 - 2 * int(rng.integers(2))
            images.append(np.rot90((image[window] - mean) / std, turns, (1, 2))[..., ::mirrored].astype(np.float32))
            masks.append(np.rot90(mask[window], turns)[:, ::mirrored].astype(np.int64))
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            scores = network(torch.from_numpy(np.stack(images)).to(device))
        optimizer.zero_grad()
        F.cross_entropy(scores.float(), torch.from_numpy(np.stack(masks)).to(device), ignore_index=VOID).backward()
        optimizer.step()
        schedule.step()
    network.eval()

    @torch.no_grad()
    def labels(image: NDArray[np.float32]) -> NDArray[np.uint8]:
        one = torch.from_numpy(((image - mean) / std).astype(np.float32))[None].to(device)
        return network(one).argmax(dim=1)[0].byte().cpu().numpy()

    return matrix_of(labels, tested, fold.legend.num_classes)


def by_superpixels(fold: Fold, seed: int, out: Path) -> dict[str, dict[str, float]]:
    """Scores of the recipe of superpixels; the seed draws what is withheld."""
    scenes = [{layer: files[layer] for layer in (*fold.layers, Scene.label_layer)} for files in fold.train.values()]
    run = train(REGIONS, out, options=TrainOptions(overwrite=True), overrides=[
        f"data.scenes={json.dumps(scenes)}", f"legend={json.dumps(fold.legend.to_dict())}", f"data.split_seed={seed}", f"train.seed={seed}",
    ])  # fmt: skip
    loaded: Any = load_run(run).segmenter

    def labels(image: NDArray[np.float32]) -> NDArray[np.uint8]:
        prepared = loaded.inputs.prepare({"image": image, "valid": np.ones(image.shape[1:], bool)})
        return loaded.label(prepared, 0).argmax(axis=0).astype(np.uint8)

    return {"last": scores_of(matrix_of(labels, fold.read(fold.test), fold.legend.num_classes))}


def by_plain_superpixels(fold: Fold, seed: int) -> dict[str, dict[str, float]]:
    """SLIC, mean and deviation of each band, a standardised SVC of 4,000 superpixels at most; nothing is withheld."""
    count = fold.legend.num_classes

    def cut(image: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        ids = slic(image.transpose(1, 2, 0) / 255, image[0].size // REGION_PX, start_label=0).astype(np.int32)
        pixels = np.bincount(ids.ravel())
        mean, square = (
            np.stack([np.bincount(ids.ravel(), band.ravel()) for band in one]) / pixels for one in (image, image**2)
        )
        return ids, np.concatenate([mean, np.sqrt(np.maximum(square - mean**2, 0))]).T

    vectors, classes = [], []
    for image, mask in fold.read(fold.train):
        ids, columns = cut(image)
        kinds = majority(mask, ids, len(columns), count)
        vectors.append(columns[kinds != VOID])
        classes.append(kinds[kinds != VOID])
    kept = np.random.default_rng(seed).permutation(sum(map(len, classes)))[:4000]
    machine = make_pipeline(StandardScaler(), SVC(C=10))
    machine.fit(np.concatenate(vectors)[kept], np.concatenate(classes)[kept])

    def labels(image: NDArray[np.float32]) -> NDArray[np.uint8]:
        ids, columns = cut(image)
        return machine.predict(columns)[ids].astype(np.uint8)

    return {"last": scores_of(matrix_of(labels, fold.read(fold.test), count))}


def score(fold: Fold, way: str, seed: int, steps: int, run: Path) -> dict[str, dict[str, float]]:
    """Scores of one way, by the epoch that is kept."""
    if way == PLAIN:
        return {"last": scores_of(by_plain_loop(fold, seed, steps))}
    if way == PLAIN_REGIONS:
        return by_plain_superpixels(fold, seed)
    return by_superpixels(fold, seed, run) if way == REGIONS else by_recipe(fold, WAYS.get(way, ()), seed, steps, run)


def compare(fold: Fold, ways: list[str], seeds: list[int], steps: int, out: Path) -> Figures:
    """Scores of each way on a fold, of the last and of the best epoch, one per seed."""
    figures: Figures = {}
    plain = [PLAIN] * bool(set(ways) & set(WAYS))
    for way in (*plain, *ways) if fold.recipe == "unet-resnet34" else (*plain, "recipe")[: 2 * len(plain)]:
        scores = []
        for seed in seeds:
            done = out / fold.name / way.replace("/", " ") / f"{seed}-{steps}.json"
            if not done.exists():
                write_json(done, score(fold, way, seed, steps, done.with_suffix("")))
            scores.append(read_json(done))
        figures[way] = {
            kept: {fold.name: {name: [round(one[kept][name], 3) for one in scores] for name in scores[0][kept]}}
            for kept in scores[0]
        }
    return figures


def rows_of(figures: Figures) -> Iterator[str]:
    """Rows of the table in Markdown: mean ± sd over the seeds."""
    for way, of_way in figures.items():
        for kept, of_folds in of_way.items():
            for fold, scores in of_folds.items():
                yield f"| {fold} | {way} | {kept} | {' | '.join(map(spread, scores.values()))} |"


def add_means(of_folds: dict[str, dict[str, list[float]]]) -> None:
    """Add the means over both halves of each crop, and over all halves, as further folds, one value per seed."""
    halves = {name: scores for name, scores in of_folds.items() if ", half " in name}
    for mean, crops in {**{crop: (crop,) for crop in CROPS}, "all halves": CROPS}.items():
        parts = [scores for name, scores in halves.items() if name.startswith(crops)]
        for metric in parts[0] if parts else ():
            values = np.mean([part[metric] for part in parts], axis=0).round(3).tolist()
            of_folds.setdefault(mean, {})[metric] = values


def merge(into: Figures, figures: Figures) -> None:
    """Add the scores of further folds, and renew the means over halves."""
    for way, of_way in figures.items():
        for kept, of_folds in of_way.items():
            every = into.setdefault(way, {}).setdefault(kept, {})
            every.update(of_folds)
            add_means(every)


def main() -> None:
    """Run what is chosen, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real samples")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--ways", nargs="+", choices=[*WAYS, *SUPERPIXELS], default=[*WAYS, *SUPERPIXELS])
    parser.add_argument("--crops", nargs="+", choices=[*CROPS, LEVIR], default=[*CROPS, LEVIR])
    parser.add_argument("--steps", type=int, help=f"of networks; {Fold.steps} by default, 200 on {LEVIR}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add_smoke(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    out = options.out / "smoke" if options.smoke else options.out
    head = title_of("# Equal steps", smoke=options.smoke) + "\n\n"
    head += "| data | way | epoch | overall accuracy | mean IoU | mean F1 |\n|---|---|---|---:|---:|---:|\n"
    figures: Figures = kept_results(out, smoke=options.smoke).get("ways", {})
    lines: list[str] = []
    for fold in folds_of(options.data, out, options.crops):
        ways, seeds, steps = options.ways, options.seeds, options.steps or fold.steps
        if options.smoke:
            ways, seeds, steps = [ways[0], *SUPERPIXELS], [0], 2
        measured = compare(fold, ways, seeds, steps, out)
        lines += rows_of(measured)
        merge(figures, measured)
        store_results(out, smoke=options.smoke, ways=figures)
        write_text(out / "table.md", head + "\n".join(lines) + "\n")
    print(head + "\n".join(lines))


if __name__ == "__main__":
    with plain_errors():
        main()
