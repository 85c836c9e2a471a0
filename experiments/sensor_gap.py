"""The gap between the embeddings of two sensors, before and after a student follows a teacher; and weights between two trainings.

Usage: python experiments/sensor_gap.py --out FOLDER [--samples ROOT]

SYNTHETIC: patches of made-up cities, 32 px of 0.5 m; the teacher sees the three bands of the image and learns whether buildings, trees
and paved ground take at least a tenth of a patch; the student sees heights. It follows the teacher's embeddings of the same places (squared distance,
and 0.05 times the cross-entropy through the teacher's frozen last layer). Tested on other cities; five trainings as published, 25 epochs.
Patching: the teacher goes on with near infrared, red and green, blurred, of the same cities, as of another sensor; weights between before and after are tested on both kinds of cities.
--samples: bigearthnet, six places with Sentinel-1 and Sentinel-2: the figures of random encoders, which say how the measures work, not how good
an encoder is. Writes table.md: mean ± sd over three seeds.
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
from script import add_smoke, plain_errors, require_files, title_of
from torch import Tensor, nn

from deepnets4eo.cards.legend import Legend
from deepnets4eo.classification import align, interpolate_weights, measure_gap, recall_at
from deepnets4eo.classification.embeddings import centre
from deepnets4eo.classification.networks import ImageClassifier
from deepnets4eo.evaluation import spread
from deepnets4eo.files import write_text
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.synthetic import City

PATCH_PX, CITY_PX, GSD_M = 32, 384, 0.5
TRAIN, TEST = (1, 2, 3, 4, 5, 6), (21, 22)
CLASSES = ("building", "tree", "impervious")
LEAST = 0.1
SEEDS = (0, 1, 2)
EPOCHS, ALIGN_EPOCHS, BATCH = 20, 25, 48
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
HEIGHT_M = 10.0
OTHER_BANDS = [3, 0, 1]  # near infrared, red, green


def patches(array: NDArray[Any]) -> NDArray[Any]:
    """(C, H, W) → (N, C, P, P), side by side."""
    count = array.shape[-1] // PATCH_PX
    cut = array[:, : count * PATCH_PX, : count * PATCH_PX].reshape(len(array), count, PATCH_PX, count, PATCH_PX)
    return cut.transpose(1, 3, 0, 2, 4).reshape(-1, len(array), PATCH_PX, PATCH_PX)


def city_patches(seeds: Sequence[int], *, other: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Images (`other`: as another sensor has them), heights and labels of all patches of some cities."""
    parts: list[list[NDArray[Any]]] = [[], [], []]
    for seed in seeds:
        city, legend = City(seed, CITY_PX, GSD_M), Legend.load("minicity")
        cover = legend.to_index()[city.labels(legend)]
        shares = [patches((cover == legend.index(name))[None]).mean(axis=(1, 2, 3)) >= LEAST for name in CLASSES]
        image = gaussian_filter(city.image[OTHER_BANDS].astype(np.float32), (0, 1, 1)) if other else city.image[:3]
        parts[0].append(patches(image / 128.0 - 1))
        parts[1].append(patches((city.dsm - city.dtm)[None] / HEIGHT_M))
        parts[2].append(np.stack(shares, axis=1))
    images, heights, labels = (torch.tensor(np.concatenate(each), dtype=torch.float32) for each in parts)
    raised = heights.abs().amax(dim=(1, 2, 3)) > 0  # a network makes nothing of a patch of zeros
    return images[raised], heights[raised], labels[raised]


def encoder(bands: int, seed: int) -> ImageClassifier:
    """A small residual network."""
    torch.manual_seed(seed)
    return ImageClassifier(bands, len(CLASSES), encoder="resnet10t", patch_px=PATCH_PX)


def batches(count: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Rows of each batch of an epoch."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return np.split(order[: count // BATCH * BATCH], count // BATCH)


def fit(network: ImageClassifier, images: Tensor, labels: Tensor, seed: int, epochs: int, lr: float) -> None:
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
def accuracy(network: ImageClassifier, images: Tensor, labels: Tensor) -> float:
    """Percent of the labels that are right."""
    return 100 * float(((network.patch_scores(images) > 0) == (labels > 0)).float().mean())


class Features(nn.Module):
    """An encoder without its last layer."""

    def __init__(self, network: ImageClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, P, P) → (N, D)"""
        return self.network.features(images)


def compare(first: Tensor, second: Tensor) -> dict[str, float]:
    """Gap and retrieval of the second sensor's embeddings among the first one's, and without their means."""
    x, y = first.numpy(), second.numpy()
    gap = measure_gap(x, y)
    centred = centre(y, x)
    return {
        "gap": gap.size, "cosine of a place": gap.matched, "separability": gap.separability, "recall@1": 100 * recall_at(y, x),
        "recall@5": 100 * recall_at(y, x, 5), "recall@5 centred": 100 * recall_at(*centred, 5),
    }  # fmt: skip


def measure(seed: int, *, smoke: bool) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Figures of one seed: of the gap before and after alignment, and of weights between two trainings."""
    cities, epochs, align_epochs = (TRAIN[:1], 1, 1) if smoke else (TRAIN, EPOCHS, ALIGN_EPOCHS)
    images, heights, labels = city_patches(cities)
    test_images, test_heights, test_labels = city_patches(TEST)
    teacher, student = encoder(3, seed), encoder(1, seed + 10)
    fit(teacher, images, labels, seed, epochs, 2e-3)
    reference, target = embed(teacher, test_images), embed(teacher, images)
    rows = {"before (random student)": compare(reference, embed(student.eval(), test_heights))}
    classes = F.normalize(teacher.head.weight.detach(), dim=1)
    align(
        Features(student), target, lambda epoch: batches(len(images), seed, epoch), heights,
        label_embeddings=classes, targets=labels, epochs=align_epochs, lr=1e-3,
    )  # fmt: skip
    rows["after alignment"] = compare(reference, embed(student, test_heights))
    others, test_others = (city_patches(one, other=True)[0] for one in (cities, TEST))
    first = {name: value.clone() for name, value in teacher.state_dict().items()}
    fit(teacher, others, labels, seed, max(epochs // 2, 1), 1e-3)
    tuned = {name: value.clone() for name, value in teacher.state_dict().items()}
    patched = {}
    for alpha in ALPHAS:
        teacher.load_state_dict(interpolate_weights(first, tuned, alpha))
        patched[f"α {alpha}"] = {
            "red, green, blue": accuracy(teacher, test_images, test_labels),
            "another sensor": accuracy(teacher, test_others, test_labels),
        }
    return rows, patched


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
    parser.add_argument("--samples", type=Path, help="folder of real samples, with bigearthnet")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    add_smoke(parser)
    arguments = parser.parse_args()
    smoke = arguments.smoke
    of_seed = [measure(seed, smoke=smoke) for seed in arguments.seeds[: 1 if smoke else None]]
    texts = [
        table({name: [one[part][name] for one in of_seed] for name in of_seed[0][part]}, title_of(title, smoke=smoke))
        for part, title in enumerate(
            ("Image and heights, SYNTHETIC", "Weights between two trainings, accuracy in percent, SYNTHETIC")
        )
    ]
    if arguments.samples:
        texts.append(
            table({name: [one] for name, one in real_pairs(arguments.samples).items()}, "Sentinel-2 and Sentinel-1")
        )
    write_text(arguments.out / "table.md", "\n".join(texts))
    print("\n".join(texts))


if __name__ == "__main__":
    with plain_errors():
        main()
