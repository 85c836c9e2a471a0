"""Images of thirteen bands and few labels: frozen features of red, green and blue, statistics of every band, both, and a plain loop.

Usage: python experiments/many_bands.py --data FOLDER --out FOLDER [--encoder FILE] [--draws 10] [--smoke]

FOLDER has a folder of GeoTIFFs with 13 bands for each class of EuroSAT (B8A last, as published). Each draw learns from half of the images of
each class and is scored on the other half; bands are standardised by the half that is learnt from. Three rows are a logistic regression
(C = 0.01) of standardised features; the plain loop does the same with timm, numpy and scikit-learn, at twice the size, with means and
deviations of the encoder's maps of one view. Three rows have the layer that `images/frozen` fits itself, one of them for an encoder whose first
layer is fitted to all 13 bands, the recipe's way before it had statistics. --encoder FILE adds two rows with a published encoder of Earth observation, only its vectors and next to
those of red, green and blue, as `images/frozen` with encoder=FILE has them. Writes table.md and results.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from script import add_smoke, plain_errors, require_files, title_of
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from zero import chance

from deepnets4eo.cards import DatasetCard
from deepnets4eo.classification.frozen import FrozenImages
from deepnets4eo.evaluation import spread
from deepnets4eo.files import write_json, write_text
from deepnets4eo.rasters import Layer, colour_bands
from deepnets4eo.segmenters import TransformerSizes, published_change, read_tensors

BANDS = DatasetCard.load("eurosat").bands["image"]
ENCODER = "efficientnet-lite0"
OPTIONS: dict[str, Any] = {"input_px": 128, "views": 4}  # of the recipe
COLOUR_FEATURES = 512
AT_ONCE = 30
BRIGHT = 3000.0  # reflectance of 0.3, where plain pictures of Sentinel-2 are white
PLAIN = "plain loop, colours and statistics"


def read_images(folder: Path, each: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, 13, 64, 64) and their class indices; `each`: only so many of a class."""
    images, labels = [], []
    for label, name in enumerate(sorted({path.parent for path in require_files(folder, "*/*.tif")})):
        for path in sorted(name.glob("*.tif"))[:each]:
            images.append(Layer.open(path).read()[0].astype(np.float32))
            labels.append(label)
    return np.stack(images), np.array(labels)


def regression() -> LogisticRegression:
    """Return the classifier of the rows, untrained."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))


@torch.no_grad()
def frozen_features(network: FrozenImages, images: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Return the features (N, D) of images whose bands are standardised by those learnt from."""
    mean, std = (getattr(images[learnt], name)((0, 2, 3))[:, None, None] for name in ("mean", "std"))
    standard = torch.from_numpy((images - mean) / std)
    return np.concatenate([network.features(part).numpy() for part in standard.split(AT_ONCE)])


def own_score(features: np.ndarray, labels: np.ndarray, learnt: np.ndarray, tested: np.ndarray) -> float:
    """Return the accuracy of the layer that `images/frozen` fits itself."""
    network = FrozenImages(3, int(labels.max()) + 1)
    network.head = torch.nn.Linear(features.shape[1], int(labels.max()) + 1)
    network.fit_head(features[learnt], labels[learnt, None] == np.arange(labels.max() + 1), several=False)
    with torch.no_grad():
        guesses = network.head(torch.from_numpy(features[tested]).float()).argmax(dim=1).numpy()
    return float((guesses == labels[tested]).mean())


