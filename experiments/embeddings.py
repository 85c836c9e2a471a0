"""Embeddings as layers: the ready encoder of EuroSAT as a raster of vectors, and change of made-up vectors (SYNTHETIC).

Usage: python experiments/embeddings.py --data EUROSAT_RGB --out OUT [--smoke]

First table: the 3,000 patches of EuroSAT (RGB) that models/eurosat has not learnt from (80/20 by seed 0, as in eurosat.py) become a raster of one pixel a patch, in
floating point and in 8 bits by the card alphaearth. Precision among the ten most similar pixels of 500 drawn ones, and accuracy of 15 nearest neighbours that learn from
half of them; the same of mean and deviation of each colour. The encoder has learnt these ten classes from other patches. Second table: F1 of `change` on made-up vectors
of 64 components, three seeds, a twentieth changed to one of the other kinds of ground. Third: a tenth of the patches' labels is made wrong (three seeds); the share of these
that is found among as many first suspects, by the frozen features of `images/frozen`, which never saw a label, and by mean and deviation of colours. Writes table.md. Nothing
was chosen by these figures.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from eurosat import read_patches, write_parts
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import softmax
from script import add_smoke, plain_errors, store_results
from sklearn.neighbors import KNeighborsClassifier

from deepnets4eo.cards import run_path
from deepnets4eo.change import ChangeDetector
from deepnets4eo.classification import ImageList, embed_images
from deepnets4eo.classification.frozen import FrozenImages
from deepnets4eo.evaluation import rank_wrong_labels, spread
from deepnets4eo.files import write_text
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import load_run

NEAREST, QUERIES, SIDE, KINDS = 10, 500, 256, 6
Rows = NDArray[np.floating]


def through_raster(path: Path, vectors: Rows, *, eight_bits: bool) -> Rows:
    """Vectors (N, D) of length 1 as they come back from a raster of embeddings."""
    values = vectors.T[:, None].astype(np.float32)
    if eight_bits:
        values = np.rint(np.sign(values) * np.sqrt(np.abs(values)) * 127.5).clip(-127, 127).astype(np.int8)
        card = f'{{"name": "own", "title": "own", "stored": "int8", "scale": {1 / 127.5}, "power": 2, "nodata": -128}}'
    count, height, width = values.shape
    with rasterio.open(path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype) as file:
        file.write(values)
        file.update_tags(EMBEDDING=card if eight_bits else "vectors")
    return Layer.open(path).read()[0][:, 0].T


def score_vectors(vectors: Rows, labels: NDArray[np.int64]) -> tuple[float, float]:
    """Precision of the most similar ones, and accuracy of nearest neighbours, percent."""
    rng = np.random.default_rng(0)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = rng.choice(len(unit), min(QUERIES, len(unit)), replace=False)
    similar = np.argsort(-unit[queries] @ unit.T, axis=1)[:, 1 : NEAREST + 1]
    order = rng.permutation(len(unit))
    seen, tested = np.array_split(order, 2)
    model = KNeighborsClassifier(15, weights="distance").fit(unit[seen], labels[seen])
    return 100 * float((labels[similar] == labels[queries, None]).mean()), 100 * float(
        model.score(unit[tested], labels[tested])
    )


def score_change(method: str, noise: float, seed: int) -> float:
    """F1 of a made-up change, percent."""
    rng = np.random.default_rng(seed)
    kinds = rng.normal(size=(KINDS, 64))
    ground = np.argmax([gaussian_filter(rng.normal(size=(SIDE, SIDE)), 12) for _ in range(KINDS)], axis=0)
    truth = gaussian_filter(rng.normal(size=(SIDE, SIDE)), 4)
    truth = truth > np.quantile(truth, 0.95)
    later = np.where(truth, (ground + rng.integers(1, KINDS, ground.shape)) % KINDS, ground)
    dates = [kinds[one] + rng.normal(0, noise, (SIDE, SIDE, 64)) for one in (ground, later)]
    pre, post = (
        (one / np.linalg.norm(one, axis=-1, keepdims=True)).transpose(2, 0, 1).astype(np.float32) for one in dates
    )
    scene = Scene.open(image_pre=pre, image_post=post)
    detector = ChangeDetector.of_scene(scene, method)
    change = detector.predict_classes(detector.inputs.prepare(scene.read())[None])[0] > 0
    return 100 * float(ConfusionMatrix(2).update(truth.astype(np.uint8), change.astype(np.uint8)).f1[1])


def frozen_features(images: NDArray[np.uint8]) -> Rows:
    """Features (N, 512) of patches (N, 3, P, P), as a run of `images/frozen` has them."""
    pixels = images.astype(np.float32)
    mean, deviation = (getattr(pixels, name)(axis=(0, 2, 3), keepdims=True) for name in ("mean", "std"))
    network = FrozenImages(3, 10, weights="efficientnet-lite0", bands=("red", "green", "blue")).eval()
    with torch.inference_mode():
        parts = np.array_split((pixels - mean) / deviation, max(len(pixels) // 256, 1))
        return np.concatenate([network.features(torch.from_numpy(part)).numpy() for part in parts]).astype(float)


def find_wrong(features: Rows, labels: NDArray[np.int64], seed: int) -> float:
    """Share of the wrong labels among as many first suspects, percent; a tenth of all is made wrong."""
    rng = np.random.default_rng(seed)
    wrong = rng.choice(len(labels), len(labels) // 10, replace=False)
    learnt = labels.copy()
    learnt[wrong] = (labels[wrong] + rng.integers(1, 10, len(wrong))) % 10
    scores = FrozenImages.scores_without_own(features.astype(float), learnt[:, None] == np.arange(10), several=False)
    first = rank_wrong_labels(softmax(scores, axis=1), learnt).order[: len(wrong)]
    return 100 * float(np.isin(wrong, first).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    add_smoke(parser)
    words = parser.parse_args()
    parts = words.out / "parts-0"
    write_parts(read_patches(words.data, 20 if words.smoke else None), parts, 0)
    archive = np.load(parts / "all-test.npz")
    images, labels = archive["images"], archive["labels"]
    targets = labels[:, None] == np.arange(10)
    listed = ImageList(
        tuple(map(str, range(len(images)))), targets, images.__getitem__, ("B04", "B03", "B02"), dtype=images.dtype
    )
    vectors = embed_images(load_run(run_path("eurosat")), listed, num_workers=0)
    colours = np.concatenate([images.mean(axis=(2, 3)), images.std(axis=(2, 3))], axis=1)
    colours = (colours - colours.mean(axis=0)) / colours.std(axis=0)
    rows = {
        f"encoder, {vectors.shape[1]} components": through_raster(words.out / "float.tif", vectors, eight_bits=False),
        "the same in 8 bits": through_raster(words.out / "int8.tif", vectors, eight_bits=True),
        "mean and deviation of colours": colours,
    }
    lines = ["| vectors | same class among the 10 most similar | 15 nearest neighbours |", "|---|---|---|"]
    accuracy: dict[str, dict[str, float]] = {}
    for name, one in rows.items():
        similar, nearest = score_vectors(one, labels)
        lines.append(f"| {name} | {similar:.1f} | {nearest:.1f} |")
        accuracy[name] = {"10 most similar": round(similar, 2), "15 nearest neighbours": round(nearest, 2)}
    lines += ["", "SYNTHETIC, F1 of change", "| method | noise 0.5 | noise 1 | noise 2 |", "|---|---|---|---|"]
    change: dict[str, dict[str, list[float]]] = {}
    wrong: dict[str, list[float]] = {}
    for method in ("cosine", "ir-mad", "cva"):
        scores = {noise: [score_change(method, noise, seed) for seed in range(3)] for noise in (0.5, 1.0, 2.0)}
        lines.append(f"| {method} | {' | '.join(spread(of_seeds) for of_seeds in scores.values())} |")
        change[method] = {f"noise {noise:g}": [round(one, 2) for one in of_seeds] for noise, of_seeds in scores.items()}
    lines += ["", "| features | wrong labels among as many first suspects |", "|---|---|"]
    for name, one in (("frozen", frozen_features(images)), ("mean and deviation of colours", colours)):
        wrong[name] = [round(find_wrong(one, labels, seed), 2) for seed in range(3)]
        lines.append(f"| {name} | {spread(wrong[name])} |")
    figures: dict[str, Any] = {"accuracy": accuracy, "f1_of_made_up_change": change, "wrong_labels_found": wrong}
    store_results(words.out, smoke=words.smoke, patches=len(labels), **figures)
    write_text(words.out / "table.md", "\n".join([*lines, ""]))
    print("\n".join(lines))


if __name__ == "__main__":
    with plain_errors():
        main()
