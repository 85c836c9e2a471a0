"""FuseNet and V-FuseNet over the encoders and decoders of segmentation-models-pytorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.fusion.streams import MEAN, EncoderFusion, first_weights, mask_absent_streams, total
from deepnets4eo.segmentation import conv_block, he_init
from deepnets4eo.segmenters import EncoderName, create_model

FUSENET, V_FUSENET = "fusenet", "v-fusenet"
EXAMPLES = "resnet18, resnext50_32x4d, se_resnet50, vgg16_bn, mobilenet_v2"


class SmpFusion(EncoderFusion):
    """One smp encoder per sensor and one smp decoder; feature maps are added after each stage of the encoders.

    Two fusions for other encoders than VGG-16. The decoder takes the sums.

    `FuseNet` adds the sensors to the first sensor, whose next stage takes the sum.

    `VFuseNet` has a further encoder between them. Its first stage, two convolutions, takes the sensors' first maps,
    concatenated.

    Errors: InputError for arguments that do not fit together.

    Parameters
    ----------
    in_channels, num_classes, streams : bands of each sensor, or their sum together with `streams`; classes K
    fusion : "fusenet" or "v-fusenet"
    architecture, encoder : "unet", "fpn", "deeplabv3plus" …, and an smp encoder, also combined, as "unet/resnet18"
    weights : first weights of each sensor's encoder, as in "imagenet" or "imagenet,imagenet"
    absent : replacement of an absent stream, see `Streams`
    **further : arguments of the architecture, e.g. encoder_depth=4.

    Examples
    --------
    >>> network = SmpFusion((3, 1), 6, architecture="unet/resnet18").eval()
    >>> network(torch.zeros(1, 4, 50, 70)).shape
    torch.Size([1, 6, 50, 70])
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        num_classes: int,
        *,
        streams: Sequence[int] | None = None,
        fusion: str = FUSENET,
        architecture: str = "unet",
        encoder: str | None = None,
        weights: str | None = None,
        absent: str = MEAN,
        **further: Any,
    ) -> None:
        if fusion not in (FUSENET, V_FUSENET):
            raise InputError(f"fusion={fusion!r} is unknown; expected {FUSENET} or {V_FUSENET}.")
        super().__init__(in_channels, streams, absent)
        arguments = {"encoder": encoder, "num_classes": num_classes} | further
        networks = [
            create_model(architecture, in_channels=size, weights=source, **arguments)
            for size, source in zip(self.sizes, first_weights(weights, len(self.sizes)), strict=True)
        ]
        encoder_name = architecture.partition("/")[2] or encoder or EncoderName.default
        stages = [_stages(network, architecture, encoder_name) for network in networks]
        self.encoders = nn.ModuleList(nn.ModuleList(modules) for modules, _ in stages)
        self.with_image = stages[0][1]
        self.virtual = _virtual(architecture, self.sizes, arguments, encoder_name) if fusion == V_FUSENET else None
        self.decoder, self.head = (networks[0].get_submodule(name) for name in ("decoder", "segmentation_head"))

    def encoder_modules(self) -> Sequence[nn.Module]:
        """Return the encoders of all sensors, and the virtual encoder if there is one."""
        return [self.encoders] if self.virtual is None else [self.encoders, self.virtual]

    def fuse(self, parts: list[Tensor], present: list[Tensor] | None) -> Tensor:
        """Logits of the padded streams: the decoder takes the sums after each stage."""
        sums = self._add_to_first if self.virtual is None else self._add_to_virtual
        features = ([parts[0]] if self.with_image else []) + sums(parts, present)
        logits: Tensor = self.head(self.decoder(features))
        return logits

    def _add_to_first(self, parts: list[Tensor], present: list[Tensor] | None) -> list[Tensor]:
        """FuseNet: the first encoder's next stage takes the sums."""
        sums = []
        for stages in zip(*self.encoders, strict=True):
            parts = [stage(part) for stage, part in zip(stages, parts, strict=True)]
            sums.append(total(mask_absent_streams(parts, present)))
            parts = [sums[-1], *parts[1:]]
        return sums

    def _add_to_virtual(self, parts: list[Tensor], present: list[Tensor] | None) -> list[Tensor]:
        """V-FuseNet: the virtual encoder's next stage takes the sums, the sensors' encoders take their own maps."""
        sums: list[Tensor] = []
        for virtual, *stages in zip(self.virtual, *self.encoders, strict=True):  # type: ignore[arg-type]
            parts = [stage(part) for stage, part in zip(stages, parts, strict=True)]
            masked = mask_absent_streams(parts, present)
            shared = virtual(sums[-1] if sums else torch.cat(masked, dim=1))
            sums.append(shared + total(masked))
        return sums


def _stages(network: nn.Module, architecture: str, encoder: str) -> tuple[list[nn.Module], bool]:
    if not hasattr(network, "segmentation_head") or not hasattr(network.encoder, "out_channels"):
        raise InputError(
            f"{architecture!r} is no architecture of segmentation-models-pytorch with encoder {encoder!r}. Take unet, fpn …, with an encoder such "
            f"as {EXAMPLES}."
        )
    return encoder_stages(network.get_submodule("encoder"), encoder)


def _virtual(architecture: str, sizes: Sequence[int], arguments: dict[str, Any], encoder: str) -> nn.ModuleList:
    """Return a further encoder with random weights; a stage for maps replaces its first stage, which halves images."""
    network = create_model(architecture, in_channels=sizes[0], **arguments)
    stages, with_image = _stages(network, architecture, encoder)
    width = int(network.encoder.out_channels[int(with_image)])  # type: ignore[union-attr, index]
    first = conv_block([len(sizes) * width, width, width])
    he_init(first)
    return nn.ModuleList([first, *stages[1:]])


def encoder_stages(encoder: nn.Module, name: str) -> tuple[list[nn.Module], bool]:
    """Return an encoder's stages, and whether the decoder also gets the image; InputError for encoders that are not a chain."""
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
    """Return a chain of modules; some modules end a stage."""
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
