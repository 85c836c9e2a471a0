"""Files of weights read in part, and the layers of a network that they belong to.

Takes safetensors files and patterns of names; returns tensors by name. Refuses what is no such file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from deepnets4eo.errors import InputError

CONVERSION = (
    "Give a safetensors file; a .pth file of PyTorch is converted once by safetensors.torch.save_file(torch.load(FILE, "
    "weights_only=True), OUT)."
)


def read_tensors(path: Path, patterns: Sequence[re.Pattern[str]]) -> dict[str, Tensor]:
    """The tensors of a safetensors file whose names fit a pattern; the others are not read.

    Errors: InputError where the file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if any(one.fullmatch(name) for one in patterns)]  # noqa: SIM118
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise InputError(f"the weights {path} cannot be read: {error}. {CONVERSION}") from error


def conv_and_norm_names(module: nn.Module) -> list[tuple[str, str]]:
    """Names of each convolution of `conv_block`s and of its normalisation, in the order in which they compute.

    >>> from deepnets4eo.segmentation import conv_block
    >>> conv_and_norm_names(conv_block([3, 8, 8], "conv-relu-bn"))
    [('0', '2'), ('3', '5')]
    """
    layers = list(module.named_modules())
    convolutions = [name for name, layer in layers if isinstance(layer, nn.Conv2d)]
    norms = [name for name, layer in layers if isinstance(layer, nn.BatchNorm2d)]
    return list(zip(convolutions, norms, strict=True))
