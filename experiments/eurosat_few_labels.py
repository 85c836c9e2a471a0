"""EuroSAT with few labels: FixMatch and its kin beside labelled images alone, over seeds, and the challenge's files.

Usage: python experiments/eurosat_few_labels.py --out FOLDER [--data EuroSAT_MS] [--labels 5 50] [--methods …] [--first]
                                                [--plain] [--smoke]
       python experiments/eurosat_few_labels.py --challenge --data FOLDER --out FOLDER [--methods flexmatch] [--set …] [--smoke]

Without --data on made-up patches (SYNTHETIC), whose classes are clouds of spectra; with it on real ones, of 16 px, each the mean of sixteen,
so that a small network learns them in minutes. Every method starts from the same weights and draw of
labels in a seed; the epoch is chosen by validation, and the test part is scored once. --first adds a row for each method that starts from
self-supervised weights, learnt from the training images alone. --plain adds the plain way, a loop of FixMatch in
sixty lines of PyTorch on the same arrays.

--challenge: FOLDER has the challenge's archives eurosat_train (500 labelled), eurosat_valid (1,500), eurosat_unsup (5,000 of EuroSAT),
bigearthnet_rgb (95,000) and test (20,000, images alone), red, green and blue in 64 × 64 px; each is NAME.npz of images and, in the first
two, labels, a folder NAME of images, or a table NAME.csv. bigearthnet_rgb may be left out. Writes submission.csv with the columns
Id,Category: the number of each test image and the name of its class; it is checked for missing, double and unknown ids and classes.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from script import add_smoke, plain_errors, title_of

from deepnets4eo.cards.dataset_card import DatasetCard
from deepnets4eo.cards.legend import Legend
from deepnets4eo.classification import label_images, list_images
from deepnets4eo.classification.images import split_images
from deepnets4eo.classification.readers import ImageData
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import spread
from deepnets4eo.files import read_json, write_text
from deepnets4eo.outputs.safe_text import csv_text
from deepnets4eo.segmenters.run import load_run
from deepnets4eo.training import TrainOptions, load_recipe, train
from deepnets4eo.training.segmentation import load_legend

RECIPE = "images/eurosat-few-labels"
METHODS = ("none", "pseudo-label", "fixmatch", "flexmatch", "softmatch")
SIDE_PX, CLASSES, BANDS = 8, 8, 10
REAL_PX = 16
TRAINED, TESTED, VALIDATED = 200, 100, 10  # made-up patches a class: learnt from, tested on, validated on
SMALL = (
    "model.network=wide-resnet-eca", "model.encoder=null", "model.options={phi: -1, stride_px: 4}", "train.batch_size=10",
    "train.optimizer=adamw", "train.lr=0.003", "train.weight_decay=0.01", "train.epochs=6", "train.average=0.95",
    "data.windows_per_epoch=400", "data.num_workers=0", "unlabelled.momentum=0.97",
)  # fmt: skip
AGAIN = TrainOptions(overwrite=True)  # what an interrupted training left begins anew
FIRST = (
    "train.epochs=10",
    "train.batch_size=32",
    "data.windows_per_epoch=1600",
    "data.num_workers=0",
    "data.val_share=0",
)
RGB = ("B04", "B03", "B02")
SMOKE = (*SMALL, "train.epochs=1", "data.windows_per_epoch=20", "model.options={phi: -1, stride_px: 8}")
LINE = "| {} | {} | {} | {} |\n"
HEAD = LINE.format("data", "method", "overall accuracy, %", "error of calibration, %") + "|---|---|---:|---:|\n"


def make_patches(each: int, seed: int) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Made-up patches (N, 10, 8, 8), SYNTHETIC: a class is a cloud of spectra under different light; a linear classifier that knows all
    labels is right for 97 %, one that knows five a class for 88 %."""
    rng, fixed = np.random.default_rng([seed, 7]), np.random.default_rng(42)
    middles, labels = fixed.uniform(600, 2400, (CLASSES, BANDS)), np.repeat(np.arange(CLASSES), each)
    spectra = (middles[labels] + 350 * rng.normal(size=(len(labels), BANDS))) * rng.lognormal(0, 0.2, (len(labels), 1))
    images = spectra[:, :, None, None] + rng.normal(0, 100, (len(labels), BANDS, SIDE_PX, SIDE_PX))
    return images.clip(1, 10_000).astype(np.uint16), labels


