"""FuseNet and V-FuseNet over the encoders and decoders of segmentation-models-pytorch.

Takes the bands of the sensors one after the other; returns logits of the image's size.
Refuses encoders that cannot be taken apart, architectures without a decoder of feature maps, and unknown fusions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.fusion.encoder_stages import encoder_stages
from deepnets4eo.fusion.network import EncoderFusion
from deepnets4eo.fusion.streams import MEAN, first_weights, mask_absent_streams, total
from deepnets4eo.segmentation import conv_block, he_init
from deepnets4eo.segmenters.networks import DEFAULT_ENCODER, create_model

FUSENET, V_FUSENET = "fusenet", "v-fusenet"


class SmpFusion(EncoderFusion):
    """One smp encoder a sensor and one smp decoder; feature maps are added after each stage of the encoders.

    The fusions of `FuseNet` (sensors are added to the first, whose next stage takes the sum) and of `VFuseNet` (a
    further encoder between them; its first stage, two convolutions, takes the sensors' first maps side by side), for
    other encoders than VGG-16. The decoder takes the sums.

    Parameters
    ----------
    in_channels
        Bands of each sensor, or their sum beside `streams`.
    num_classes
        Classes K, at least 1.
    streams
        Bands of each sensor, in the order of the layers.
    fusion
        "fusenet" or "v-fusenet".
    architecture
        "unet", "fpn", "deeplabv3plus" …, or with its encoder, as in "unet/resnet18".
    encoder
        Name of an smp encoder, where `architecture` names none.
    weights
        First weights of each sensor's encoder, as in "imagenet" or "imagenet,imagenet".
    absent
        What an absent stream is replaced by, see `Streams`.
    **further
        Arguments of the architecture, e.g. encoder_depth=4.

    Raises
    ------
    InputError
        Arguments that do not fit together.

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
        encoder_name = architecture.partition("/")[2] or encoder or DEFAULT_ENCODER
        stages = [_stages(network, architecture, encoder_name) for network in networks]
        self.encoders = nn.ModuleList(nn.ModuleList(modules) for modules, _ in stages)
        self.with_image = stages[0][1]
        self.virtual = _virtual(architecture, self.sizes, arguments, encoder_name) if fusion == V_FUSENET else None
        self.decoder, self.head = (networks[0].get_submodule(name) for name in ("decoder", "segmentation_head"))

    def encoder_modules(self) -> Sequence[nn.Module]:
        """The encoders of all sensors, and the virtual one where there is one."""
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
    if not all(hasattr(network, part) for part in ("encoder", "decoder", "segmentation_head")):
        raise InputError(f"{architecture!r} is no architecture of segmentation-models-pytorch. Take unet, fpn …")
    return encoder_stages(network.get_submodule("encoder"), encoder)


def _virtual(architecture: str, sizes: Sequence[int], arguments: dict[str, Any], encoder: str) -> nn.ModuleList:
    """A further encoder from random weights; in place of its first stage, which halves images, one for maps."""
    network = create_model(architecture, in_channels=sizes[0], **arguments)
    stages, with_image = _stages(network, architecture, encoder)
    width = network.encoder.out_channels[int(with_image)]  # type: ignore[union-attr, index]
    first = conv_block([len(sizes) * width, width, width])
    he_init(first)
    return nn.ModuleList([first, *stages[1:]])
