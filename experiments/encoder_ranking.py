"""Frozen encoders at hand under one linear probe: what `eurosat.py` ranks.

An encoder is a function of patches (N, 3, H, W) in red, green and blue, 0 to 255, to vectors (N, D): the means of the maps of all its levels, or
what the last layer of a classifier takes. The probe is a logistic regression of the scaled vectors, C chosen by cross-validation of the labels
that it learns from. Encoders that learnt from the data that they are ranked on are no part of this.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from harvey import features as colour_features
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from deepnets4eo.segmenters import EfficientNetLite0, EncoderName, create_model, frozen_encoder, load_run
from deepnets4eo.segmenters.efficientnet import shown_values

STRENGTHS = (0.001, 0.01, 0.1)
FOLDS, BATCH = 3, 250
RANDOM_LITE0, RANDOM_RESNET, RANDOM_WIDE = (
    f"{EncoderName.lite0}, random",
    "ResNet-18, random",
    "wide-resnet-eca, random",
)
IMAGENET, BUILDINGS = f"{EncoderName.lite0}, ImageNet", "buildings: ResNet-18, made-up places"
OWN, COLOURS = "wide-resnet-eca, SimCLR on the patches without labels", "42 numbers of colour and texture"
AT_HAND = (IMAGENET, BUILDINGS, OWN, COLOURS, RANDOM_WIDE, RANDOM_LITE0, RANDOM_RESNET)

Encoder = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def encoder_of(name: str, seed: int, own: Path | None = None) -> Encoder:
    """The encoder of this name of `AT_HAND`. own : the run of `images/first-weights`, for OWN alone"""
    if name == COLOURS:
        return lambda patches: np.stack([colour_features(one.transpose(1, 2, 0)) for one in patches]).astype(np.float32)
    if name == BUILDINGS:
        loaded: Any = load_run(name.partition(":")[0])
        of_run = loaded.segmenter.inputs.layers["image"]
        mean, std = (torch.tensor(values)[:, None, None] for values in (of_run.mean, of_run.std))
        return by_network(loaded.segmenter.module.encoder, lambda patches: (patches - mean) / std)
    torch.manual_seed(seed)
    if name == IMAGENET:
        return by_network(frozen_encoder(), shown_values)
    if name == RANDOM_LITE0:
        return by_network(EfficientNetLite0(), shown_values)
    if name == RANDOM_RESNET:
        return by_network(timm.create_model("resnet18", features_only=True), shown_values)
    weights = str(own) if name == OWN else None
    network: Any = create_model("wide-resnet-eca", in_channels=3, num_classes=1, weights=weights, phi=0, patch_px=64)
    return by_network(network.encoder, shown_values)


def by_network(network: nn.Module, scaled: Callable[[Tensor], Tensor]) -> Encoder:
    """The means of all maps of a network, which does not learn."""
    network.eval()

    def vectors(patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = []
        with torch.inference_mode():
            for batch in np.array_split(patches, -(-len(patches) // BATCH)):
                maps = network(scaled(torch.from_numpy(batch).float()))
                levels = maps if isinstance(maps, list | tuple) else [maps]
                parts.append(torch.cat([level.mean(dim=(2, 3)) for level in levels], dim=1).numpy())
        return np.concatenate(parts)

    return vectors


def probe(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> Any:
    """The regression of labelled vectors; where a class has too few to be divided, of the middle strength."""
    machine = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTHS[1], max_iter=500))
    if np.unique(labels, return_counts=True)[1].min() < FOLDS:
        return machine.fit(vectors, labels)
    grid = {"logisticregression__C": STRENGTHS}
    return GridSearchCV(machine, grid, scoring="neg_log_loss", cv=FOLDS).fit(vectors, labels)
