"""Real labelled sites on which isprs_segnet.py trains small networks, and the further rows that it trains there.

Dubai (CC0): two of six tiles left out in turn, one in three of their parts tested on. Vaihingen, IGN and Las Vegas: one tile each,
whose halves are swapped (`real_tiles`). Houston 2018: two quarters that touch at a corner against the two others, since halves
share only 7 of the 12 classes. IGN has heights above ground, Houston a composite of three bands of its cube, Las Vegas the first
near infrared band as the second layer of the two-stream networks. All networks take the same number of steps; the average is made
of two networks, which residual correction trains for half as many more. Its controls take as many steps: the two networks of the
average, trained further together; V-FuseNet and early fusion in one longer training. U-Nets keep the loss and the rate of their recipe.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dubai import folds_of
from equal_steps import DUBAI
from hyperspectral_cubes import COLOURS, HOUSTON
from real_tiles import ABOUT, RGB, RealTile, folds_of_quarters, pixel_grid, tile_folds
from score_table import BenchmarkScenes, Outcome, Row
from script import require_all
from seeds import NetworkRow, run_folder

from deepnets4eo.cards import VOID, Legend, LegendClass
from deepnets4eo.evaluation import Protocol
from deepnets4eo.files import read_json
from deepnets4eo.segmenters import EncoderName, RunFolder, create_model
from deepnets4eo.training import load_recipe

# As many steps as an hour of one core allows; a rate of 0.008 was no better on Vaihingen (seed 9, 80 steps), which is in no table.
EPOCHS, STEPS_PER_EPOCH, BATCH, TILE_PX, WIDTH = 4, 25, 4, 64, 8
STEPS = EPOCHS * STEPS_PER_EPOCH
TESTED = 3  # one in so many parts of Dubai's tiles that are left out
PROTOCOL = Protocol(boundary_px=3)
SHORT = (
    f"data.windows_per_epoch={STEPS_PER_EPOCH * BATCH}", f"data.tile_px={TILE_PX}", "data.val_share=0", "data.buffer_px=0",
    "train.precision=bfloat16",
)  # fmt: skip
# On one half of Las Vegas (seed 9, in no table) SegNet's overall accuracy after 100 steps was 46 % with four windows of 64 px in
# bfloat16, 52 % in float32, and 60 % with two or four windows of 128 px; two take no longer than the first. Parts of IGN are too
# narrow for these; Dubai was run before.
WIDE_PX, WIDE_BATCH = 128, 2
WIDE = (
    f"data.tile_px={WIDE_PX}", f"train.batch_size={WIDE_BATCH}", f"data.windows_per_epoch={STEPS_PER_EPOCH * WIDE_BATCH}",
    "train.precision=float32",
)  # fmt: skip
# With --long: until the mean IoU of the withheld part has not risen for PATIENCE epochs of 100 steps, at most LONG_EPOCHS of them. So long
# a training has learnt what it can of such a part; 100 steps had not (SegNet on Las Vegas: OA 45 %, after 1,000 steps 73 %, seed 0).
LONG_EPOCHS, LONG_STEPS_PER_EPOCH, PATIENCE = 20, 100, 3
LONG_STEPS = LONG_EPOCHS * LONG_STEPS_PER_EPOCH
LONG = (
    "data.val_share=0.15", "data.block_px=64", "data.buffer_px=0", "train.keep=best", f"train.patience={PATIENCE}",
    "train.monitor=mean_iou", "train.precision=float32", "train.schedule=constant",
)  # fmt: skip
WINDOWS_PX = {"dubai": TILE_PX, "ign": TILE_PX, "vaihingen": WIDE_PX, "vegas": WIDE_PX, "houston": WIDE_PX}
UNET, DISTANCE = "U-Net ResNet-34", "U-Net lite0, distance head"
UNET_RANDOM, UNET_IMAGENET = "U-Net lite0, random weights", "U-Net lite0, ImageNet"
EARLY, EARLY_UNET = "SegNet, early fusion", "U-Net lite0, early fusion"
AVERAGE, VIRTUAL = "Averaging", "V-FuseNet"
MORE_EPOCHS = EPOCHS // 2  # of the residual correction, after the epochs of its two networks
MORE_STEPS, ALL_STEPS = MORE_EPOCHS * STEPS_PER_EPOCH, (EPOCHS + MORE_EPOCHS) * STEPS_PER_EPOCH
LONGER = tuple(f"{name}, {ALL_STEPS} steps" for name in (VIRTUAL, EARLY))
AVERAGE_TRAINED = f"{AVERAGE}, trained {MORE_STEPS} steps more"
AVERAGE_TRAINED_LONG = f"{AVERAGE}, trained further"
LEFT_OUT = ("FCN-16s", "FCN + RF + CRF (DST_2)", "Residual correction, windows at random")
SMALL_UNET = (
    *SHORT, f"train.batch_size={BATCH}", f"train.epochs={EPOCHS}", "data.num_workers=0", "data.sampling=balanced",
    "train.keep=last", "predict.tile_px=320", "data.block_px=32",
)  # fmt: skip
ONE_STREAM = ("FCN (DLR_2)", "SegNet", "SegNet++ (multi-kernel)")


TIMED: dict[str, tuple[str, dict[str, Any]]] = {
    "SegNet": ("segnet", {}),
    f"SegNet, width {WIDTH}": ("segnet", {"width": WIDTH}),
    f"FCN-8s, width {WIDTH}": ("fcn", {"stride": 8, "hidden": 64, "width": WIDTH}),
    UNET: ("unet", {"encoder": "resnet34"}),
    "U-Net lite0": ("unet", {"encoder": EncoderName.lite0}),
}
TIMED_STEPS = 5  # the fastest counts
SEEDS = "seeds"  # of a row of the results


@dataclass(frozen=True)
class SampleSite:
    """A site of the samples: legend, folds, what readers of its scores need to know, and its second layer with its bands."""

    name: str
    legend: Legend
    folds: Sequence[BenchmarkScenes]
    about: str
    heights: tuple[str, int] | None = None


SITES: dict[str, tuple[str, int] | None] = {  # name -> second layer, its bands
    "dubai": None,
    "vaihingen": None,
    "ign": ("ndsm", 1),
    "vegas": ("intensity", 1),
    "houston": ("cube", 3),
}


def houston(folder: Path) -> RealTile:
    """Read the crop of Houston 2018: colours of 0.25 m, and three bands of the cube of 1 m, each pixel repeated 4 × 4."""
    from scipy.io import loadmat

    require_all(folder, ["houston_dataset.mat"])
    arrays = loadmat(folder / "houston_dataset.mat")
    stored = arrays["clasLabs"].astype(np.uint8)
    labels = np.where(stored > 0, stored - 1, VOID).astype(np.uint8)
    cube = arrays["hyprImg"][..., [46, 30, 14]].transpose(2, 0, 1).astype(np.float32)
    names = ("band 47", "band 31", "band 15")
    layers: dict[str, tuple[Any, tuple[str, ...]]] = {
        "image": (np.ascontiguousarray(arrays["rgbImg"].transpose(2, 0, 1)), RGB),
        "cube": (cube.repeat(4, axis=1).repeat(4, axis=2), names),
    }
    classes = tuple(
        LegendClass(value, name, color) for value, (name, color) in enumerate(zip(HOUSTON, COLOURS, strict=True))
    )
    return RealTile(Legend("houston", classes), pixel_grid(labels), labels, layers)


def sample_sites(root: Path, out: Path, names: Sequence[str]) -> Iterator[SampleSite]:
    """Yield the sites of these names; their scenes are written under `out` once. Errors: InputError for missing folders."""
    for name in names:
        if name == "dubai":
            folds = [
                BenchmarkScenes(fold.train, dict(list(fold.test.items())[::TESTED]))
                for fold in folds_of(root / "dubai", out / "dubai", "tiles", 3)
            ]
            about = "two of six tiles left out in turn, one in three of their parts tested on"
            yield SampleSite(name, DUBAI, folds, about)
        elif name == "houston":
            tile = houston(root / "houston2018_crop")
            yield SampleSite(
                name,
                tile.legend,
                folds_of_quarters(tile, name, out),
                "two thirds of the pixels have no label; trees, crosswalk and thoroughfare are in one fold only, so that "
                "no network can learn them for it",
                SITES[name],
            )
        else:
            legend, halves = tile_folds(root, out, [name])[name]
            yield SampleSite(name, legend, halves, ABOUT[name], SITES[name])


def long_overrides(site: str) -> tuple[str, ...]:
    """Return what a row at a site changes for a training that stops when its validation score no longer rises."""
    batch = WIDE_BATCH if WINDOWS_PX[site] == WIDE_PX else BATCH
    return (*LONG, f"data.windows_per_epoch={LONG_STEPS_PER_EPOCH * batch}")


def site_rows(table: Sequence[NetworkRow], site: SampleSite, *, long: bool = False) -> list[NetworkRow]:
    """Return the rows of one stream if the site has only an image, else SegNet and the two-stream rows; U-Nets after both."""
    wide = WIDE if WINDOWS_PX[site.name] == WIDE_PX else ()
    wide = (*wide, *long_overrides(site.name)) if long else wide
    small_unet = (*SMALL_UNET, *wide, *([f"train.epochs={LONG_EPOCHS}"] if long else []))
    shortened = [replace(one, row=replace(one.row, overrides=(*one.row.overrides, *SHORT, *wide))) for one in table]
    segnet = next(one.row for one in shortened if one.row.name == "SegNet")
    second = [site.heights[0]] if site.heights else []
    both = f"model.layers=[image, {', '.join(second)}]"
    lite0 = f"model.encoder={EncoderName.lite0}"
    distance = "model.options={head: distance, head_options: {clip_px: 16, weight: 1.0}}"
    unets = [
        Row(UNET_RANDOM, "unet-resnet34", (*small_unet, lite0)),
        Row(DISTANCE, "unet-distance", (*small_unet, lite0, distance)),
        Row(UNET_IMAGENET, "unet-resnet34", (*small_unet, lite0, f"model.encoder_weights={EncoderName.lite0}")),
        Row(UNET, "unet-resnet34", small_unet),
    ]
    early = [
        Row(EARLY, "segnet", (*segnet.overrides, both)),
        Row(EARLY_UNET, "unet-resnet34", (*small_unet, lite0, both)),
    ]
    if not second:
        one_stream = [one for one in shortened if one.row.name in ONE_STREAM]
        return [*one_stream, *map(NetworkRow, unets)]
    two = [one for one in shortened if one.row.name not in ONE_STREAM or one.row.name == "SegNet"]
    fusions = [*two, *map(NetworkRow, early)]
    if long:
        return [
            *fusions,
            trained_average(fusions, LONG_EPOCHS // 2, AVERAGE_TRAINED_LONG),
            *map(NetworkRow, unets[-2:-1]),
        ]
    return [*fusions, *map(NetworkRow, unets[-2:-1]), *controls(fusions)]


def trained_average(fusions: Sequence[NetworkRow], epochs: int, name: str) -> NetworkRow:
    """Return the two networks of the average, trained further together: the control of residual correction."""
    average = next(one for one in fusions if one.row.name == AVERAGE)
    overrides = (*average.row.overrides, "model.options.frozen=false", f"train.epochs={epochs}")
    return replace(average, row=replace(average.row, name=name, overrides=overrides))


def controls(fusions: Sequence[NetworkRow]) -> list[NetworkRow]:
    """Return fusions that take as many steps in all as residual correction and the two networks that it starts from."""
    rows = {one.row.name: one for one in fusions}
    return [
        trained_average(fusions, MORE_EPOCHS, AVERAGE_TRAINED),
        *(
            NetworkRow(replace(row, name=longer, overrides=(*row.overrides, f"train.epochs={EPOCHS + MORE_EPOCHS}")))
            for longer, row in zip(LONGER, (rows[VIRTUAL].row, rows[EARLY].row), strict=True)
        ),
    ]


def step_seconds(names: Sequence[str] = ()) -> dict[str, float]:
    """Return the processor seconds of a training step of each network, four windows of `TILE_PX` in float32; all if none is named."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = {}
    try:
        for name in names or TIMED:
            network, options = TIMED[name]
            model = create_model(network, in_channels=3, num_classes=DUBAI.num_classes, **options).train()
            optimizer = torch.optim.AdamW(model.parameters())
            images, truth = (
                torch.zeros(BATCH, 3, TILE_PX, TILE_PX),
                torch.zeros(BATCH, TILE_PX, TILE_PX, dtype=torch.long),
            )
            taken = []
            for _ in range(TIMED_STEPS):
                started = time.process_time()
                loss = torch.nn.functional.cross_entropy(model(images), truth)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                taken.append(time.process_time() - started)
            seconds[name] = round(min(taken), 3)
    finally:
        torch.set_num_threads(threads)
    return seconds


