"""Go on training a network for land cover with labelled windows of Dubai (CC0) beside made-up ones.

Usage: python experiments/cover_dubai.py RUN --data FOLDER --out OUT [--smoke]

RUN is the folder `landcover` of world_train.py --heights; FOLDER has tile_1 … tile_6 with images/*.jpg and masks/*.png, of which the first four are learnt from.
Half of each batch is Dubai, whose pixel size is not stated and drawn, and whose classes may be one of several of land cover. The statistics of
normalisation stay. The weights written to OUT are the mean of those of RUN and of the running mean of those learnt. Ten minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from mean_weights import mean_of
from script import NOTE, add_smoke, plain_errors
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from world.cover_network import WorldSection
from world.cover_training import HEIGHTS_SHARE, training_pairs
from world.real_sites import DUBAI_GSD_M, dubai_parts
from world.windows import WindowCutter

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.segmenters import load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.training import StreamSamples, SumOfLosses, median_frequency, to_tensors
from deepnets4eo.training.augmentation import Augmentation

STEPS, WARM_STEPS, HALF_BATCH, LR, AVERAGE = 400, 20, 4, 1.5e-4, 0.99
REAL = "Dubai, tiles 1 to 4 (CC0)"
LANDCOVER, MINICITY = Legend.load("landcover"), Legend.load("minicity")
CLASSES = {"building": "building", "land": "clutter", "road": "impervious", "vegetation": "low_vegetation", "water": "water"}  # fmt: skip
ALSO = {"clutter": ("impervious", "low_vegetation", "car"), "impervious": ("car",), "low_vegetation": ("tree",)}
NAMES = LANDCOVER.names
RIGHT = torch.tensor([[name == one or name in ALSO.get(one, ()) for name in NAMES] for one in NAMES])


def read_parts(folder: Path) -> list[dict[str, Any]]:
    """The labelled parts to learn from, as the layers of a pair that stays the same, without heights and outlines."""
    parts = []
    for image, labels in dubai_parts(folder, {name: MINICITY.value(one) for name, one in CLASSES.items()}):
        none = np.zeros(labels.shape, np.int32)
        layers = {"": image, "labels_": labels, "roofs_": none, "height_": none}
        parts.append({f"{key}{date}": layer for key, layer in layers.items() for date in ("pre", "post")})
    return parts


def batches(parts: list[dict[str, Any]], steps: int, seed: int) -> Iterator[list[Tensor]]:
    """Images (2 n, C, H, W) and masks (2 n, H, W), void 255, of each step: n made-up windows, then n real ones."""
    rng, turn = np.random.default_rng([seed, 1]), Augmentation()
    pairs, cut_made_up = training_pairs(WorldSection(heights=True)), WindowCutter(heights_share=HEIGHTS_SHARE)
    made_up = StreamSamples(pairs, cut_made_up, HALF_BATCH * steps, windows_per_scene=3, seed=seed)
    cut, windows = WindowCutter(scales=(1, 1), varied_share=0.5, heights_share=0), made_up.windows(0)
    for step in range(steps):
        samples = [made_up.read(one) for one in windows[step * HALF_BATCH : (step + 1) * HALF_BATCH]]
        for index in rng.integers(len(parts), size=HALF_BATCH):
            gsd_m = float(np.exp(rng.uniform(*np.log(DUBAI_GSD_M))))
            samples.append(cut(SimpleNamespace(**parts[index], gsd_m=gsd_m, style=""), rng))
        turned = [turn(to_tensors({key: one[key] for key in ("image", "mask")}), rng) for one in samples]
        yield [torch.stack([one[key] for one in turned]) for key in ("image", "mask")]


def loss_of_several(logits: Tensor, mask: Tensor, class_weights: Tensor) -> Tensor:
    """The weighted mean of -log of the summed probability of all classes that are `RIGHT`; logits (N, K, H, W), mask (N, H, W)."""
    known = mask != VOID
    labels = mask[known].long()
    scores = logits.log_softmax(dim=1).movedim(1, -1)[known].masked_fill(~RIGHT[labels], -torch.inf)
    weights = class_weights[labels]
    return -(weights * scores.logsumexp(dim=1)).sum() / weights.sum().clamp_min(1e-6)


def learn(network: nn.Module, parts: list[dict[str, Any]], steps: int, seed: int) -> dict[str, Tensor]:
    """Train the network, and return the running mean of its weights (Polyak and Juditsky 1992)."""
    network.eval().requires_grad_(True).to(memory_format=torch.channels_last)
    mean = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE))
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, weight_decay=0.01)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / WARM_STEPS, 1.0, WARM_STEPS)
    values = np.concatenate([MINICITY.remap_to(LANDCOVER)[part["labels_pre"]].ravel() for part in parts])
    weights = torch.tensor(median_frequency(np.bincount(values, minlength=256)[: LANDCOVER.num_classes].tolist()))
    criterion = SumOfLosses({"cross_entropy": 1.0, "dice": 1.0})
    for images, mask in batches(parts, steps, seed):
        with torch.autocast("cpu", torch.bfloat16):
            made_up, real = network(images.contiguous(memory_format=torch.channels_last)).float().split(HALF_BATCH)
        loss = criterion(made_up, mask[:HALF_BATCH].long()) + loss_of_several(real, mask[HALF_BATCH:], weights)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        warmup.step()
        mean.update_parameters(network)
    return dict(mean.module.state_dict())


def main() -> None:
    """Learn, take the weights between, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of tile_1 … tile_6")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run to write")
    add_smoke(parser)
    options = parser.parse_args()
    if options.smoke:
        print(NOTE)
    run, steps = load_run(options.run), 2 if options.smoke else STEPS
    network: nn.Module = run.segmenter.module  # type: ignore[attr-defined]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    learnt = learn(network, read_parts(options.data), steps, seed=0)
    network.load_state_dict(mean_of([before, learnt]))
    notes = {key: run.card["notes"][key] for key in ("task", "synthetic", "world", "styles", "windows")}
    notes |= {"windows": notes["windows"] + 2 * HALF_BATCH * steps, "real": REAL}
    print(save_run(run.segmenter, options.out, recipe=run.recipe, seed=run.card["seed"], notes=notes))


if __name__ == "__main__":
    with plain_errors():
        main()
