"""First weights of a Sentinel-2 network: the encoder of DLR's cloud network, trained further or frozen, beside random weights.

Usage: python experiments/cloud_encoder.py --data FOLDER --out FOLDER [--seeds 0 1 2] [--steps 40] [--smoke]

FOLDER has a folder of GeoTIFFs with 13 bands for each class of EuroSAT (B8A last, as published). The encoder is the EfficientNet-B4 of the network of six bands for
top-of-atmosphere reflectance of ukis-csmask (Wieland et al. 2022, Apache-2.0; `pip install "deepnets4eo[clouds]"`), read from its ONNX file. Each seed draws half of the
images of each class to learn from and is scored on the other half. Both fine-tuned ways take the same steps of 16 patches from the same seed; frozen features are means of
the maps of all levels under a logistic regression (C = 0.01). Looked at: one seed of 60 steps with a momentum of 0.01 and only the last map. Writes table.md and results.json.
"""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from many_bands import BANDS, read_images, regression
from numpy.typing import NDArray
from script import add_smoke, plain_errors, store_results, title_of
from sklearn.model_selection import StratifiedShuffleSplit
from torch import Tensor, nn
from zero import chance

from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import spread
from deepnets4eo.files import write_text
from deepnets4eo.lazy import check_extra, name_missing_extra

SIX_BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
NAMES = ("B02", "B03", "B04", "B08", "B11", "B12")  # of Sentinel-2, in the order of the network
MODEL = "model_6b_l1c"
UNUSED = ("_conv_head", "_bn1.")  # layers of EfficientNet behind the last map
BATCH, LR, REFLECTANCE = 16, 1e-3, 10_000.0
MOMENTUM = 0.1  # of running statistics; the 0.01 of EfficientNet does not reach them in so few steps
RANDOM, TUNED = "random first weights, trained", "the cloud network's first weights, trained"
FROZEN = {"random first weights, frozen": False, "the cloud network's first weights, frozen": True}


class PatchNetwork(nn.Module):
    """EfficientNet-B4 of six bands, the means of the maps of its levels, and a linear layer."""

    def __init__(self, classes: int, state: dict[str, Tensor] | None) -> None:
        super().__init__()
        from segmentation_models_pytorch.encoders import get_encoder

        self.encoder = get_encoder("efficientnet-b4", in_channels=len(SIX_BANDS), weights=None)
        if state is not None:
            absent = [one for one in self.encoder.state_dict() if one not in state and not one.startswith(UNUSED)]
            absent = [name for name in absent if "num_batches" not in name]
            if absent:
                raise InputError(
                    f"{MODEL}.onnx of ukis-csmask lacks {absent[0]}, expected all weights of an EfficientNet-B4. Install version 1.0."
                )
            self.encoder.load_state_dict(state, strict=False)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = MOMENTUM
        self.head = nn.Linear(sum(self.encoder.out_channels[1:]), classes)

    def features(self, images: Tensor) -> Tensor:
        """Return the means (N, D) of the maps of all levels."""
        return torch.cat([level.mean((2, 3)) for level in self.encoder(images)[1:]], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N, K)."""
        scores: Tensor = self.head(self.features(images))
        return scores


@name_missing_extra()
def read_network() -> tuple[dict[str, Tensor], NDArray[np.float32]]:
    """Return the encoder's weights by name, and the mean and deviation (2, 6, 1, 1) of the reflectance it was trained on."""
    import onnx
    from onnx import numpy_helper

    check_extra("clouds")
    spec = find_spec("ukis_csmask")
    assert spec is not None, "checked"
    folder = Path(str(spec.origin)).parent
    prefix = "model.encoder."
    state = {
        one.name.removeprefix(prefix): torch.from_numpy(numpy_helper.to_array(one).astype(np.float32))
        for one in onnx.load(folder / f"{MODEL}.onnx").graph.initializer
        if one.name.startswith(prefix)
    }
    statistics = json.loads((folder / f"{MODEL}.json").read_text(encoding="utf-8"))["data"]["dataset_statistics"]
    names = [name.casefold() for name in statistics["band_names"]]
    order = [names.index(name) for name in SIX_BANDS]
    return state, np.array(statistics["img"], np.float32)[:, order, None, None]


def tune(network: PatchNetwork, images: Tensor, labels: Tensor, seed: int, steps: int) -> None:
    """Train a whole network on patches, turned and flipped at random."""
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    network.train()
    for _ in range(steps):
        rows = torch.from_numpy(rng.choice(len(images), BATCH, replace=False))
        batch = torch.rot90(images[rows], int(rng.integers(4)), (2, 3))
        batch = batch.flip(3) if rng.random() < 0.5 else batch
        with torch.autocast("cpu", torch.bfloat16):
            scores = network(batch)
        loss = F.cross_entropy(scores.float(), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()


def score_seed(
    images: Tensor, labels: NDArray[np.int64], state: dict[str, Tensor], seed: int, steps: int
) -> dict[str, float]:
    """Return the accuracy in percent of each way at one draw of half of the images."""
    ((learnt, tested),) = StratifiedShuffleSplit(1, test_size=0.5, random_state=seed).split(images, labels)
    classes, truth = int(labels.max()) + 1, torch.from_numpy(labels)
    right = {}
    for way, weights in ((RANDOM, None), (TUNED, state)):
        torch.manual_seed(seed)
        network = PatchNetwork(classes, weights)
        tune(network, images[learnt], truth[learnt], seed, steps)
        with torch.inference_mode():
            right[way] = float((network(images[tested]).argmax(1) == truth[tested]).float().mean())
    for way, known in FROZEN.items():
        torch.manual_seed(seed)
        network = PatchNetwork(classes, state if known else None).eval()
        with torch.inference_mode():
            features = network.features(images).numpy()
        right[way] = regression().fit(features[learnt], labels[learnt]).score(features[tested], labels[tested])
    return {way: round(100 * float(share), 2) for way, share in right.items()}


def main() -> None:
    """Run all ways, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with a folder of GeoTIFFs a class")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=40)
    add_smoke(parser)
    options = parser.parse_args()
    if options.smoke:
        options.seeds, options.steps = options.seeds[:1], 2
    state, (mean, std) = read_network()
    patches, labels = read_images(options.data, 4 if options.smoke else None)
    six = patches[:, [BANDS.index(name) for name in NAMES]] / REFLECTANCE
    images = torch.from_numpy((six - mean) / std)
    accuracy: dict[str, list[float]] = {}
    for seed in options.seeds:
        for way, share in score_seed(images, labels, state, seed, options.steps).items():
            accuracy.setdefault(way, []).append(share)
        print({way: shares[-1] for way, shares in accuracy.items()}, flush=True)
    store_results(
        options.out,
        smoke=options.smoke,
        images=len(images),
        steps=options.steps,
        zero=chance(10).to_dict(),
        accuracy=accuracy,
    )
    title = title_of(f"{len(images)} patches of EuroSAT, six bands, {options.steps} steps", smoke=options.smoke)
    lines = [f"| {way} | {spread(shares)} |" for way, shares in accuracy.items()]
    print(
        write_text(
            options.out / "table.md",
            "\n".join([f"# {title}", "", "| way | overall accuracy, % |", "|---|---:|", *lines, ""]),
        ).read_text(encoding="utf-8")
    )


if __name__ == "__main__":
    with plain_errors():
        main()