def made_up_data(out: Path) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Archives of made-up patches, and the legend of their classes; overrides that name them."""
    for number, (name, each) in enumerate((("train", TRAINED), ("val", VALIDATED), ("test", TESTED))):
        images, labels = make_patches(each, number)
        out.mkdir(parents=True, exist_ok=True)
        np.savez(out / f"{name}.npz", images=images, labels=labels)
    classes = [{"value": n, "name": f"class {n}", "color": [30 * n, 99, 99]} for n in range(CLASSES)]
    named = (f"data.folders=[{out / 'train.npz'}]", f"data.val=[{out / 'val.npz'}]", f"data.test=[{out / 'test.npz'}]")
    bands = "data.file_bands=[B02, B03, B04, B05, B06, B07, B08, B8A, B11, B12]"
    return (*named, bands, "data.dataset=null"), {"name": "made-up", "classes": classes}


def real_data(folder: Path, out: Path) -> tuple[tuple[str, ...], str]:
    """An archive of real patches, each pixel the mean of a square; overrides that name it, and its legend. A sixth of each class is
    validated on and a quarter tested on, drawn by the seed."""
    legend = Legend.load("eurosat")
    images, _ = list_images(ImageData(folders=(str(folder),), dataset="eurosat"), legend)
    pixels = np.stack([images.read(row) for row in range(len(images))])
    step = pixels.shape[2] // REAL_PX
    means = pixels.reshape(*pixels.shape[:2], REAL_PX, step, REAL_PX, step).mean((3, 5)).astype(np.uint16)
    out.mkdir(parents=True, exist_ok=True)
    np.savez(out / "eurosat.npz", images=means, labels=images.targets.argmax(1))
    return (f"data.folders=[{out / 'eurosat.npz'}]", "data.val_share=0.17", "data.test_share=0.25"), "eurosat"


def run_method(
    method: str, labels: int, seed: int, named: Sequence[str], legend: Any, out: Path, *, first: str = "", smoke: bool
) -> dict[str, Any]:
    """The scores of the test part, read where the run is finished; `first` is the method that its first weights are learnt by."""
    if not (out / "card.json").exists():
        short = ("train.epochs=1", "data.windows_per_epoch=20") if smoke else ()
        overrides = [
            *SMALL, *named, f"unlabelled.method={method}", f"data.labels_per_class={labels}", f"train.seed={seed}",
            f"data.split_seed={seed}", *short,
        ]  # fmt: skip
        recipe, _ = load_recipe(RECIPE, overrides=overrides)
        recipe = recipe.model_copy(update={"legend": legend})
        if first:
            run = first_weights(recipe, out.parent / f"{labels}-first-{first}-{seed}", smoke=smoke)
            recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"encoder_weights": str(run)})})
        train(recipe, out, options=AGAIN)
    scores: dict[str, Any] = read_json(out / "metrics.json")
    return scores


def first_weights(recipe: Any, out: Path, *, smoke: bool) -> Path:
    """A run of self-supervised weights from the images that the recipe learns from, with and without labels, and no others."""
    if (out / "card.json").exists():
        return out
    data = recipe.data
    images, _ = list_images(data, load_legend(recipe))
    split = split_images(
        images, val_share=data.val_share, test_share=data.test_share, labels_per_class=data.labels_per_class, seed=data.split_seed
    )  # fmt: skip
    rows = np.union1d(split.labelled, split.unlabelled)
    archive = out.with_suffix(".npz")
    np.savez(archive, images=np.stack([images.read(int(row)) for row in rows]))
    overrides = [
        *(key for key in SMALL if key.startswith(("model.", "train.optimizer", "train.lr"))), *FIRST,
        f"data.folders=[{archive}]", f"data.file_bands=[{','.join(images.bands)}]", f"train.seed={recipe.train.seed}",
        *(("train.epochs=1", "data.windows_per_epoch=32") if smoke else ()),
    ]  # fmt: skip
    return train("images/first-weights", out, overrides=overrides, options=AGAIN)


def plain_fixmatch(run: Path, recipe: Mapping[str, Any]) -> float:
    """Overall accuracy of a plain loop of FixMatch on the images of a finished run, with its network, draw and number of steps."""
    import torch
    import torch.nn.functional as F

    from deepnets4eo.classification.networks import WideResNet

    split, data = read_json(run / "split.geojson")["images"], recipe["data"]
    arrays = {Path(path).name: np.load(path) for path in (*data["folders"], *data["val"], *data["test"])}

    def load(names: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [(name.partition("#")[0], int(name.partition("#")[2])) for name in names]
        images = np.stack([arrays[file]["images"][row] for file, row in rows]).astype(np.float32)
        return torch.from_numpy(images), torch.tensor([int(arrays[file]["labels"][row]) for file, row in rows])

    (images, labels), (val, val_labels), (test, test_labels) = (load(split[part]) for part in ("train", "val", "test"))
    left = sorted(set(split["unlabelled"]) | set(split["train"]))
    unlabelled, _ = load(left)
    mean, std = unlabelled.mean((0, 2, 3), keepdim=True), unlabelled.std((0, 2, 3), keepdim=True)
    images, val, test, unlabelled = ((one - mean) / std for one in (images, val, test, unlabelled))

    def weak(batch: torch.Tensor) -> torch.Tensor:
        return torch.rot90(batch.flip(3) if torch.rand(()) < 0.5 else batch, int(torch.randint(4, ())), (2, 3))

    def strong(batch: torch.Tensor) -> torch.Tensor:
        angle = (torch.rand(len(batch)) - 0.5) * np.pi / 3
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).reshape(-1, 2, 2)
        move = (torch.rand(len(batch), 2, 1) - 0.5) * 0.6
        grid = F.affine_grid(torch.cat([turn, move], 2), list(batch.shape), align_corners=False)
        batch = F.grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
        side = batch.shape[-1] // 4
        row, col = (int(torch.randint(batch.shape[-1] - side, ())) for _ in range(2))
        batch[:, :, row : row + side, col : col + side] = 0
        return batch

    def accuracy(inputs: torch.Tensor, truth: torch.Tensor) -> float:
        network.eval()
        with torch.no_grad():
            right = (network.patch_scores(inputs).argmax(1) == truth).float().mean()
        network.train()
        return float(right)

    section = recipe["train"]
    torch.manual_seed(section["seed"])
    network = WideResNet(images.shape[1], int(labels.max()) + 1, phi=-1, patch_px=images.shape[-1]).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=section["lr"], weight_decay=section["weight_decay"])
    steps, size = section["epochs"] * (data["windows_per_epoch"] // section["batch_size"]), section["batch_size"]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best = (-1.0, 0.0)
    for step in range(steps):
        at, u = torch.randint(len(images), (size,)), torch.randint(len(unlabelled), (4 * size,))
        batch = torch.cat([weak(images[at]), weak(unlabelled[u]), strong(weak(unlabelled[u]))])
        logits = network.patch_scores(batch)
        probability, guess = logits[size : 5 * size].detach().softmax(1).max(1)
        unsure = F.cross_entropy(logits[5 * size :], guess, reduction="none") * (probability >= 0.95)
        loss = F.cross_entropy(logits[:size], labels[at]) + unsure.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % (steps // section["epochs"]) == 0:
            best = max(best, (accuracy(val, val_labels), accuracy(test, test_labels)))
    return best[1]


def published_rows() -> str:
    """The published figures of the card, as rows of the table."""
    card = DatasetCard.load("eurosat")
    return "".join(
        LINE.format("EuroSAT, published", f"{name} ({scores.source})", f"{scores.overall_accuracy:.2f}", "")
        for name, scores in card.published.items()
    )


def compare(options: argparse.Namespace, out: Path) -> str:
    """The table of all methods, numbers of labels and seeds."""
    named: tuple[str, ...]
    legend: Any
    if options.data:
        (named, legend), title = real_data(options.data, out / "data"), "EuroSAT, 120 patches"
    else:
        (named, legend), title = made_up_data(out / "data"), "SYNTHETIC"
    text = title_of("# Few labels", smoke=options.smoke) + "\n\n" + HEAD
    for labels in options.labels:
        data = f"{title}, {labels} a class"
        for first, method in product(("", *options.first), options.methods):
            runs = [out / f"{labels}-{'-'.join(filter(None, (first, method)))}-{seed}" for seed in options.seeds]
            scores = [
                run_method(method, labels, seed, (*named, *options.set), legend, run, first=first, smoke=options.smoke)
                for seed, run in zip(options.seeds, runs, strict=True)
            ]
            words = "labelled images alone" if method == "none" else method
            words += f", first weights by {first}" if first else ""
            means = [spread([100 * one[key] for one in scores]) for key in ("overall_accuracy", "ece")]
            text += LINE.format(data, words, *means)
            write_text(out / "table.md", text)
            if options.plain and method == "fixmatch" and not first:
                plain = [100 * plain_fixmatch(run, load_run(run).recipe) for run in runs]
                text += LINE.format(data, "fixmatch, the plain loop", spread(plain), "")
    return text + published_rows()


def challenge_file(folder: Path, name: str, *, needed: bool = True) -> Path | None:
    """One of the challenge's archives, or the folder or table of its images. Errors: InputError where one that is needed is missing."""
    path = next((path for suffix in (".npz", ".csv", "") if (path := folder / f"{name}{suffix}").exists()), None)
    if path is None and needed:
        raise InputError(
            f"{folder} has no {name}.npz, folder {name} or table {name}.csv. Unpack the challenge's archives there."
        )
    return path


