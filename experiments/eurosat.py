"""EuroSAT in red, green and blue: all labels, 80/20 by the seed, and 500 labels beside 5,000 patches without.

Usage: python experiments/eurosat.py --data FOLDER --out FOLDER [--ways all plain none fixmatch …] [--seeds 0 1 2] [--smoke]

FOLDER has a zip or a folder of JPEG a class. ResNet-18 from random weights in all ways. all: images/eurosat, 15 epochs, a tenth of what is learnt
from validated on; plain: a loop of as many steps on all of it. The others learn by images/eurosat-few-labels from 500 patches, are validated on
1,500 and tested on 8,000: none (labels alone), a method of unlabelled.method, or simclr (labels alone after first weights without labels).
A GPU takes minutes a way; two cores an hour and more. Writes table.md; what is finished is not run again.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from script import add_smoke, plain_errors, require_files, title_of

from deepnets4eo.cards.legend import Legend
from deepnets4eo.evaluation import spread
from deepnets4eo.files import read_json, write_json, write_text
from deepnets4eo.training import TrainOptions, train

FEW = ("none", "pseudo-label", "fixmatch", "flexmatch", "softmatch", "simclr")
PARTS = {"train": 500, "val": 1500, "unlabelled": 5000, "test": 8000}
BANDS = ("data.file_bands=[B04, B03, B02]", "data.dataset=null", "data.num_workers=0")
STEPS, EPOCHS, BATCH = 2000, 15, 64
FEW_KEYS = (
    "data.labels_per_class=0", "model.encoder=resnet18", "train.batch_size=16", "train.epochs=10", "unlabelled.ratio=7",
    "train.average=0.99", "unlabelled.momentum=0.99", f"data.windows_per_epoch={16 * STEPS // 10}",
)  # fmt: skip
SHORT = ("train.epochs=1", "data.windows_per_epoch=128")
Patches = tuple[NDArray[np.uint8], NDArray[np.int64]]


def files_of(folder: Path, name: str) -> Iterator[bytes]:
    """The JPEG files of a class."""
    if (archive := folder / f"{name}.zip").exists():
        with zipfile.ZipFile(archive) as opened:
            yield from (
                opened.read(one) for one in sorted(opened.namelist()) if one.lower().endswith((".jpg", ".jpeg"))
            )
    else:
        yield from (path.read_bytes() for path in require_files(folder / name, "*.jpg", "*.jpeg"))


def read_patches(folder: Path, most: int | None) -> Patches:
    """(N, 3, 64, 64), and the class indices of the legend; of each class `most` at most."""
    images, labels = [], []
    for number, name in enumerate(Legend.load("eurosat").names):
        for content in list(files_of(folder, name))[:most]:
            images.append(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1))
            labels.append(number)
    return np.stack(images), np.array(labels)


def write_parts(patches: Patches, out: Path, seed: int) -> None:
    """Archives all-train and all-test, 80/20 of each class, and those of `PARTS`, in the same shares."""
    images, labels = patches
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(np.flatnonzero(labels == number)) for number in np.unique(labels)]
    out.mkdir(parents=True, exist_ok=True)
    ends = np.cumsum([0, *PARTS.values()]) / sum(PARTS.values())
    shares = {
        "all-test": (0.0, 0.2),
        "all-train": (0.2, 1.0),
        **dict(zip(PARTS, zip(ends, ends[1:], strict=False), strict=True)),
    }
    for name, (start, end) in shares.items():
        rows = np.concatenate([order[round(len(order) * start) : round(len(order) * end)] for order in orders])
        np.savez(out / f"{name}.npz", images=images[rows], labels=labels[rows])
        if name == "train":
            np.savez(out / "pixels.npz", images=images[rows])


def by_recipe(way: str, parts: Path, seed: int, out: Path, *, smoke: bool) -> float:
    """Overall accuracy of the test part, in percent."""
    short, options = SHORT if smoke else (), TrainOptions(overwrite=True)
    keys: tuple[str, ...]
    first: tuple[str, ...] = ()
    if way == "all":
        size = len(np.load(parts / "all-train.npz")["labels"])
        keys = (f"data.folders=[{parts / 'all-train.npz'}]", f"data.test=[{parts / 'all-test.npz'}]", f"train.epochs={EPOCHS}",
                "data.test_share=0", f"data.windows_per_epoch={max(round(0.9 * size), BATCH)}")  # fmt: skip
    else:
        if way == "simclr":
            seen = f"data.folders=[{parts / 'unlabelled.npz'}, {parts / 'pixels.npz'}]"
            keys = (
                seen,
                "model.encoder=resnet18",
                "train.epochs=40",
                "train.batch_size=128",
                "data.windows_per_epoch=5500",
                "data.val_share=0",
            )
            run = train(
                "images/first-weights",
                out / "first",
                overrides=[*BANDS, *keys, f"train.seed={seed}", *short],
                options=options,
            )
            first = (f"model.encoder_weights={run}",)
        named = (f"data.{key}=[{parts / name}.npz]" for key, name in
                 (("folders", "train"), ("val", "val"), ("test", "test"), ("unlabelled", "unlabelled")))  # fmt: skip
        method = "none" if way == "simclr" else way
        keys = (*named, *FEW_KEYS, "data.test_share=0", f"unlabelled.method={method}")
    recipe = "images/eurosat" if way == "all" else "images/eurosat-few-labels"
    run = train(recipe, out / "run", overrides=[*BANDS, *keys, *first, f"train.seed={seed}", *short], options=options)
    return 100 * float(read_json(run / "metrics.json")["overall_accuracy"])


def by_plain_loop(parts: Path, seed: int, *, smoke: bool) -> float:
    """The same of a loop of ResNet-18: quarter turns and mirror images, AdamW, one cycle."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    archives = [np.load(parts / f"all-{part}.npz") for part in ("train", "test")]
    (images, labels), (tested, truth) = (
        [torch.from_numpy(one[key]) for key in ("images", "labels")] for one in archives
    )
    seen = images.float()
    mean, std = seen.mean((0, 2, 3), keepdim=True), seen.std((0, 2, 3), keepdim=True)
    torch.manual_seed(seed)
    network = timm.create_model("resnet18", num_classes=10).to(device).train()
    steps = 2 if smoke else EPOCHS * (round(0.9 * len(labels)) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, steps)
    for _ in range(steps):
        rows = torch.randint(len(images), (BATCH,))
        batch = torch.rot90((images[rows].float() - mean) / std, int(torch.randint(4, ())), (2, 3))
        batch = torch.where(torch.rand(BATCH, 1, 1, 1) < 0.5, batch.flip(3), batch)
        optimizer.zero_grad()
        F.cross_entropy(network(batch.to(device)), labels[rows].to(device)).backward()
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        guesses = torch.cat(
            [network(((part.float() - mean) / std).to(device)).argmax(1).cpu() for part in tested.split(500)]
        )
    return 100 * float((guesses == truth).float().mean())


def main() -> None:
    """Run what is chosen, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with a zip or a folder of JPEG a class")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--ways", nargs="+", choices=("all", "plain", *FEW), default=["all", "plain", *FEW])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add_smoke(parser)
    options = parser.parse_args()
    smoke, out = options.smoke, options.out / "smoke" if options.smoke else options.out
    patches = read_patches(options.data, 60 if smoke else None)
    text = title_of("# EuroSAT", smoke=smoke) + "\n\n| way | overall accuracy, % |\n|---|---:|\n"
    for way in options.ways:
        scores = []
        for seed in options.seeds[: 1 if smoke else None]:
            parts, done = out / f"parts-{seed}", out / way / f"{seed}.json"
            if not (parts / "test.npz").exists():
                write_parts(patches, parts, seed)
            if not done.exists():
                plain = way == "plain"
                run = out / way / str(seed)
                write_json(
                    done,
                    by_plain_loop(parts, seed, smoke=smoke) if plain else by_recipe(way, parts, seed, run, smoke=smoke),
                )
            scores.append(read_json(done))
        text += f"| {way} | {spread(scores)} |\n"
        write_text(out / "table.md", text)
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
