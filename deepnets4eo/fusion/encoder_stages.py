"""Encoders of segmentation-models-pytorch taken apart into stages, so that sensors can meet between them.

Takes an encoder that smp built; returns modules whose chain is the same encoder, a feature map after each.
Refuses encoders whose stages are no chain of modules.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from deepnets4eo.errors import InputError

EXAMPLES = "resnet18, resnext50_32x4d, se_resnet50, vgg16_bn, mobilenet_v2"


def encoder_stages(encoder: nn.Module, name: str) -> tuple[list[nn.Module], bool]:
    """The stages of an encoder, and whether its decoder also gets the image itself, before the first of them.

    Errors: InputError for encoders that are no chain: those with `tu-` and transformers, for example.

    >>> from segmentation_models_pytorch.encoders import get_encoder
    >>> stages, with_image = encoder_stages(get_encoder("resnet18", weights=None, depth=4), "resnet18")
    >>> len(stages), with_image
    (4, True)
    """
    for attributes, split in KINDS:
        if all(hasattr(encoder, name) for name in attributes):
            stages = split(encoder)
            count = len(encoder.out_channels)  # type: ignore[arg-type]
            with_image = not name.startswith("vgg")  # VGG's first maps are as large as the image
            return stages[: count - with_image], with_image
    raise InputError(f"encoder {name!r} cannot be taken apart into stages. Choose one such as {EXAMPLES}.")


def _resnet(encoder: nn.Module) -> list[nn.Module]:
    act = encoder.relu if hasattr(encoder, "relu") else encoder.act1
    stem = nn.Sequential(encoder.conv1, encoder.bn1, act)  # type: ignore[arg-type]
    return _with_layers(encoder, stem, encoder.maxpool)  # type: ignore[arg-type]


def _senet(encoder: nn.Module) -> list[nn.Module]:
    return _with_layers(encoder, encoder.layer0, encoder.layer0_pool)  # type: ignore[arg-type]


def _with_layers(encoder: nn.Module, stem: nn.Module, pool: nn.Module) -> list[nn.Module]:
    """Shallow encoders lack the last layers."""
    first, *deeper = [
        getattr(encoder, f"layer{number}") for number in range(1, 5) if hasattr(encoder, f"layer{number}")
    ]
    return [stem, nn.Sequential(pool, first), *deeper]


def _chain(encoder: nn.Module) -> list[nn.Module]:
    """A chain of modules, some of which end a stage."""
    ends = [end + 1 for end in encoder._out_indexes]  # type: ignore[union-attr]
    features: nn.Sequential = encoder.features  # type: ignore[assignment]
    return [features[start:end] for start, end in zip([0, *ends], ends, strict=False)]


Split = Callable[[nn.Module], list[nn.Module]]
KINDS: tuple[tuple[tuple[str, ...], Split], ...] = (  # attributes of a kind of encoder → its stages
    (("layer0", "layer0_pool", "layer1"), _senet),
    (("conv1", "bn1", "maxpool", "layer1", "relu"), _resnet),
    (("conv1", "bn1", "maxpool", "layer1", "act1"), _resnet),
    (("features", "_out_indexes"), _chain),
)
