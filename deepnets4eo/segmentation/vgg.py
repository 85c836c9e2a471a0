"""Weights for SegNet's encoder: VGG-16-BN as trained on ImageNet, or the encoder of a SegNet.

Takes "imagenet" (downloaded on demand, safetensors), a run, or a safetensors file with names of torchvision, of a run
or of the notebook of DeepNetsForEO.
Refuses files without the 13 convolutions and their normalisation in the shapes of the encoder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from deepnets4eo.errors import InputError
from deepnets4eo.formats.access import check_online
from deepnets4eo.segmentation.encoder_decoder import SegNetEncoder
from deepnets4eo.segmentation.notebook_layers import COUNTER, ENCODER_LAYERS, NOTEBOOK, group_layers, rename_layers
from deepnets4eo.segmentation.weight_files import conv_and_norm_names, read_tensors
from deepnets4eo.segmenters.segmenter import WEIGHTS

IMAGENET = "imagenet"
REPOSITORY, FILE = "timm/vgg16_bn.tv_in1k", "model.safetensors"  # torchvision's weights, without pickle
FEATURES = re.compile(r"(?:.*\.)?features\.(\d+)\.(\w+)")
OWN = re.compile(r"(?:.*\.)?(stages\.\d+\.\d+\.\w+)")


def load_encoder(encoder: SegNetEncoder, source: str | Path) -> None:
    """Load VGG-16-BN's or a SegNet's weights into an encoder.

    Parameters
    ----------
    encoder
        Changed in place. Its first convolution may have any number of bands, see `fit_bands`.
    source
        "imagenet", the folder of a SegNet run, or a safetensors file with torchvision's names (features.0.weight …),
        those of a SegNet run (encoder.stages.0.0.weight …) or of the notebook (conv1_1.weight …).

    Raises
    ------
    InputError
        A file that cannot be read or lacks a layer, and layers of other shapes.

    Examples
    --------
    .. code-block:: python

        load_encoder(SegNetEncoder(4), "runs/segnet/weights.safetensors")
    """
    path = _download() if str(source) == IMAGENET else Path(source)
    path = path / WEIGHTS if path.is_dir() else path
    tensors = read_tensors(path, [FEATURES, OWN, NOTEBOOK])  # VGG's three fully connected layers would be 500 MB
    state = {
        match[1]: value for name, value in tensors.items() if (match := OWN.fullmatch(name)) and "encoder." in name
    }
    prefixes = sorted({name.partition("stages.")[0] for name in tensors if OWN.fullmatch(name) and "encoder." in name})
    if len(prefixes) > 1:
        raise InputError(
            f"{path} has the encoders {', '.join(prefix.rstrip('.') for prefix in prefixes)}; expected one. Use a run of one SegNet."
        )
    if notebook := group_layers(tensors):
        state = rename_layers(encoder, notebook, ENCODER_LAYERS)
    elif not state:
        state = _rename_keys(encoder, _features(tensors), path)
    first = "stages.0.0.weight"
    if first in state and state[first].ndim == 4:
        state[first] = fit_bands(state[first], encoder.in_channels)
    expected = encoder.state_dict()
    for name, value in expected.items():
        if name.endswith(COUNTER):
            state.setdefault(name, value)
        elif name not in state or state[name].shape != value.shape:
            shape = tuple(state[name].shape) if name in state else "missing"
            raise InputError(
                f"{path}: {name} is {shape}, the encoder has {tuple(value.shape)}. Use VGG-16-BN's weights for a SegNet "
                "of width 64, or those of a SegNet of the same width."
            )
    encoder.load_state_dict({name: state[name] for name in expected})


def fit_bands(weight: Tensor, in_channels: int) -> Tensor:
    """The first layer's weights (O, B, k, k) for another number of bands: (O, in_channels, k, k).

    The first B bands keep theirs, further ones get the mean over B; fewer than B all get the mean. All are scaled by
    B / in_channels, so that the responses keep their size.

    >>> fit_bands(torch.tensor([[1.0, 2.0, 3.0]])[..., None, None], 4).flatten().tolist()
    [0.75, 1.5, 2.25, 1.5]
    """
    bands = weight.shape[1]
    if in_channels == bands:
        return weight
    mean = weight.mean(dim=1, keepdim=True)
    kept = weight if in_channels > bands else weight[:, :0]
    more = mean.expand(-1, in_channels - kept.shape[1], -1, -1)
    return torch.cat([kept, more], dim=1) * (bands / in_channels)


def _features(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """Layers of the part named `features`, by their number."""
    layers: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if match := FEATURES.fullmatch(name):
            layers.setdefault(int(match[1]), {})[match[2]] = value
    return layers


def _rename_keys(encoder: SegNetEncoder, layers: Mapping[int, Mapping[str, Tensor]], path: Path) -> dict[str, Tensor]:
    """Pair convolutions with convolutions, and each normalisation with the convolution of its channels."""
    convolutions = [
        number for number in sorted(layers) if "weight" in layers[number] and layers[number]["weight"].ndim == 4
    ]
    ours = conv_and_norm_names(encoder)
    normalised = [number for number in convolutions if "running_mean" in layers.get(number + 1, {})]
    if len(convolutions) != len(ours) or normalised != convolutions:
        raise InputError(
            f"{path} has {len(convolutions)} convolutions named features.N, {len(normalised)} of them with normalisation; "
            f"the encoder has {len(ours)}, all with. Give VGG-16-BN's weights, not those of another network."
        )
    state: dict[str, Tensor] = {}
    for (convolution, norm), number in zip(ours, convolutions, strict=True):
        state |= {f"{convolution}.{key}": value for key, value in layers[number].items()}
        state |= {f"{norm}.{key}": value for key, value in layers[number + 1].items()}
    return state


def _download() -> Path:
    from huggingface_hub import hf_hub_download

    check_online("the weights of VGG-16-BN")
    try:
        return Path(hf_hub_download(REPOSITORY, FILE))
    except OSError as error:
        raise InputError(
            f"the weights of VGG-16-BN could not be fetched from {REPOSITORY}: {error}. Go online once, or give a "
            "safetensors file as weights."
        ) from error