def steps_of(row: Row) -> int:
    """Return the number of training steps of a row."""
    recipe, _ = load_recipe(row.recipe, overrides=row.overrides)
    return recipe.train.epochs * (recipe.data.windows_per_epoch // recipe.train.batch_size)


def steps_taken(outcome: Outcome, folds: int) -> int:
    """Return the mean number of training steps of the folds of a --long row, up to the weights that were kept; 0 if nothing was trained."""
    notes = [read_json(RunFolder(run_folder(outcome, fold, folds)).card)["notes"] for fold in range(folds)]
    return round(LONG_STEPS_PER_EPOCH * float(np.mean([note.get("best_epoch", 0) for note in notes])))


def scores_by_seed(
    outcomes: Sequence[Outcome],
    seeds: Sequence[int],
    folds: Sequence[BenchmarkScenes],
    steps: int = STEPS,
    *,
    long: bool = False,
) -> dict[str, Any]:
    """Return the seeds and the scores in percent, one per seed: overall, by class, of borders; and seconds per step of training.

    long : state the steps up to the kept weights, since each training stops by itself, in place of the seconds.
    """

    def percent(*keys: str) -> list[float | None]:
        values = []
        for one in outcomes:
            value: Any = one.scores
            for key in keys:
                value = value[key]
            values.append(None if value is None else round(100 * float(value), 2))
        return values

    classes = outcomes[0].scores["f1"]
    seconds = [round(one.train_seconds / (steps * len(folds)), 3) for one in outcomes]
    of_time = (
        {"steps": [steps_taken(one, len(folds)) for one in outcomes]} if long else {"wall_seconds_per_step": seconds}
    )
    return {
        SEEDS: list(seeds),
        "overall_accuracy": percent("overall_accuracy"),
        "mean_f1": percent("mean_f1"),
        "mean_iou": percent("mean_iou"),
        "boundary_f1": percent("boundaries", "mean_f1"),
        "f1": {name: percent("f1", name) for name in classes},
        "iou": {name: percent("iou", name) for name in classes},
        **of_time,
    }


def merge_seeds(before: dict[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    """Return the scores of a row with those of further seeds, in the order of the seeds; seeds that are in both are those of `after`."""
    if before is None:
        return after
    kept = [number for number, seed in enumerate(before[SEEDS]) if seed not in after[SEEDS]]
    seeds = [before[SEEDS][number] for number in kept] + after[SEEDS]
    order = np.argsort(seeds)

    def merged(old: Any, new: Any) -> Any:
        if isinstance(new, dict):
            return {name: merged(old[name], new[name]) for name in new}
        values = [old[number] for number in kept] + new
        return [values[number] for number in order]

    return {name: merged(before[name], after[name]) for name in after}
