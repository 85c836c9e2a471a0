"""How fast clicks correct a label map: discs as inputs (DISIR), weights that follow (DISCA), both; and where one should click.

Usage: python experiments/clicks.py --data FOLDER --out OUT [--about Vaihingen] [--seeds 0 1 2] [--smoke]

FOLDER holds `isprs_vaihingen_crop` and `isprs_potsdam_crop`. A U-Net with a ResNet-18 learns with clicks from half of the crop of Vaihingen,
and another one from miniature cities (SYNTHETIC), as many minutes as a test can spare. The first is corrected on the other half and, under
domain shift, on Potsdam, whose bands are others; the second on a city of another seed. Users are simulated: one sees the errors and
clicks amid one of the eight largest areas, one clicks anywhere, and the others where `next_click` says, by each of its measures. Each names the
true class. The table has the mean IoU by number of clicks, its mean
over all clicks, means over the seeds and their standard deviation, and the seconds of processor of a click and of choosing it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

import numpy as np
import real_tiles
from scipy.ndimage import distance_transform_edt, label
from script import FEW_STEPS, NOTE, add_smoke, plain_errors, store_results

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.evaluation import spread
from deepnets4eo.files import write_text
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.prediction import Adaptation, ClickSession, Measure, next_click
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import Run, RunFolder, load_run
from deepnets4eo.synthetic import City
from deepnets4eo.synthetic.write import write_raster
from deepnets4eo.training import load_recipe, train

SIDE_PX, CLICKS, REPORTED = 256, 12, (0, 1, 2, 4, 8, 12)
LARGEST = 8  # areas of error, among which a person picks one
ABOUT = ("Vaihingen", "Vaihingen → Potsdam", "city, SYNTHETIC")
TRAIN_CITIES, TEST_CITY = range(1, 7), 21
RECIPE = (
    "legend=isprs", "model.encoder=resnet18", "data.tile_px=128", "data.num_workers=0", "data.windows_per_epoch=160",
    "data.block_px=96", "data.val_share=0.05", "train.epochs=5", "train.batch_size=8", "train.lr=0.003", "train.patience=0",
    "train.losses.dice=0", "train.keep=last", "train.clicks=8",
)  # fmt: skip
FOLLOWED, FIXED = Adaptation(), replace(Adaptation(), steps=0)
MODES = {  # name → user, whether discs are shown, how weights follow
    "DISIR": ("errors", True, FIXED),
    "DISCA": ("errors", False, FOLLOWED),
    "both": ("errors", True, FOLLOWED),
    "both, anywhere": ("anywhere", True, FOLLOWED),
    **{f"both, {measure}": (measure, True, FOLLOWED) for measure in get_args(Measure)},
}


def city(seed: int, out: Path) -> Path:
    """The folder of a made-up city: image and labels."""
    folder = out / "city" / f"c{seed}"
    if not (folder / "labels.tif").exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = City(seed, 2 * SIDE_PX, 0.25)
        write_raster(folder / "image.tif", made.grid, made.image[:3], made.tags)
        write_raster(folder / "labels.tif", made.grid, made.labels("isprs"), made.tags, Legend.load("isprs"))
    return folder


def train_once(out: Path, name: str, folders: Sequence[Path], seed: int, further: Sequence[str]) -> Run:
    """A network that learnt with clicks; one that is there is read."""
    run = out / "runs" / f"{name}-{seed}"
    if not RunFolder(run).card.is_file():
        scenes = json.dumps([{layer: str(one / f"{layer}.tif") for layer in ("image", "labels")} for one in folders])
        recipe, _ = load_recipe(
            "unet-resnet34", overrides=[f"data.scenes={scenes}", *RECIPE, f"train.seed={seed}", *further]
        )
        train(recipe, run)
    return load_run(run)


def click_on_error(labels: ByteImage, truth: ByteImage, rng: np.random.Generator) -> tuple[int, int] | None:
    """Where a person who sees the truth clicks: amid one of the eight largest areas of error (h, w); None where there is none."""
    areas, count = label((labels != truth) & (truth != VOID))
    if not count:
        return None
    sizes = np.bincount(areas.ravel())[1:]
    chosen = int(rng.choice(np.argsort(-sizes, kind="stable")[:LARGEST])) + 1
    inner = distance_transform_edt(np.pad(areas == chosen, 1))[1:-1, 1:-1]
    row, col = divmod(int(inner.argmax()), truth.shape[1])
    return row, col


def correct(run: Run, folder: Path, mode: str, seed: int, clicks: int) -> tuple[list[float], float, float]:
    """The mean IoU after 0, 1, … clicks, and the seconds of processor of a click and of choosing it."""
    user, discs, adaptation = MODES[mode]
    sample = Scene.open(image=str(folder / "image.tif"), labels=str(folder / "labels.tif")).read()
    truth = run.legend.to_index()[sample.pop("labels")][:SIDE_PX, :SIDE_PX]
    nearest = distance_transform_edt(truth == VOID, return_distances=False, return_indices=True)  # with a class
    session = ClickSession(run.segmenter, run.inputs.prepare(sample)[:, :SIDE_PX, :SIDE_PX], adaptation, discs=discs)  # type: ignore[arg-type]
    rng, scores, seconds, choosing = np.random.default_rng(seed), [_mean_iou(session, truth)], [], []
    for _ in range(clicks):
        started = time.process_time()
        if user == "errors":
            pixel = click_on_error(session.labels, truth, rng)
        elif user == "anywhere":
            pixel = divmod(int(rng.choice(np.flatnonzero(truth != VOID))), truth.shape[1])
        else:
            pixel = next_click(session, cast("Measure", user))
        choosing.append(time.process_time() - started)
        if pixel is not None:
            row, col = (int(at[pixel]) for at in nearest)
            started = time.process_time()
            session.click(row, col, int(truth[row, col]))
            seconds.append(time.process_time() - started)
        scores.append(_mean_iou(session, truth))
    return scores, float(np.mean(seconds or [0.0])), float(np.mean(choosing))


def _mean_iou(session: ClickSession, truth: np.ndarray) -> float:
    matrix = ConfusionMatrix(session.num_classes)
    matrix.update(truth, session.labels)
    return float(matrix.mean_iou)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--about", nargs="+", choices=ABOUT, default=list(ABOUT))
    add_smoke(parser)
    options = parser.parse_args()
    folds = real_tiles.tile_folds(options.data, options.out, ["vaihingen", "potsdam"])
    halves = {
        name: [Path(one["image"]).parent for part in (fold.train, fold.test) for one in part.values()]
        for name, (_, (fold, _)) in folds.items()
    }
    cities = [city(seed, options.out) for seed in TRAIN_CITIES[: 1 if options.smoke else None]]
    modes, clicks = (list(MODES)[:4], 2) if options.smoke else (list(MODES), CLICKS)
    reported = [number for number in REPORTED if number <= clicks]
    tests = {
        ABOUT[0]: ("vaihingen", halves["vaihingen"][:1], halves["vaihingen"][1]),
        ABOUT[1]: ("vaihingen", halves["vaihingen"][:1], halves["potsdam"][0]),
        ABOUT[2]: ("city", cities, city(TEST_CITY, options.out)),
    }
    lines = [NOTE] if options.smoke else []
    lines += [
        f"| about | | {' | '.join(map(str, reported))} | mean | s a click | s choosing |",
        f"|---|---|{'---:|' * (len(reported) + 3)}",
    ]
    mean_iou: dict[str, dict[str, dict[str, list[float]]]] = {}
    for about, (name, folders, test) in ((one, tests[one]) for one in options.about):
        seeds = options.seeds[: 1 if options.smoke else None]
        runs = [train_once(options.out, name, folders, seed, FEW_STEPS if options.smoke else ()) for seed in seeds]
        for mode in modes:
            results = [correct(run, test, mode, seed, clicks) for run, seed in zip(runs, seeds, strict=True)]
            curves = np.array([scores for scores, _, _ in results])
            means, area = curves.mean(axis=0)[reported], curves[:, 1:].mean(axis=1)
            after = {f"{number} clicks": curves[:, number].round(4).tolist() for number in reported}
            after["mean of all clicks"] = area.round(4).tolist()
            mean_iou.setdefault(about, {})[mode] = after
            store_results(options.out, smoke=options.smoke, mean_iou=mean_iou)
            seconds = np.mean([each[1:] for each in results], axis=0)
            figures = " | ".join(f"{value:.3f}" for value in means)
            lines.append(f"| {about} | {mode} | {figures} | {spread(area, 3)} | {seconds[0]:.2f} | {seconds[1]:.2f} |")
            print(lines[-1], flush=True)
    write_text(options.out / "table.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    with plain_errors():
        main()
