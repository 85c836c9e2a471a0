"""The gap between the embeddings of two sensors, before and after a student follows a teacher; and weights between two trainings.

Usage: python experiments/sensor_gap.py --out FOLDER [--data ROOT] [--clip FOLDER]

SYNTHETIC: patches of made-up cities, 32 px of 0.5 m; the teacher sees the three bands of the image and learns whether buildings, trees
and paved ground take at least a tenth of a patch; students see heights, or a radar look (VV and VH, speckle of 4.4 looks). They follow the teacher's embeddings of the
same places (squared distance, and 0.05 times the cross-entropy through the teacher's frozen last layer). Tested on other cities; five trainings as published, 25 epochs.
Beside the gap: how often a student's embedding finds its own place among the teacher's, as it is, without the mean of each sensor, and moved along the gap;
and the AUC of the labels by the similarity to the teacher's classes, which the student learnt no head for.
Patching: the teacher goes on with near infrared, red and green, blurred, of the same cities, as of another sensor; of the weights between before and after,
those are chosen that are best on both sensors at validation cities, and all are tested on both.
--clip: a CLIP as open_clip publishes it (extra `clip`). Its text tower says the classes ("{} seen from above" against its absence), its image tower
is tuned for the other sensor while the texts stay, and weights between are tried likewise; α 0 is its zero-shot labelling, of both sensors.
--data: real chips. sen1floods11: one chip with both sensors and its water; a radar student follows a teacher of Sentinel-2's colours, halves swapped. bigearthnet: six places
with both sensors, the figures of random encoders, which say how the measures work, not how good an encoder is. --parts real leaves out the cities.
Writes table.md and results.json: mean ± sd over three seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from script import add_smoke, plain_errors, require_files, store_results, title_of
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from world import RadarLook, WorldSurface, see_by_radar

from deepnets4eo.cards import Legend
from deepnets4eo.classification import (
    ImageTextModel,
    interpolate_weights,
    measure_gap,
    open_image_text_model,
    recall_at,
)
from deepnets4eo.classification.networks import ImageClassifier
from deepnets4eo.evaluation import spread
from deepnets4eo.files import write_text
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City

PATCH_PX, CITY_PX, GSD_M = 32, 384, 0.5
TRAIN, VAL, TEST = (1, 2, 3, 4, 5, 6), (11, 12), (21, 22)
CLASSES = ("building", "tree", "impervious")
MIN_SHARE = 0.1
SEEDS = (0, 1, 2)
EPOCHS, ALIGN_EPOCHS, BATCH = 20, 25, 48
WORDS = {"building": "buildings", "tree": "trees", "impervious": "roads and paved ground"}
WITH, WITHOUT = "a satellite image with {}.", "a satellite image without {}."
TUNING_EPOCHS, TUNING_LR = 4, 1e-5
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
SHIFTS = (-0.5, 0.5, 1.0)  # of the gap that is closed
HEIGHT_M = 10.0
LABEL_WEIGHT = 0.05
COLOURS_OF_S2 = [3, 2, 1]  # red, green and blue among its thirteen bands
CHIP_EPOCHS = 40  # two batches each
OTHER_BANDS = [3, 0, 1]  # near infrared, red, green
RADAR_DB = (-12.0, 6.0)  # mean and spread
IMAGE, OTHER = "red, green, blue", "another sensor"
CHIP = "One real chip, Sentinel-2 and Sentinel-1"
STUDENTS = {"heights": 1, "radar": 2}  # bands


def patches(array: NDArray[Any]) -> NDArray[Any]:
    """(C, H, W) → (N, C, P, P), side by side."""
    count = array.shape[-1] // PATCH_PX
    cut = array[:, : count * PATCH_PX, : count * PATCH_PX].reshape(len(array), count, PATCH_PX, count, PATCH_PX)
    return cut.transpose(1, 3, 0, 2, 4).reshape(-1, len(array), PATCH_PX, PATCH_PX)


def radar_of(city: City) -> NDArray[np.float32]:
    """VV and VH (2, H, W) of a city, about 0 ± 1."""
    surface = WorldSurface.bare(city.gsd_m, city.seed, city.pre.surface.shape)
    for name in ("height", "canopy", "material", "building"):
        setattr(surface, name, getattr(city.pre.surface, name))
    surface.cover = np.divide(city.pre.surface.cover, 255, dtype=np.float32)
    bands = see_by_radar(surface, RadarLook(gsd_m=city.gsd_m), seed=city.seed).bands
    margin = (bands.shape[1] - city.shape[0]) // 2
    return (bands[:, margin : margin + city.shape[0], margin : margin + city.shape[1]] - RADAR_DB[0]) / RADAR_DB[1]


def city_patches(seeds: Sequence[int]) -> dict[str, Tensor]:
    """Patches of some cities as each sensor has them (N, C, P, P), and their labels (N, K)."""
    parts: list[dict[str, NDArray[Any]]] = []
    for seed in seeds:
        city, legend = City(seed, CITY_PX, GSD_M), Legend.load("minicity")
        cover = legend.to_index()[city.labels(legend)]
        shares = [patches((cover == legend.index(name))[None]).mean(axis=(1, 2, 3)) >= MIN_SHARE for name in CLASSES]
        other = gaussian_filter(city.image[OTHER_BANDS].astype(np.float32), (0, 1, 1))
        layers = {IMAGE: city.image[:3] / 128.0 - 1, OTHER: other / 128.0 - 1, "radar": radar_of(city)}
        layers["heights"] = (city.dsm - city.dtm)[None] / HEIGHT_M
        parts.append({name: patches(layer) for name, layer in layers.items()} | {"labels": np.stack(shares, axis=1)})
    together = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    raised = np.abs(together["heights"]).max(axis=(1, 2, 3)) > 0  # a network makes nothing of a patch of zeros
    return {name: torch.tensor(values[raised], dtype=torch.float32) for name, values in together.items()}


def chip_patches(samples: Path) -> list[dict[str, Tensor]]:
    """Return the patches of the real chip in its left half, and in its right half without the column next to it.

    Sentinel-2's colours as the image, Sentinel-1 in dB as the radar, both standardised over the chip; labels: a tenth of the patch is water.
    """
    folder = samples / "sen1floods11"
    optical, radar, labels = (
        Layer.open(require_files(folder, f"{name}/*.tif")[0]).read()[0] for name in ("S2", "S1", "Labels")
    )
    layers = {IMAGE: optical[COLOURS_OF_S2].astype(np.float32), "radar": radar.astype(np.float32)}
    cut: dict[str, NDArray[Any]] = {"labels": patches((labels == 1).astype(np.float32)).mean(axis=(2, 3)) >= MIN_SHARE}
    for name, layer in layers.items():
        mean, deviation = (how(layer, axis=(1, 2), keepdims=True) for how in (np.nanmean, np.nanstd))
        cut[name] = patches(np.nan_to_num((layer - mean) / deviation))
    side = labels.shape[-1] // PATCH_PX
    column = np.arange(len(cut["labels"])) % side
    halves = (column < side // 2, column > side // 2)
    return [{name: torch.tensor(values[half], dtype=torch.float32) for name, values in cut.items()} for half in halves]


def encoder(bands: int, seed: int, classes: int = len(CLASSES)) -> ImageClassifier:
    """A small residual network."""
    torch.manual_seed(seed)
    return ImageClassifier(bands, classes, encoder="resnet10t", patch_px=PATCH_PX)


def batches(count: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Rows of each batch of an epoch."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return np.split(order[: count // BATCH * BATCH], count // BATCH)


def fit(network: ImageClassifier | ByWords, images: Tensor, labels: Tensor, seed: int, epochs: int, lr: float) -> None:
    """Learn to label patches."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=0.05)
    network.train()
    for epoch in range(epochs):
        for rows in batches(len(images), seed, epoch):
            loss = F.binary_cross_entropy_with_logits(network.patch_scores(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()


@torch.no_grad()
def embed(network: ImageClassifier, images: Tensor) -> Tensor:
    """(N, D) of length 1."""
    return F.normalize(network.features(images), dim=1)


@torch.no_grad()
def accuracy(network: ImageClassifier | ByWords, images: Tensor, labels: Tensor) -> float:
    """Percent of the labels that are right."""
    return 100 * float(((network.patch_scores(images) > 0) == (labels > 0)).float().mean())


def follow(
    student: ImageClassifier, target: Tensor, images: Tensor, labels: Tensor, classes: Tensor, seed: int, epochs: int
) -> None:
    """Learn to embed another sensor's images of the same places as a teacher does; classes (K, D) of its frozen last layer."""
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)
    student.train()
    for epoch in range(epochs):
        for rows in batches(len(target), seed, epoch):
            embedded = F.normalize(student.features(images[rows]), dim=1)
            of_labels = F.binary_cross_entropy_with_logits(embedded @ classes.T, labels[rows])
            loss = F.mse_loss(embedded, target[rows]) + LABEL_WEIGHT * of_labels
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    student.eval()


def along_gap(first: NDArray[Any], second: NDArray[Any], share: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both embeddings (N, D) moved towards each other by a share of the gap's vector; a negative one moves them apart."""
    step = share / 2 * (first.mean(axis=0) - second.mean(axis=0))
    return first - step, second + step


def compare(first: Tensor, second: Tensor) -> dict[str, float]:
    """Gap and retrieval of the second sensor's embeddings among the first one's, and without their means."""
    x, y = first.numpy(), second.numpy()
    gap = measure_gap(x, y)
    centred = y - y.mean(axis=0), x - x.mean(axis=0)
    moved = {f"moved {share:g}": 100 * recall_at(*along_gap(y, x, share), 5) for share in SHIFTS}
    return {
        "gap": gap.size, "cosine of a place": gap.matched, "separability": gap.separability, "recall@1": 100 * recall_at(y, x),
        "recall@5": 100 * recall_at(y, x, 5), "recall@5 centred": 100 * recall_at(*centred, 5), **moved,
    }  # fmt: skip


class ByWords(nn.Module):
    """An image tower whose labels are how much more alike an image is to a sentence with a class than to one without it."""

    texts: Tensor

    def __init__(self, model: ImageTextModel) -> None:
        super().__init__()
        self.tower, self.model = model.network.visual, model
        described = [WORDS[name] for name in CLASSES]
        with_class, without = (model.text_features(described, [one]) for one in (WITH, WITHOUT))
        self.register_buffer("texts", model.scale * (with_class - without).T)

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Log-odds of the labels (N, K); patches : (N, 3, P, P) from −1 to 1."""
        return self.model.image_features((patches + 1) / 2) @ self.texts


def by_words(folder: Path, seed: int, *, smoke: bool) -> dict[str, dict[str, float]]:
    """Accuracy of labels by words on both sensors, with weights before and after tuning for the other one, and between."""
    train, val, test = (city_patches(one) for one in (TRAIN[:1] if smoke else TRAIN, VAL, TEST))
    network = ByWords(open_image_text_model(folder))
    return patch(network, train, val, test, seed, 1 if smoke else TUNING_EPOCHS, TUNING_LR)


def measure(seed: int, *, smoke: bool) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Figures of one seed: of the gap before and after alignment, and of weights between two trainings."""
    cities, epochs, align_epochs = (TRAIN[:1], 1, 1) if smoke else (TRAIN, EPOCHS, ALIGN_EPOCHS)
    train, val, test = (city_patches(one) for one in (cities, VAL, TEST))
    rows, teacher = align(train, test, STUDENTS, seed, epochs, align_epochs)
    return rows, patch(teacher, train, val, test, seed, max(epochs // 2, 1))


def measure_chip(samples: Path, seed: int, *, smoke: bool) -> dict[str, dict[str, float]]:
    """Return the figures of one seed on the real chip: each half is tested on after training on the other, mean of both."""
    epochs = (1, 1) if smoke else (CHIP_EPOCHS, CHIP_EPOCHS)
    first, second = chip_patches(samples)
    of_halves = [
        align(train, test, {"radar": 2}, seed, *epochs)[0] for train, test in ((first, second), (second, first))
    ]
    return {
        name: {score: float(np.mean([half[name][score] for half in of_halves])) for score in of_halves[0][name]}
        for name in of_halves[0]
    }


def align(
    train: Mapping[str, Tensor],
    test: Mapping[str, Tensor],
    students: Mapping[str, int],
    seed: int,
    epochs: int,
    align_epochs: int,
) -> tuple[dict[str, dict[str, float]], ImageClassifier]:
    """Train a teacher on the image and students (sensor → bands) that follow it; figures before and after, and the teacher."""
    count = train["labels"].shape[1]
    teacher = encoder(3, seed, count)
    fit(teacher, train[IMAGE], train["labels"], seed, epochs, 2e-3)
    target, classes = embed(teacher, train[IMAGE]), F.normalize(teacher.head.weight.detach(), dim=1)

    def figures(network: ImageClassifier, sensor: str) -> dict[str, float]:
        embedded = embed(network, test[sensor])
        auc = roc_auc_score(test["labels"].numpy(), (embedded @ classes.T).numpy())
        return compare(embed(teacher, test[IMAGE]), embedded) | {"AUC": 100 * float(auc)}

    rows = {}
    for sensor, bands in students.items():
        student = encoder(bands, seed + 10, count)
        rows[f"{sensor}, before"] = figures(student.eval(), sensor)
        follow(student, target, train[sensor], train["labels"], classes, seed, align_epochs)
        rows[f"{sensor}, after"] = figures(student, sensor)
    return rows, teacher


def patch(
    teacher: ImageClassifier | ByWords, train: Mapping[str, Tensor], val: Mapping[str, Tensor], test: Mapping[str, Tensor],
    seed: int, epochs: int, lr: float = 1e-3,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Accuracy on both sensors at test cities of weights between those before and after training for the other sensor, and of those
    that are best at validation cities."""
    first = {name: value.clone() for name, value in teacher.state_dict().items()}
    fit(teacher, train[OTHER], train["labels"], seed, epochs, lr)
    tuned = {name: value.clone() for name, value in teacher.state_dict().items()}
    rows, validated = {}, {}
    for alpha in ALPHAS:
        teacher.load_state_dict(interpolate_weights(first, tuned, alpha))
        of_part = [
            {one: accuracy(teacher, part[one], part["labels"]) for one in (IMAGE, OTHER)} for part in (val, test)
        ]
        validated[alpha], rows[f"α {alpha}"] = sum(of_part[0].values()), {**of_part[1], "α": alpha}
    best = max(validated, key=lambda alpha: validated[alpha])
    return {
        name: {**row, "both": (row[IMAGE] + row[OTHER]) / 2}
        for name, row in {**rows, "chosen": rows[f"α {best}"]}.items()
    }


def real_pairs(samples: Path) -> dict[str, dict[str, float]]:
    """Figures of random encoders on the six places of BigEarthNet, both sensors."""
    of_sensor = []
    for pattern, bands in (("S2*", ("B02", "B03", "B04")), ("S1*", ("VH", "VV"))):
        stacks = []
        folders = sorted(require_files(samples / "bigearthnet", pattern), key=lambda path: path.name.rsplit("_", 2)[1:])
        for folder in folders:
            files = [require_files(folder, f"*_{band}.tif")[0] for band in bands]
            stack = np.stack([Layer.open(file).read()[0][0] for file in files]).astype(np.float32)
            stacks.append((stack - stack.mean((1, 2), keepdims=True)) / stack.std((1, 2), keepdims=True))
        of_sensor.append(torch.tensor(np.stack(stacks)))
    embedded = [embed(encoder(one.shape[1], seed).eval(), one) for seed, one in enumerate(of_sensor)]
    return {"six places, random encoders": compare(*embedded)}


def table(rows: Mapping[str, Sequence[Mapping[str, float]]], title: str) -> str:
    """A row each, mean ± sd over the seeds."""
    columns = list(next(iter(rows.values()))[0])
    lines = [["", *columns], ["---", *["---:"] * len(columns)]]
    lines += [
        [name, *(spread([one[column] for one in values], 2) for column in columns)] for name, values in rows.items()
    ]
    return "\n".join([f"## {title}", "", *(f"| {' | '.join(line)} |" for line in lines), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder of real samples, with bigearthnet")
    parser.add_argument("--clip", type=Path, help="folder of a CLIP as open_clip publishes it")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--parts", nargs="+", choices=["cities", "real"], default=["cities", "real"])
    add_smoke(parser)
    arguments = parser.parse_args()
    smoke = arguments.smoke
    seeds = arguments.seeds[: 1 if smoke else None]
    texts, results = [], {}
    if "cities" in arguments.parts:
        of_seed = [measure(seed, smoke=smoke) for seed in seeds]
        for part, title in enumerate(
            ("Image, heights and radar, SYNTHETIC", "Weights between two trainings, accuracy in percent, SYNTHETIC")
        ):
            results[title] = {name: [one[part][name] for one in of_seed] for name in of_seed[0][part]}
            texts.append(table(results[title], title_of(title, smoke=smoke)))
    if arguments.clip:
        rows = [by_words(arguments.clip, seed, smoke=smoke) for seed in seeds]
        title = title_of(
            "Weights of a CLIP before and after tuning, labels by words, accuracy in percent, SYNTHETIC", smoke=smoke
        )
        texts.append(table({name: [one[name] for one in rows] for name in rows[0]}, title))
    if arguments.data and "real" in arguments.parts:
        chips = [measure_chip(arguments.data, seed, smoke=smoke) for seed in seeds]
        results[CHIP] = {name: [one[name] for one in chips] for name in chips[0]}
        texts.append(table(results[CHIP], title_of(CHIP, smoke=smoke)))
        texts.append(
            table({name: [one] for name, one in real_pairs(arguments.data).items()}, "Sentinel-2 and Sentinel-1")
        )
    by_column = {
        title: {
            name: {column: [round(one[column], 3) for one in values] for column in values[0]}
            for name, values in rows.items()
        }
        for title, rows in results.items()
    }
    store_results(arguments.out, smoke=smoke, seeds=list(seeds), zero={"name": "chance", "AUC": 50.0}, tables=by_column)
    write_text(arguments.out / "table.md", "\n".join(texts))
    print("\n".join(texts))


if __name__ == "__main__":
    with plain_errors():
        main()