def enter_challenge(folder: Path, out: Path, method: str, further: Sequence[str] = ()) -> Path:
    """Train on the challenge's files and write its submission; a training that was interrupted goes on."""
    learnt, val, unsup, test = (
        challenge_file(folder, name) for name in ("eurosat_train", "eurosat_valid", "eurosat_unsup", "test")
    )
    unlabelled = [
        str(path) for path in (unsup, challenge_file(folder, "bigearthnet_rgb", needed=False)) if path is not None
    ]
    overrides = [
        f"data.folders=[{learnt}]", f"data.val=[{val}]", f"data.unlabelled=[{', '.join(unlabelled)}]", "data.labels_per_class=0",
        "data.test_share=0", f"data.file_bands=[{', '.join(RGB)}]", f"unlabelled.method={method}", *further,
    ]  # fmt: skip
    run = out / method
    if not (run / "card.json").exists():
        train(RECIPE, run, overrides=overrides, options=TrainOptions(resume=run.exists()))
    table = out / "test.csv"
    label_images(load_run(run), [str(test)], table, overwrite=True)
    with table.open(newline="", encoding="utf-8") as file:
        classes = [row["label"] for row in csv.DictReader(file)]
    return write_submission(out / "submission.csv", classes, load_run(run).legend)


def write_submission(path: Path, classes: Sequence[str], legend: Legend) -> Path:
    """Write `Id,Category`, one row an image in its order, and check the file. Returns the file."""
    write_text(path, csv_text([("Id", "Category"), *enumerate(classes)]))
    check_submission(path, len(classes), legend)
    return path


