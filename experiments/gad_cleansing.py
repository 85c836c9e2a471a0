"""Cleansing of wrong change labels in training, with diffusion along edges: F1 of change on clean labels over the rate of noise.

Usage: python experiments/gad_cleansing.py --out FOLDER [--seeds 0 1 2] [--rates 0 0.1 0.2 0.3] [--rows …] [--encoder efficientnet-lite0]  (miniature city, SYNTHETIC)
       python experiments/gad_cleansing.py --out FOLDER --data WINDOWS …      (real pairs: the windows of LEVIR-CD, whose labels are made wrong)
       python experiments/gad_cleansing.py --out FOLDER --noise outlines …    (changes drawn too wide)

Objects: of the changed objects a share is lost from the labels, and as many pixels elsewhere are labelled as changed, in rectangles.
Outlines: all changed objects of 20 px or more are drawn wider, pixel by pixel, until a share of the labelled change is wrong.
Without cleansing the network learns for as many steps from the wrong labels; with labels that are kept it does so in hyperepochs,
each with a new optimiser, as with cleansing. Rows named twice have two hyperepochs, of half the steps each. Rows named by a rule merge always; guarded, labels of which few seem wrong stay.
How many seemed wrong stands in the runs' cards. Small trainings with 3 hyperepochs. On HRSCD, whose labels are wrong by nature, Daudt et al. (2019)
published gains by the eye and on the training labels alone: no clean labels of it are given out.
"""

from __future__ import annotations

import argparse
import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from change_pairs import (
    SMALL,
    STEPS_PER_EPOCH,
    TEST_CITIES,
    TRAIN_CITIES,
    Sources,
    change_labels,
    city_pairs,
    everything_changed,
    ordering,
    publish,
    score_change,
    table,
    train_run,
    zero_row,
)
from levir import samples
from scipy import ndimage
from script import add_smoke, percents, plain_errors, store_results, title_of

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.grid import whole
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.segmenters import EncoderName

HYPEREPOCHS, EPOCHS = 3, 6  # epochs of each hyperepoch
RATES = (0.0, 0.1, 0.2, 0.3)
WITHOUT = "without cleansing"
ALWAYS = {
    merge: (f"cleansing.merge={merge}", "cleansing.least_noise=0")
    for merge in ("intersection", "ignore-missed", "ignore-differing", "ignore-confident")
}
PLAIN, TWICE = ("cleansing.hyperepochs=1",), ("cleansing.hyperepochs=2",)
ROWS: dict[str, tuple[str, ...]] = {
    WITHOUT: PLAIN,
    "without, change counted twice": (*PLAIN, "train.class_weighting=median_frequency"),  # windows are balanced already
    **ALWAYS,
    "intersection, no diffusion": (*ALWAYS["intersection"], "cleansing.steps=0"),
    "intersection, twice": (*ALWAYS["intersection"], *TWICE),
    "guarded": (),  # as the recipe says
    "labels-kept": ("cleansing.least_noise=1",),
    "labels-kept, twice": ("cleansing.least_noise=1", *TWICE),
}
ROWS_BY_DEFAULT = [WITHOUT, "labels-kept", "intersection", "intersection, no diffusion", "ignore-missed", "guarded"]
SIDE_PX = (6, 24)  # of labelled rectangles where nothing changed
MIN_PX = 20  # of objects that are drawn too wide
SIDES = np.array(  # right, down, left, up
    [
        [[0, 0, 0], [0, 1, 1], [0, 0, 0]],
        [[0, 0, 0], [0, 1, 0], [0, 1, 0]],
        [[0, 0, 0], [1, 1, 0], [0, 0, 0]],
        [[0, 1, 0], [0, 1, 0], [0, 0, 0]],
    ]
)


def wrong_objects(change: ByteImage, rate: float, rng: np.random.Generator) -> ByteImage:
    """Labels of which a share of the changed objects is lost, and as many pixels labelled where nothing has changed."""
    objects, count = ndimage.label(change)
    lost = rng.permutation(count)[: round(rate * count)] + 1
    wrong = np.where(np.isin(objects, lost), 0, change).astype(np.uint8)
    missing = int(change.sum()) - int(wrong.sum())
    while missing > 0:
        height, width = rng.integers(*SIDE_PX, 2)
        row, col = rng.integers(0, wrong.shape[0] - height), rng.integers(0, wrong.shape[1] - width)
        window = np.s_[row : row + height, col : col + width]
        missing -= int((change[window] == 0).sum())
        wrong[window] = 1
    return wrong


def wrong_outlines(change: ByteImage, rate: float, rng: np.random.Generator) -> ByteImage:
    """Labels of which a share of the labelled change is wrong, since all larger objects are drawn too wide.

    They grow by a pixel to one side at a time, in the order of `SIDES` from a random one on.
    """
    objects, _ = ndimage.label(change)
    drawn = np.isin(objects, 1 + np.flatnonzero(np.bincount(objects.ravel())[1:] >= MIN_PX))
    sides, wrong = itertools.cycle(np.roll(SIDES, rng.integers(len(SIDES)), axis=0)), change
    while drawn.any() and wrong.sum() * (1 - rate) < change.sum():
        drawn = ndimage.binary_dilation(drawn, next(sides))
        wrong = change | drawn.astype(np.uint8)
    return wrong


NOISE = {"objects": wrong_objects, "outlines": wrong_outlines}


