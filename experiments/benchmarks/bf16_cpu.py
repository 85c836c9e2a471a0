"""bfloat16 with channels last against float32 on this CPU: time of a forward pass, and how many labels agree.

Run: python experiments/benchmarks/bf16_cpu.py [--network unet/resnet34 --tile 512]
The network is trained for a few steps on made-up fields, since labels of arbitrary weights are ties. Says whether the
CPU has matrix units for bfloat16: without them it is emulated, `--precision auto` stays with float32, and the ratio
printed is the cost of the emulation.
"""

from __future__ import annotations

import argparse
import copy
import time

import numpy as np
import torch
from torch import nn

from deepnets4eo.device import choose, cpu_has_bfloat16_units
from deepnets4eo.segmenters.networks import create_model

CLASSES = 4


def make_batch(rng: np.random.Generator, count: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Fields of four classes, each with its colour, under noise: (N, 3, H, W) float32 and (N, H, W) int64."""
    colors = np.array([[-1, -1, 1], [1, -1, -1], [-1, 1, -1], [1, 1, 1]], np.float32)
    fields = rng.integers(0, CLASSES, (count, side // 16, side // 16))
    labels = np.kron(fields, np.ones((1, 16, 16), np.int64))
    image = colors[labels].transpose(0, 3, 1, 2) + rng.normal(0, 0.7, (count, 3, side, side))
    return torch.from_numpy(image.astype(np.float32)), torch.from_numpy(labels)


def train(network: nn.Module, steps: int, rng: np.random.Generator) -> None:
    """A few steps of AdamW."""
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    for _ in range(steps):
        image, labels = make_batch(rng, 8, 64)
        loss = nn.functional.cross_entropy(network(image), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()


def forward(network: nn.Module, image: torch.Tensor, repeats: int) -> tuple[float, np.ndarray]:
    """Seconds of the fastest pass, and the labels."""
    seconds = []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            started = time.perf_counter()
            logits = network(image)
            seconds.append(time.perf_counter() - started)
    return min(seconds[1:]), logits.argmax(dim=1).numpy()


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="unet/resnet34")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    torch.set_num_threads(choose().threads)
    plain = create_model(arguments.network, in_channels=3, num_classes=CLASSES)
    train(plain, arguments.steps, rng)
    half = copy.deepcopy(plain).to(torch.bfloat16).to(memory_format=torch.channels_last)
    image, labels = make_batch(rng, 1, arguments.tile)
    seconds, predicted = forward(plain, image, arguments.repeats)
    packed = image.to(torch.bfloat16).to(memory_format=torch.channels_last)
    half_seconds, half_predicted = forward(half, packed, arguments.repeats)
    units = "has" if cpu_has_bfloat16_units() else "has no"
    print(f"this CPU {units} bfloat16 matrix units; --precision auto takes {choose('cpu').precision}")
    print(f"float32: {seconds:.3f} s a tile, {np.mean(predicted == labels.numpy()):.4f} of pixels right")
    print(
        f"bfloat16, channels last: {half_seconds:.3f} s a tile, {np.mean(half_predicted == labels.numpy()):.4f} right"
    )
    print(
        f"ratio of speed: {seconds / half_seconds:.2f}; labels agree on {np.mean(predicted == half_predicted):.4%} of pixels"
    )


if __name__ == "__main__":
    main()