def check_submission(path: Path, images: int, legend: Legend) -> None:
    """Refuse a submission with missing, double or unknown ids, or classes that the legend lacks. Errors: InputError."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if not rows or rows[0] != ["Id", "Category"]:
        raise InputError(f"{path} begins with {rows[:1]}; expected the columns Id,Category.")
    if short := next((number for number, row in enumerate(rows, 1) if len(row) != 2), None):
        raise InputError(f"{path}, line {short} has {len(rows[short - 1])} cells; expected an id and a class.")
    ids = [row[0] for row in rows[1:]]
    expected = {str(number) for number in range(images)}
    faults = {
        "missing": sorted(expected - set(ids), key=int),
        "double": sorted(one for one, count in Counter(ids).items() if count > 1),
        "unknown": sorted(set(ids) - expected),
    }
    for kind, faulty in faults.items():
        if faulty:
            raise InputError(
                f"{path} has {len(faulty)} {kind} ids, e.g. {faulty[0]}; expected 0 to {images - 1}, each once."
            )
    if wrong := sorted({row[1] for row in rows[1:]} - set(legend.names)):
        raise InputError(f"{path} has the class {wrong[0]!r}; expected {', '.join(legend.names)}.")


def main() -> None:
    """Compare the methods, or enter the challenge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help="folder of EuroSAT_MS, a folder for each class; none: made-up patches"
    )
    parser.add_argument("--challenge", action="store_true", help="--data is the folder of the challenge's archives")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--labels", type=int, nargs="+", default=[5], help="labelled images a class")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument(
        "--first",
        action="store_const",
        const=("simclr",),
        default=(),
        help="first weights without labels, too",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="values of the recipe, e.g. unlabelled.threshold=0.8"
    )
    parser.add_argument("--plain", action="store_true", help="the plain loop of FixMatch beside ours")
    add_smoke(parser)
    options = parser.parse_args()
    if options.challenge:
        if options.data is None:
            parser.error("--challenge needs --data, the folder of the challenge's archives")
        method = options.methods[0] if len(options.methods) == 1 else "flexmatch"
        print(enter_challenge(options.data, options.out, method, (*(SMOKE if options.smoke else ()), *options.set)))
        return
    if options.smoke:
        options.seeds, options.methods = options.seeds[:2], options.methods[:2]
    out = options.out / "smoke" if options.smoke else options.out
    print(write_text(out / "table.md", compare(options, out)).read_text(encoding="utf-8"))


if __name__ == "__main__":
    with plain_errors():
        main()
