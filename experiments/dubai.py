"""Dubai (CC0): whole tiles left out in turn, beside the draw of patches at random that public notebooks take.

Usage: python experiments/dubai.py --data FOLDER --out FOLDER [--ways plain unet-resnet34 …] [--splits tiles random] [--seeds 0 1 2]
       [--folds 3] [--steps 150] [--smoke]

FOLDER has tile_1 … tile_6 with images/*.jpg and masks/*.png. Six folds of each split, or three: one tile or two, or that share of the squares of 256 px.
Networks take as many steps of eight windows, in bfloat16, as the plain loop of smp's U-Net, and their last weights are scored: nothing is chosen; `efficientnet-lite0` is the one of ours that starts from ImageNet. A seed's scores
are those of all folds' pixels together. Writes table.md and results.json; what is finished is not run again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from equal_steps import DUBAI, Fold, by_plain_loop, dubai_tiles
from script import add_smoke, percents, plain_errors, store_results, title_of

from deepnets4eo.evaluation import spread
from deepnets4eo.files import read_json, write_json, write_text
from deepnets4eo.grid import whole
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.segmenters import EncoderName, load_run
from deepnets4eo.training import TrainOptions, train

STEPS, BATCH, EPOCHS, SQUARE_PX, TILES = 400, 8, 10, 256, 6
SCORES = ("overall accuracy", "mean IoU", *(f"F1 {name}" for name in DUBAI.names))
PLAIN = "plain"
RESNET34 = "unet-resnet34"
WAYS: dict[str, tuple[str, tuple[str, ...]]] = {  # way -> recipe, overrides
    **{recipe: (recipe, ()) for recipe in (RESNET34, "unet-distance", "baselines/random-forest", "baselines/rgb-svm")},
    "segnet": ("segnet", ("train.step_epochs=[5, 7, 9]",)),
    EncoderName.lite0: (RESNET34, (f"model.encoder={EncoderName.lite0}", f"model.encoder_weights={EncoderName.lite0}")),
}
Parts = Mapping[str, Mapping[str, str]]


def folds_of(folder: Path, out: Path, split: str, count: int) -> Iterator[Fold]:
    """The folds of a split: what is learnt from and tested on; images as GeoTIFF, which windows are read from faster."""
    parts = dubai_tiles(folder, out / "labels")
    for name, files in parts.items():
        files["image"] = str(tiff_of(Path(files["image"]), out / "images" / f"{name}.tif"))
    for number in range(count):
        name = f"{split}-{number + 1}-of-{count}"
        if split == "tiles":
            tiles = tuple(f"tile_{tile + 1}-" for tile in range(TILES) if tile * count // TILES == number)
            rest, left_out = ({n: p for n, p in parts.items() if n.startswith(tiles) is one} for one in (False, True))
        else:
            rest, left_out = (
                _squares(parts, out / f"{split}-{count}", number, count, tested=one) for one in (False, True)
            )
        yield Fold(name, DUBAI, rest, left_out, tile_px=SQUARE_PX)


def tiff_of(source: Path, path: Path) -> Path:
    """Return an image as GeoTIFF, from which windows are read faster."""
    if not path.exists():
        layer = Layer.open(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        with CogWriter(path, layer.grid, count=3, dtype="uint8") as cog:
            cog.write(whole(layer.grid), layer.read()[0][:3])
    return path


def _squares(parts: Parts, out: Path, number: int, count: int, *, tested: bool) -> dict[str, dict[str, str]]:
    """The parts with the labels of a fold's squares alone, or of all others."""
    rng, result = np.random.default_rng(0), {}
    for name, files in parts.items():
        layer = Layer.open(files[Scene.label_layer], labels=True)
        height, width = (-(-side // SQUARE_PX) for side in layer.shape)
        fold = rng.permutation(height * width).reshape(height, width) % count
        inside = np.kron(fold == number, np.ones((SQUARE_PX, SQUARE_PX), bool))[: layer.shape[0], : layer.shape[1]]
        path = out / f"{name}-{number}-{'test' if tested else 'train'}.tif"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with CogWriter(path, layer.grid, legend=DUBAI, nodata=0) as cog:
                cog.write(whole(layer.grid), np.where(inside == tested, layer.read()[0], 0).astype(np.uint8))
        result[name] = {"image": files["image"], Scene.label_layer: str(path)}
    return result


def matrix_of(fold: Fold, way: str, seed: int, steps: int, out: Path) -> list[list[int]]:
    """The confusion matrix of what a fold tests on, rows are the reference."""
    if way == PLAIN:
        return by_plain_loop(fold, seed, steps, bfloat16=True).matrix.tolist()
    return matrix_of_recipe(fold, *WAYS[way], seed, steps, out)


def matrix_of_recipe(
    fold: Fold, recipe: str, overrides: Sequence[str], seed: int, steps: int, out: Path
) -> list[list[int]]:
    """The same of a recipe, whose networks take so many steps and validate on nothing."""
    scenes = [{name: files[name] for name in ("image", Scene.label_layer)} for files in fold.train.values()]
    keys = [
        f"data.scenes={json.dumps(scenes)}",
        f"legend={json.dumps(fold.legend.to_dict())}",
        "data.val_share=0",
        f"train.seed={seed}",
    ]
    if not recipe.startswith("baselines/"):
        keys += [
            f"data.tile_px={fold.tile_px}", f"data.windows_per_epoch={BATCH * max(steps // EPOCHS, 1)}",
            f"train.batch_size={BATCH}", f"train.epochs={min(EPOCHS, steps)}", "data.num_workers=0", "train.precision=bfloat16",
        ]  # fmt: skip
    run = load_run(train(recipe, out, overrides=[*keys, *overrides], options=TrainOptions(overwrite=True)))
    matrix = ConfusionMatrix(fold.legend.num_classes)
    for number, files in enumerate(fold.test.values()):
        scene = Scene.open(None, image=files["image"])
        labels = predict(run, scene, out / f"{number}.tif", PredictOptions(overwrite=True)).paths[Scene.label_layer]
        guess, truth = (
            fold.legend.to_index()[Layer.open(path, labels=True).read()[0][0]]
            for path in (labels, files[Scene.label_layer])
        )
        matrix.update(truth, guess)
    return matrix.matrix.tolist()


def scores_of(matrices: Sequence[ConfusionMatrix]) -> dict[str, list[float]]:
    """Scores by name, in percent, one for each seed."""
    columns = zip(*(percents((one.overall_accuracy, one.mean_iou, *one.f1)) for one in matrices), strict=True)
    return dict(zip(SCORES, map(list, columns), strict=True))


def main() -> None:
    """Run what is chosen, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of tile_1 … tile_6")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--ways", nargs="+", choices=[PLAIN, *WAYS], default=[PLAIN, *WAYS])
    parser.add_argument("--splits", nargs="+", choices=["tiles", "random"], default=["tiles", "random"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, choices=[3, 6], default=TILES)
    parser.add_argument("--steps", type=int, default=STEPS, help="of the networks")
    add_smoke(parser)
    options = parser.parse_args()
    smoke, out = options.smoke, options.out / "smoke" if options.smoke else options.out
    steps = 2 if smoke else options.steps
    text = (
        title_of("# Dubai", smoke=smoke)
        + f"\n\n| split | way | {' | '.join(SCORES)} |\n|---|---|{'---:|' * len(SCORES)}\n"
    )
    scores: dict[str, dict[str, dict[str, list[float]]]] = {}
    for split in options.splits:
        folds = list(folds_of(options.data, out / "data", split, options.folds))[: 1 if smoke else None]
        for way in options.ways:
            matrices = []
            for seed in options.seeds[: 1 if smoke else None]:
                counts = np.zeros((DUBAI.num_classes,) * 2, np.int64)
                for fold in folds:
                    run = out / way / f"{seed}-{steps}" / fold.name
                    if not run.with_suffix(".json").exists():
                        write_json(run.with_suffix(".json"), matrix_of(fold, way, seed, steps, run))
                        shutil.rmtree(run, ignore_errors=True)
                    counts += np.array(read_json(run.with_suffix(".json")))
                matrices.append(ConfusionMatrix.from_matrix(counts))
            of_way = scores.setdefault(split, {})[way] = scores_of(matrices)
            text += f"| {split} | {way} | {' | '.join(map(spread, of_way.values()))} |\n"
            write_text(out / "table.md", text)
            store_results(out, smoke=smoke, folds=options.folds, steps=steps, scores=scores)
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
