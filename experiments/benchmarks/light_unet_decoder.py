"""The light U-Net's decoder without the image of doubled pixels, against smp's blocks, in the same run.

Run: python experiments/benchmarks/light_unet_decoder.py [--tile 960 --batch 8 --window 256 --threads 1 --repeats 7]
Prediction of one tile and a training step of a batch of windows, both in float32, channels last. The two ways take turns, so
that other work on the machine disturbs both alike; the ratio is the median over the turns.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from torch import nn

from deepnets4eo.segmentation.light_unet import light_unet

Work = Callable[[nn.Module], object]


def with_doubled_pixels(network: nn.Module) -> nn.Module:
    """A copy of a light U-Net with the blocks of smp, which double pixels and join them with the skip connection."""
    plain = copy.deepcopy(network)
    decoder: Any = plain.get_submodule("decoder")
    decoder.blocks = nn.ModuleList([_block_of_smp(block) for block in decoder.blocks])
    return plain


def _block_of_smp(block: Any) -> nn.Module:
    doubled = UnetDecoderBlock(1, 1, 1)
    doubled.conv1, doubled.conv2 = block.conv1, block.conv2
    return doubled


def compare(work: Work, networks: tuple[nn.Module, nn.Module], repeats: int) -> tuple[float, float, float]:
    """Median seconds of both networks, and the median ratio of the second's to the first's over the turns."""
    seconds = np.zeros((repeats + 1, 2))
    for turn in seconds:  # the first one warms up
        for index, network in enumerate(networks):
            started = time.perf_counter()
            work(network)
            turn[index] = time.perf_counter() - started
    first, second = np.median(seconds[1:], axis=0)
    return float(first), float(second), float(np.median(seconds[1:, 1] / seconds[1:, 0]))


def main() -> None:
    """Print the seconds of both ways and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"tile": 960, "batch": 8, "window": 256, "threads": 1, "repeats": 7}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = light_unet(3, 10).to(memory_format=torch.channels_last)
    networks = (network.eval(), with_doubled_pixels(network).eval())
    tile = torch.randn(1, 3, options.tile, options.tile).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        off = (networks[0](tile) - networks[1](tile)).abs().max().item()
        lines = [("prediction", *compare(lambda one: one(tile), networks, options.repeats))]
    windows = torch.randn(options.batch, 3, options.window, options.window).contiguous(
        memory_format=torch.channels_last
    )
    for one in networks:
        one.train()
    lines.append(("step", *compare(lambda one: one(windows).square().mean().backward(), networks, options.repeats)))
    print(f"largest difference of the logits: {off:.1g}")
    for name, own, doubled, ratio in lines:
        print(f"{name}: {own:.2f} s, with doubled pixels {doubled:.2f} s, {ratio:.2f} times")


if __name__ == "__main__":
    main()
