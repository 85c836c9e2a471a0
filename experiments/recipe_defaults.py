"""Do the defaults of the shipped recipes serve? Each beside a plain training loop of sixty lines, on real labelled tiles.

Usage: python experiments/recipe_defaults.py --samples ROOT --out FOLDER [--steps 64 512] [--seeds 0 1 2] [--tiles ign …]

Each tile is cut in two halves (see real_tiles.py); every row trains on one and is scored on the other, both ways with
--folds 2. Networks get the same number of steps of equal batches in the same precision; several lengths are those of one
training. Writes table.md and table.json: overall accuracy and mean F1 in per cent, mean ± standard deviation over the seeds
and folds, and seconds of the clock and of the processor so far, scoring included; and each row minus the plain loop, mean ±
standard error over the pairs of one tile, seed and fold. What is finished is not run again.
The tables in the cards of unet-mobilenet and random-forest are from this script, with OMP_NUM_THREADS=1:
python experiments/recipe_defaults.py --samples ROOT --out FOLDER --steps 64
python experiments/recipe_defaults.py --samples ROOT --out FOLDER --steps 512 --tiles vaihingen
python experiments/recipe_defaults.py --samples ROOT --out SMALL --steps 512 --tiles potsdam ign --batch 4 --tile-px 96 --seeds 0 1
python experiments/recipe_defaults.py --samples ROOT --out FOLDER --steps --folds 2 --forests
python experiments/recipe_defaults.py --samples ROOT --out TINY --steps 512 1024 1536 2048 --tiles vegas ign vaihingen \
    --batch 2 --tile-px 64 --precision float32 --rows "plain loop" "every epoch"
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from real_tiles import tile_folds
from script import plain_errors
from sklearn.ensemble import RandomForestClassifier
from smoke import NOTE, add_smoke

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.device import choose
from deepnets4eo.files import read_json, write_json, write_text
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters.scene import LABELS, Layer
from deepnets4eo.segmenters.history import LOG, read_log
from deepnets4eo.segmenters.run import load_run
from deepnets4eo.training import TrainOptions, train
from deepnets4eo.training.augmentation import relit

Sources = Mapping[str, str]
Labels = NDArray[np.uint8]
Made = Iterator[tuple[int, Labels]]  # steps, and the labels after so many
Method = Callable[[Sources, Sources, Legend, Sequence[int], int, Path], Made]

LR = 1e-3
SCORES = ("overall_accuracy", "mean_f1")
PLAIN, PLAIN_FOREST = "plain loop", "forest of raw pixels"
ALL = ("data.val_share=0",)  # what train.refit learns from, and the weights of every epoch
LAST = ("train.average=0", *ALL)
FORMER = ("train.clip_norm=1", "train.rotations=true")
VARIED = ("train.photometric=0.1", *FORMER, *LAST)
CYCLE = ("train.schedule=one_cycle", "train.warmup_share=0.2")
OURS = {
    "unet-mobilenet": (),
    "every epoch": ALL,
    "last weights": LAST,
    "quarter turns": ("train.rotations=true", *ALL),
    "quarter turns, clipped": (*FORMER, *ALL),
    "quarter turns, clipped, last weights": (*FORMER, *LAST),
    "varied tones": VARIED,
    "polynomial decay from 2e-3": ("train.lr=0.002", "train.schedule=poly", "train.warmup_share=0.05", *VARIED),
    "one cycle": (*CYCLE, *VARIED),
    "one cycle, balanced, a fifth withheld": (*CYCLE, *VARIED[:-1], "data.sampling=balanced", "train.refit=false"),
}


def read(sources: Sources) -> tuple[NDArray[np.float32], Labels]:
    """Image (C, H, W) and labels (H, W) of one half."""
    image, _ = Layer.open(sources["image"]).read()
    labels, _ = Layer.open(sources[LABELS]).read()
    return image.astype(np.float32), labels[0].astype(np.uint8)


class PlainLoop:
    """A U-Net with the same encoder, a constant rate, random windows with flips, in the precision of recipes.

    precision : as in recipes; "auto" is bfloat16 where the processor has units for it. turned : whether windows are turned by
    quarter turns as well. tones : by how much they change their light, `train.photometric`. clip_norm : largest norm of the gradient.
    """

    def __init__(
        self, train_on: Sources, legend: Legend, batch: int, tile_px: int, seed: int,
        *, precision: str = "auto", turned: bool = False, tones: float = 0.0, clip_norm: float = np.inf,
    ) -> None:  # fmt: skip
        import segmentation_models_pytorch as smp

        image, labels = read(train_on)
        self.mean, self.std = image.mean(axis=(1, 2), keepdims=True), image.std(axis=(1, 2), keepdims=True) + 1e-6
        classes = legend.to_index()[labels].astype(np.int64)
        height, width = classes.shape
        pad = [(0, max(tile_px - height, 0)), (0, max(tile_px - width, 0))]
        self.scaled = np.pad((image - self.mean) / self.std, [(0, 0), *pad])
        self.classes = np.pad(classes, pad, constant_values=VOID)
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        network = smp.Unet("mobilenet_v2", encoder_weights=None, in_channels=len(image), classes=legend.num_classes)
        self.network = network.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=LR, fused=True)
        self.lowered = choose("cpu", precision).precision == "bfloat16"
        self.legend, self.batch, self.tile_px, self.turned, self.clip_norm = legend, batch, tile_px, turned, clip_norm
        self.tones = tones

    def step(self) -> float:
        """One step; returns its loss."""
        images, classes = self.batch_of_windows()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.lowered):
            logits = self.network(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), classes, ignore_index=VOID)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.optimizer.step()
        return float(loss.detach())

    def label(self, test: Sources) -> Labels:
        """Labels of a half, computed at once."""
        image = (read(test)[0] - self.mean) / self.std
        height, width = image.shape[1:]
        padded = np.pad(image, [(0, 0), (0, -height % 32), (0, -width % 32)], mode="reflect")
        self.network.eval()
        with torch.no_grad():
            best = self.network(torch.from_numpy(padded[None])).argmax(dim=1)[0, :height, :width].numpy()
        self.network.train()
        return np.array(self.legend.values, np.uint8)[best]

    def batch_of_windows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The next images (N, C, H, W) and classes (N, H, W)."""
        xs, ys = zip(*(self._window() for _ in range(self.batch)), strict=True)
        images = torch.from_numpy(np.stack(xs)).to(memory_format=torch.channels_last)
        return images, torch.from_numpy(np.stack(ys))

    def _window(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        row, col = (int(self.rng.integers(0, side - self.tile_px + 1)) for side in self.classes.shape)
        window = (slice(row, row + self.tile_px), slice(col, col + self.tile_px))
        x, y = self.scaled[:, window[0], window[1]], self.classes[window]
        if self.turned:
            turns = int(self.rng.integers(4))
            x, y = np.rot90(x, turns, (1, 2)), np.rot90(y, turns)
        for axis in (-1, -2):
            if self.rng.random() < 0.5:
                x, y = np.flip(x, axis), np.flip(y, axis)
        if self.tones:
            x = relit({"image": torch.from_numpy(x.copy())}, self.tones, self.rng)["image"].numpy()
        return x.copy(), y.copy()


def plain_loop(
    batch: int, tile_px: int, precision: str, train_on: Sources, test: Sources, legend: Legend, lengths: Sequence[int],
    seed: int, out: Path,
) -> Made:  # fmt: skip
    """The plain loop's last weights."""
    loop = PlainLoop(train_on, legend, batch, tile_px, seed, precision=precision)
    for step in range(1, lengths[-1] + 1):
        loop.step()
        if step in lengths:
            yield step, loop.label(test)


def recipe_of(name: str, batch: int, overrides: tuple[str, ...]) -> Method:
    """A shipped recipe with overrides, trained for as many steps of such batches and predicted as its run says."""

    def run(train_on: Sources, test: Sources, legend: Legend, lengths: Sequence[int], seed: int, out: Path) -> Made:
        per_epoch = lengths[0] // max(min(4, lengths[0]), min(16, lengths[0] // 64))
        ends = [steps // per_epoch for steps in lengths]
        own = (
            *of_half(train_on, legend, seed), f"train.epochs={ends[-1]}",
            f"data.windows_per_epoch={batch * per_epoch}", *overrides,
        )  # fmt: skip
        if ALL[0] in overrides:
            kept = ends
        else:  # train.refit as it is, one validated training for all lengths
            log = read_log(train(name, out / "validated", overrides=(*own, "train.refit=false")) / LOG)
            kept = [int(np.nanargmax([row["mean_iou"] for row in log[:end]])) + 1 for end in ends]
        labels = {}
        for epochs in sorted(set(kept)):
            folder = train(name, out / "run", overrides=(*own, *ALL), options=TrainOptions(resume=True, epochs=epochs))
            labels[epochs] = label(folder, test, out)
            yield from ((steps, labels[epochs]) for steps, one in zip(lengths, kept, strict=True) if one == epochs)

    return run


def forest_recipe(
    train_on: Sources, test: Sources, legend: Legend, lengths: Sequence[int], seed: int, out: Path
) -> Made:
    """The shipped forest."""
    yield 0, label(train("baselines/random-forest", out / "run", overrides=of_half(train_on, legend, seed)), test, out)


def of_half(train_on: Sources, legend: Legend, seed: int) -> tuple[str, ...]:
    """Overrides that set what is learnt from, its legend and the seed."""
    scene = {"image": train_on["image"], LABELS: train_on[LABELS]}
    legend_of = "legend=" + json.dumps(legend.to_dict())
    return legend_of, f"data.scenes=[{json.dumps(scene)}]", f"train.seed={seed}"


def label(run: Path, test: Sources, out: Path) -> Labels:
    """Labels of a half by a run, from file to file."""
    made = predict(load_run(run), test["image"], out / "labels.tif", PredictOptions(overwrite=True))
    return read({"image": test["image"], LABELS: str(made.paths["labels"])})[1]


def plain_forest(
    train_on: Sources, test: Sources, legend: Legend, lengths: Sequence[int], seed: int, out: Path
) -> Made:
    """A forest of 100 trees on the raw values of 60,000 pixels drawn at random."""
    image, labels = read(train_on)
    flat, known = image.reshape(len(image), -1).T, np.flatnonzero(labels.ravel() != VOID)
    chosen = np.random.default_rng(seed).permutation(known)[:60_000]
    forest = RandomForestClassifier(100, n_jobs=-1, random_state=seed).fit(flat[chosen], labels.ravel()[chosen])
    image, _ = read(test)
    yield 0, np.asarray(forest.predict(image.reshape(len(image), -1).T), np.uint8).reshape(image.shape[1:])


def scores_of(made: Labels, test: Sources, legend: Legend) -> dict[str, float]:
    """Overall accuracy, mean F1 and F1 by class of labels, in per cent; classes that occur nowhere are left out."""
    matrix = ConfusionMatrix(legend.num_classes)
    matrix.update(legend.to_index()[read(test)[1]], legend.to_index()[made])
    by_class = {
        f"f1.{name}": 100 * float(f1) for name, f1 in zip(legend.names, matrix.f1, strict=True) if not np.isnan(f1)
    }
    return {"overall_accuracy": 100 * matrix.overall_accuracy, "mean_f1": 100 * matrix.mean_f1, **by_class}


def outcomes_of(
    method: Method, name: str, folds: Any, legend: Legend, lengths: Sequence[int], seed: int, fold: int, out: Path
) -> list[Any]:
    """Scores in per cent and seconds so far, of each length of one training; read where it was finished before."""
    row = name.replace(" ", "-").replace(",", "")
    files = {steps: out / f"{row}-{steps}-{seed}-{fold}" / "outcome.json" for steps in lengths}
    if not all(file.exists() for file in files.values()):
        (train_on,), (test,) = folds[fold].train.values(), folds[fold].test.values()
        folder = files[lengths[-1]].parent
        folder.mkdir(parents=True, exist_ok=True)
        wall, cpu = time.perf_counter(), time.process_time()
        for steps, made in method(train_on, test, legend, lengths, seed, folder):
            seconds = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
            files[steps].parent.mkdir(exist_ok=True)
            write_json(files[steps], scores_of(made, test, legend) | seconds)
    return [read_json(file) for file in files.values()]


def gains(outcomes: Mapping[tuple[str, str, int], list[Any]]) -> str:
    """A table of each row minus the plain loop: mean ± standard error over the pairs, by length and tile and for all tiles."""
    lines = ["| steps | row | tile | pairs | overall accuracy | mean F1 |", "|---|---|---|---|---|---|"]
    of_tiles: dict[tuple[int, str], list[Any]] = {}
    for (tile, row, steps), values in outcomes.items():
        plain = outcomes.get((tile, PLAIN, steps), [])
        if row == PLAIN or len(plain) != len(values):
            continue
        pairs = [[one[key] - other[key] for key in SCORES] for one, other in zip(values, plain, strict=True)]
        of_tiles.setdefault((steps, row), []).extend(pairs)
        lines.append(gain(steps, row, tile, pairs))
    lines += [gain(steps, row, "all", pairs) for (steps, row), pairs in of_tiles.items()]
    return "\n".join(lines) + "\n"


def gain(steps: int, row: str, tile: str, pairs: list[Any]) -> str:
    """One line of the table of gains; one pair has no error."""
    means, errors = np.mean(pairs, axis=0), np.zeros(2)
    if len(pairs) > 1:
        errors = np.std(pairs, axis=0, ddof=1) / np.sqrt(len(pairs))
    cells = " | ".join(f"{mean:+.1f} ± {error:.1f}" for mean, error in zip(means, errors, strict=True))
    return f"| {steps} | {row} | {tile} | {len(pairs)} | {cells} |"


def main() -> None:
    """Run what is chosen, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--steps", type=int, nargs="*", default=[64, 512])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=1, choices=(1, 2))
    parser.add_argument("--batch", type=int, default=8, help="windows of a step")
    parser.add_argument("--tile-px", type=int, default=192, help="side of these windows")
    parser.add_argument("--precision", default="auto", help="of both, as in recipes")
    parser.add_argument("--tiles", nargs="*", default=["vaihingen", "potsdam", "ign"])
    parser.add_argument("--rows", nargs="*", default=[PLAIN, *OURS])
    parser.add_argument("--forests", action="store_true", help="the forests, too")
    add_smoke(parser)
    options = parser.parse_args()
    if options.smoke:
        print(NOTE)
        options.steps, options.seeds, options.tiles = [2], [0], options.tiles[:1]
    windows = (
        f"train.batch_size={options.batch}", f"data.tile_px={options.tile_px}", "predict.tile_px=576",
        f"train.precision={options.precision}",
    )  # fmt: skip
    methods: dict[str, Method] = {PLAIN: partial(plain_loop, options.batch, options.tile_px, options.precision)} | {
        name: recipe_of("unet-mobilenet", options.batch, (*windows, *more)) for name, more in OURS.items()
    }
    forests: dict[str, Method] = {
        PLAIN_FOREST: plain_forest,
        "random-forest": forest_recipe,
    }
    jobs = [(name, methods[name], sorted(options.steps)) for name in options.rows if options.steps]
    jobs += [(name, method, [0]) for name, method in forests.items()] if options.forests else []
    tiles = tile_folds(options.samples, options.out / "tiles", options.tiles)
    finished: dict[tuple[str, str, int], list[Any]] = {}
    for tile, seed, fold in itertools.product(tiles, options.seeds, range(options.folds)):
        legend, folds = tiles[tile]
        for name, method, lengths in jobs:
            of_lengths = outcomes_of(method, name, folds, legend, lengths, seed, fold, options.out / tile)
            for steps, one in zip(lengths, of_lengths, strict=True):
                finished.setdefault((tile, name, steps), []).append(one)
                print(tile, name, steps, seed, fold, one, flush=True)
    table = []
    for (tile, name, steps), outcomes in finished.items():
        row = {"tile": tile, "steps": steps, "row": name, "trainings": len(outcomes)}
        for key in (*SCORES, "seconds", "cpu_seconds"):
            values = [one[key] for one in outcomes]
            row |= {key: round(float(np.mean(values)), 1), f"{key}_sd": round(float(np.std(values)), 1)}
        table.append(row)
    write_json(options.out / "table.json", {"rows": table})
    lines = [
        "| tile | steps | row | overall accuracy | mean F1 | seconds | processor's |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['tile']} | {row['steps'] or '–'} | {row['row']} | {row['overall_accuracy']} ± {row['overall_accuracy_sd']} "
        f"| {row['mean_f1']} ± {row['mean_f1_sd']} | {row['seconds']} | {row['cpu_seconds']} |"
        for row in table
    ]
    write_text(options.out / "table.md", "\n".join(lines) + "\n\n" + gains(finished))


if __name__ == "__main__":
    with plain_errors():
        main()