def with_noise(
    scenes: Sources, rate: float, seed: int, out: Path, *, noise: str = "objects", stored: str = "change"
) -> dict[str, dict[str, str]]:
    """The scenes with corrupted labels. noise : a key of `NOISE`; stored : legend of the files"""
    noisy = {}
    for number, (name, sources) in enumerate(scenes.items()):
        path = out / f"{name}.tif"
        layer = Layer.open(sources["labels"])
        truth = change_labels(sources["labels"], stored)
        changed = (truth == 1).astype(np.uint8)
        labels = NOISE[noise](changed, rate, np.random.default_rng([seed, number]))
        labels[truth == VOID] = VOID
        with CogWriter(path, layer.grid, legend=Legend.load("change"), nodata=255, tags=layer.tags) as cog:
            cog.write(whole(layer.grid), labels[None])
        noisy[name] = {**sources, "labels": str(path)}
    return noisy


def one_run(
    train: Sources, test: Sources, row: str, seed: int, epochs: int, out: Path, stored: str, further: Sequence[str] = (),
    *, smoke: bool,
) -> float:  # fmt: skip
    """F1 of change on clean labels, after as many steps in every row. epochs : of each of three hyperepochs"""
    hyperepochs = 1 if PLAIN[0] in ROWS[row] else 2 if TWICE[0] in ROWS[row] else HYPEREPOCHS
    settings = [*(one for one in SMALL if "class_weights" not in one), f"train.seed={seed}", "train.step_epochs=[]"]
    settings += [
        f"train.epochs={epochs * HYPEREPOCHS // hyperepochs}",
        f"cleansing.hyperepochs={2 if smoke else hyperepochs}",
    ]
    run = train_run("change/cleansing", [*settings, *ROWS[row], *further], train, out, smoke=smoke)
    return score_change(run, test, out / "maps", stored=stored).f1


def siamese(encoder: str) -> tuple[str, ...]:
    """Return the values of a recipe with a Siamese U-Net whose encoder starts from these weights."""
    model = (
        "network=change-encoder",
        f"encoder={EncoderName.lite0}",
        f"encoder_weights={encoder}",
        "options.fusion=difference",
    )
    return tuple(f"model.{one}" for one in model)


def f1_by_rate(
    f1: Mapping[str, Sequence[Sequence[float]]], rates: Sequence[float]
) -> dict[str, dict[str, list[float]]]:
    """Return rate → row → F1 in percent, one per seed. f1 : row → one list per rate"""
    return {
        f"{100 * rate:.0f} %": {name: percents(cells[number]) for name, cells in f1.items() if len(cells) > number}
        for number, rate in enumerate(rates)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES))
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of 20 steps, of each hyperepoch")
    parser.add_argument("--noise", default="objects", choices=list(NOISE))
    parser.add_argument("--rows", nargs="+", default=ROWS_BY_DEFAULT, choices=list(ROWS))
    parser.add_argument(
        "--encoder", help="first weights of a Siamese U-Net in place of FresUNet, e.g. efficientnet-lite0"
    )
    parser.add_argument("--data", type=Path, help="folder of a few windows of LEVIR-CD, with A, B and label")
    add_smoke(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("change_pairs").setLevel(logging.INFO)
    out, smoke = arguments.out, arguments.smoke
    few = 1 if smoke else None
    if arguments.data:
        (train, test), stored, where = samples(arguments.data), "change-mask", "windows of LEVIR-CD"
    else:
        train, test = (city_pairs(out, cities[:few], smoke=smoke) for cities in (TRAIN_CITIES, TEST_CITIES))
        stored, where = "change", "miniature city (SYNTHETIC)"
    further = siamese(arguments.encoder) if arguments.encoder else ()
    zero = everything_changed(test, stored=stored)
    steps = HYPEREPOCHS * arguments.epochs * STEPS_PER_EPOCH
    about = {
        "data": where,
        "noise": arguments.noise,
        "steps": steps,
        "encoder": arguments.encoder,
        "zero": zero.to_dict(),
    }
    f1: dict[str, list[list[float]]] = {name: [] for name in arguments.rows}
    for rate in arguments.rates[:2] if smoke else arguments.rates:
        cells: dict[str, list[float]] = {name: [] for name in f1}
        for seed in arguments.seeds[:few]:
            folder = out / arguments.noise / f"rate-{rate:g}-epochs-{arguments.epochs}" / f"seed-{seed}"
            noisy = with_noise(train, rate, seed, folder / "labels", noise=arguments.noise, stored=stored)
            for name, of_name in cells.items():
                work = folder / f"{name}{f', {arguments.encoder}' if further else ''}"
                of_name.append(one_run(noisy, test, name, seed, arguments.epochs, work, stored, further, smoke=smoke))
                so_far = f1 | {name: [*f1[name], of_name] for name, of_name in cells.items() if of_name}
                store_results(out, smoke=smoke, **about, f1_of_change=f1_by_rate(so_far, arguments.rates))
        for name, of_name in cells.items():
            f1[name].append(of_name)
    notes = [
        ordering(f"{name} ≥ {WITHOUT} at {100 * rate:.0f} % of the labels wrong", f1[name][number], f1[WITHOUT][number])
        for name in f1
        for number, rate in enumerate(arguments.rates[: len(f1[name])])
        if name != WITHOUT and WITHOUT in f1
    ]
    columns = [f"F1 of change, {100 * rate:.0f} % wrong" for rate in arguments.rates[: len(f1[arguments.rows[0]])]]
    title = title_of(f"Cleansing of change labels, wrong {arguments.noise}, {where}", smoke=smoke)
    store_results(out, smoke=smoke, **about, f1_of_change=f1_by_rate(f1, arguments.rates))
    f1 = {zero.name: zero_row(zero, "f1") * len(columns), **f1}
    publish(out, table(title, columns, f1, notes))


if __name__ == "__main__":
    with plain_errors():
        main()
