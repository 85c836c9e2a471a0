"""Weights for SegNet's encoder: VGG-16-BN as trained on ImageNet, of a SegNet, or the notebook of DeepNetsForEO."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation.blocks import SegNetEncoder, Vgg16
from deepnets4eo.segmenters import COUNTER, IMAGENET, RunFolder, check_download, fit_bands, read_tensors

REPOSITORY, FILE = "timm/vgg16_bn.tv_in1k", "model.safetensors"  # torchvision's weights, without pickle
FEATURES = re.compile(r"(?:.*\.)?features\.(?:[a-z_]+\.)*(\d+)\.(\w+)")
OWN = re.compile(r"(?:.*\.)?(stages\.\d+\.\d+\.\w+)")


def _layers() -> list[str]:
    return [
        f"conv{number}_{layer}" for number, stage in enumerate(Vgg16.stages, 1) for layer in range(1, len(stage) + 1)
    ]


class NotebookLayers:
    """Names of SegNet's layers in the published notebook: layers of the encoder and of the decoder, and the last layer."""

    pattern: ClassVar[re.Pattern[str]] = re.compile(r"(?:.*\.)?(conv\d_\d(?:_D)?(?:_bn)?)\.(\w+)")
    encoder: ClassVar[list[str]] = _layers()
    decoder: ClassVar[list[str]] = [f"{name}_D" for name in _layers()[:0:-1]]
    head: ClassVar[str] = f"{_layers()[0]}_D"


def conv_and_norm_names(module: nn.Module) -> list[tuple[str, str]]:
    """Return the names of each convolution of `conv_block`s and of its normalisation, in the order of computation."""
    layers = list(module.named_modules())
    convolutions = [name for name, layer in layers if isinstance(layer, nn.Conv2d)]
    norms = [name for name, layer in layers if isinstance(layer, nn.BatchNorm2d)]
    return list(zip(convolutions, norms, strict=True))


def group_layers(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Tensors of the notebook's names by layer; what DataParallel puts before a name is left out."""
    layers: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if match := NotebookLayers.pattern.fullmatch(name):
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


def load_encoder(encoder: SegNetEncoder, source: str | Path) -> None:
    """Load VGG-16-BN's or a SegNet's weights into an encoder.

    Errors: InputError for a file that cannot be read or lacks a layer, and layers of other shapes.

    Parameters
    ----------
    encoder : changed in place. Its first convolution may have any number of bands, see `fit_bands`.
    source
        "imagenet", the folder of a SegNet run, or a safetensors file with the names of torchvision (features.0.weight …),
        of a SegNet run (encoder.stages.0.0.weight …) or of the notebook (conv1_1.weight …).
    """
    path = _download() if str(source) == IMAGENET else Path(source)
    path = RunFolder(path).read_weights if path.is_dir() else path
    tensors = read_tensors(
        path, [FEATURES, OWN, NotebookLayers.pattern]
    )  # VGG's three fully connected layers would be 500 MB
    state = {
        match[1]: value for name, value in tensors.items() if (match := OWN.fullmatch(name)) and "encoder." in name
    }
    prefixes = sorted({name.partition("stages.")[0] for name in tensors if OWN.fullmatch(name) and "encoder." in name})
    if len(prefixes) > 1:
        raise InputError(
            f"{path} has the encoders {', '.join(prefix.rstrip('.') for prefix in prefixes)}; expected one. Use a run of one SegNet."
        )
    if notebook := group_layers(tensors):
        state = rename_layers(encoder, notebook, NotebookLayers.encoder)
    elif not state:
        state = _rename_keys(encoder, _features(tensors), path)
    first = "stages.0.0.weight"
    if first in state and state[first].ndim == 4:
        state[first] = fit_bands(state[first], encoder.in_channels)
    remedy = "Use VGG-16-BN's weights for a SegNet of width 64, or those of a SegNet of the same width."
    load_all(encoder, state, path, "encoder", remedy)


def load_all(module: nn.Module, state: dict[str, Tensor], path: Path, kind: str, remedy: str) -> None:
    """Load a file's weights into a module; counters may be missing, others left over; InputError with the `remedy`."""
    expected = module.state_dict()
    for name, value in expected.items():
        if name.endswith(COUNTER):
            state.setdefault(name, value)
        elif name not in state or state[name].shape != value.shape:
            shape = tuple(state[name].shape) if name in state else "missing"
            raise InputError(f"{path}: {name} is {shape}, the {kind} has {tuple(value.shape)}. {remedy}")
    module.load_state_dict({name: state[name] for name in expected})


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

    check_download("the weights of VGG-16-BN")
    try:
        return Path(hf_hub_download(REPOSITORY, FILE))
    except OSError as error:
        raise InputError(
            f"the weights of VGG-16-BN could not be fetched from {REPOSITORY}: {error}. Go online once, or give a "
            "safetensors file as weights."
        ) from error
