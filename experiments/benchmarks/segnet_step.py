"""SegNet's training step and prediction against the plain ways, in the same run.

Run: python experiments/benchmarks/segnet_step.py [--side 128 --batch 2 --width 64 --threads 2 --repeats 5]
A step as the core takes it (channels last, its criterion and optimiser) against an eager float32 step in torch's own
layout; with --precision bfloat16 the core's step is mixed, which pays on CPUs with matrix units and on GPUs. Prediction
of a tile by the segmenter (copying, padding, cutting, labels) against the network's bare forward pass. The two ways
take turns, so that other work on the machine disturbs both alike; medians of processor seconds are compared too.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from deepnets4eo.cards.legend import Legend
from deepnets4eo.device import Compute
from deepnets4eo.segmenters.inputs import InputSpec, LayerInput
from deepnets4eo.segmenters.networks import create_model
from deepnets4eo.segmenters.segmenter import NetworkSegmenter
from deepnets4eo.training.losses import SegmentationCriterion
from deepnets4eo.training.optimization import build_optimizer
from deepnets4eo.training.recipe import Recipe, TrainSection, resolve

LEGEND = Legend.load("isprs")
Work = Callable[[], object]


def core_step(network: nn.Module, train: TrainSection, batch: dict[str, torch.Tensor], precision: str) -> Work:
    """A step as the core takes it."""
    device = batch["image"].device.type
    network.to(memory_format=torch.channels_last).train()
    optimizer = build_optimizer(network, train)
    criterion = SegmentationCriterion(train, LEGEND, ["image"], [1] * LEGEND.num_classes)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = criterion.step(network, batch)
        loss.backward()
        optimizer.step()

    return step


def plain_step(network: nn.Module, train: TrainSection, batch: dict[str, torch.Tensor]) -> Work:
    """A step as written by hand."""
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), train.lr, train.momentum, weight_decay=train.weight_decay)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(batch["image"]), batch["mask"], ignore_index=255).backward()
        optimizer.step()

    return step


def compare(name: str, ours: Work, plain: Work, repeats: int) -> None:
    """Print seconds and ratios of two ways that take turns."""
    seconds: dict[str, list[tuple[float, float]]] = {"ours": [], "plain": []}
    for _ in range(repeats + 1):
        for key, work in (("ours", ours), ("plain", plain)):
            started, processor = time.perf_counter(), time.process_time()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[key].append((time.perf_counter() - started, time.process_time() - processor))
    first, second = (np.median(seconds[key][1:], axis=0) for key in ("ours", "plain"))
    print(
        f"{name}: {first[0]:.3f} s against {second[0]:.3f} s, ratio of speed {second[0] / first[0]:.2f}; "
        f"processor time {first[1]:.3f} s against {second[1]:.3f} s, ratio {second[1] / first[1]:.2f}"
    )


def main() -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    spec = {"name": "segnet", "width": arguments.width}
    plain = create_model(**spec, in_channels=3, num_classes=LEGEND.num_classes).to(arguments.device)
    ours = copy.deepcopy(plain)
    shape = arguments.batch, arguments.side, arguments.side
    image = torch.randn(shape[0], 3, *shape[1:], device=arguments.device)
    mask = torch.randint(0, LEGEND.num_classes, shape, device=arguments.device)
    batch = {"image": image, "mask": mask, "valid": torch.ones_like(mask, dtype=torch.bool)}
    train = resolve({"train": {"optimizer": "sgd", "lr": 0.01, "encoder_lr_factor": 0.5}}, kind=Recipe).train
    print(f"SegNet of width {arguments.width}, batch {(shape[0], 3, *shape[1:])}, {vars(arguments)}")
    compare(
        "training step", core_step(ours, train, batch, arguments.precision), plain_step(plain, train, batch),
        arguments.repeats,
    )  # fmt: skip
    inputs = InputSpec({"image": LayerInput(("a", "b", "c"), (0.0,) * 3, (1.0,) * 3, 0, 255)})
    segmenter = NetworkSegmenter(spec, inputs, LEGEND, module=ours)
    segmenter.to(Compute(arguments.device, arguments.precision, arguments.threads))
    tile = image.cpu().numpy()
    packed = image.to(getattr(torch, arguments.precision), memory_format=torch.channels_last)

    def bare() -> None:
        with torch.inference_mode():
            segmenter.module(packed)

    compare("prediction of a tile", lambda: segmenter.predict_classes(tile), bare, arguments.repeats)


if __name__ == "__main__":
    main()
