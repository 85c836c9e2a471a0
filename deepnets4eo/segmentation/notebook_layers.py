"""Names of layers in the SegNet of the PyTorch notebook of DeepNetsForEO, and the layers of ours that they belong to.

Takes tensors by the notebook's names (conv1_1.weight, conv1_1_bn.weight … conv1_1_D.weight); returns them by ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from deepnets4eo.segmentation.encoder_decoder import STAGES
from deepnets4eo.segmentation.weight_files import conv_and_norm_names

NOTEBOOK = re.compile(r"(?:module\.)?(conv\d_\d(?:_D)?(?:_bn)?)\.(\w+)")
ENCODER_LAYERS = [f"conv{at}_{one}" for at, stage in enumerate(STAGES, 1) for one in range(1, len(stage) + 1)]
HEAD, *_BACKWARDS = [f"{name}_D" for name in ENCODER_LAYERS]
DECODER_LAYERS = _BACKWARDS[::-1]
COUNTER = "num_batches_tracked"  # absent from files of older versions; counts nothing that matters


def group_layers(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Tensors of the notebook's names by layer; what DataParallel puts before a name is left out."""
    layers: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if match := NOTEBOOK.fullmatch(name):
            layers.setdefault(match[1], {})[match[2]] = value
    return layers


def rename_layers(
    module: nn.Module, layers: Mapping[str, Mapping[str, Tensor]], names: Sequence[str]
) -> dict[str, Tensor]:
    """Weights of a half of SegNet, by our names; names : the notebook's, one a convolution of the half, in its order."""
    state: dict[str, Tensor] = {}
    for (convolution, norm), name in zip(conv_and_norm_names(module), names, strict=True):
        state |= {f"{convolution}.{key}": value for key, value in layers.get(name, {}).items()}
        state |= {f"{norm}.{key}": value for key, value in layers.get(f"{name}_bn", {}).items()}
    return state