def of_file(path: Path, images: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Return the features (N, 512 + D) of images by EfficientNet-Lite0 on the colours and the encoder of a file on all bands."""
    sizes = TransformerSizes.of_file(path, BANDS)
    mean, std = (getattr(images[learnt], name)((0, 2, 3)) for name in ("mean", "std"))
    top = np.percentile(images[learnt], 99, axis=(0, 2, 3))
    change = published_change(BANDS, mean, std, top) if sizes.is_dated else None
    network = FrozenImages(
        len(BANDS), 2, weights=str(path), bands=BANDS, **OPTIONS, transformer=sizes.to_dict(), colour_features=True,
        published=None if change is None else [part.tolist() for part in change],
    ).eval()  # fmt: skip
    return frozen_features(network, images, learnt)


def draw_scores(
    images: np.ndarray,
    labels: np.ndarray,
    plain: np.ndarray,
    learnt: np.ndarray,
    tested: np.ndarray,
    encoder: Path | None,
) -> dict[str, float]:
    """Return the accuracy in percent of each row in one draw."""
    classes = int(labels.max()) + 1
    network = FrozenImages(len(BANDS), classes, weights=ENCODER, bands=BANDS, **OPTIONS, band_statistics=True).eval()
    features = frozen_features(network, images, learnt)
    colours = features[:, :COLOUR_FEATURES]
    rows = {
        "colours": colours,
        "statistics of each band": features[:, COLOUR_FEATURES:],
        "both": features,
        PLAIN: plain,
    }
    scores = {
        name: regression().fit(row[learnt], labels[learnt]).score(row[tested], labels[tested])
        for name, row in rows.items()
    }
    former = FrozenImages(len(BANDS), classes, weights=ENCODER, bands=BANDS, **OPTIONS).eval()
    of_all = frozen_features(former, images, learnt)
    rows_of_layer = {"colours": colours, "both": features, "encoder sees all bands": of_all}
    if encoder is not None:
        joined = of_file(encoder, images, learnt)
        rows_of_layer |= {"file only": joined[:, COLOUR_FEATURES:], "colours and file": joined}
        rows_of_layer |= {
            "colours, file and statistics": np.concatenate([joined, features[:, COLOUR_FEATURES:]], axis=1)
        }
    for name, row in rows_of_layer.items():
        scores[f"{name}, the recipe's own layer"] = own_score(row, labels, learnt, tested)
    return {name: 100 * float(score) for name, score in scores.items()}


@torch.no_grad()
def plain_features(images: np.ndarray) -> np.ndarray:
    """Return features as a reader would write them, without the toolbox."""
    encoder = timm.create_model("tf_efficientnet_lite0", features_only=True)
    encoder.load_state_dict(read_tensors(ENCODER), strict=False)
    colours = np.clip(images[:, colour_bands(BANDS, known=True)] / BRIGHT, 0, 1) * 2 - 1
    maps = []
    for part in torch.from_numpy(colours).split(AT_ONCE):
        levels = encoder.eval()(F.interpolate(part, scale_factor=2, mode="bicubic"))
        maps.append(torch.cat([torch.cat([level.mean((2, 3)), level.std((2, 3))], 1) for level in levels], 1).numpy())
    deciles = np.quantile(images, np.arange(1, 10) / 10, axis=(2, 3)).transpose(1, 0, 2).reshape(len(images), -1)
    return np.concatenate([np.concatenate(maps), images.mean((2, 3)), images.std((2, 3)), deciles], axis=1)


def main() -> None:
    """Run all rows, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with a folder of GeoTIFFs a class")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--encoder", type=Path, help=".safetensors file of a published encoder, such as Galileo")
    parser.add_argument("--draws", type=int, default=10, help="draws of half of the images, from seed 0")
    add_smoke(parser)
    options = parser.parse_args()
    images, labels = read_images(options.data, 4 if options.smoke else None)
    plain = plain_features(images)
    accuracy: dict[str, list[float]] = {}
    halves = StratifiedShuffleSplit(1 if options.smoke else options.draws, test_size=0.5, random_state=0)
    for learnt, tested in halves.split(plain, labels):
        row = draw_scores(images, labels, plain, learnt, tested, options.encoder)
        for name, score in row.items():
            accuracy.setdefault(name, []).append(round(score, 2))
        print({name: score[-1] for name, score in accuracy.items()}, flush=True)
    lines = [f"| {name} | {spread(scores)} |" for name, scores in accuracy.items()]
    title = title_of(f"{len(images)} patches of EuroSAT, 13 bands, half learnt from", smoke=options.smoke)
    text = "\n".join([f"# {title}", "", "| features | overall accuracy, % |", "|---|---:|", *lines, ""])
    write_text(options.out / "table.md", text)
    write_json(
        options.out / "results.json",
        {
            "smoke": options.smoke,
            "encoder": None if options.encoder is None else options.encoder.parent.name,
            "images": len(images),
            "zero": chance(10).to_dict(),
            "accuracy": accuracy,
        },
    )
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
