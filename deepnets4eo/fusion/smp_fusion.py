"""FuseNet and V-FuseNet over the encoders and decoders of segmentation-models-pytorch.

Takes the bands of the sensors one after the other; gives logits of the image's size.
Refuses encoders that cannot be taken apart, architectures without a decoder of feature maps, and unknown fusions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.fusion.encoder_stages import encoder_stages
from deepnets4eo.fusion.streams import (
    MEAN,
    Streams,
    first_weights,
    mask_absent_streams,
    parameters_of,
    stream_sizes,
    total,
)
from deepnets4eo.segmentation import conv_block, he_init, pad_to_stride
from deepnets4eo.segmenters.networks import DEFAULT_ENCODER, create_model

FUSENET, V_FUSENET = "fusenet", "v-fusenet"
STRIDE_PX = 32


class SmpFusion(nn.Module):
    """One smp encoder a sensor and one smp decoder; feature maps are added after each stage of the encoders.

    The fusions of `FuseNet` (sensors added to the first, whose next stage sees the sum) and `VFuseNet` (a further
    encoder between them; its first stage, two convolutions, sees the sensors' first maps side by side), for other
    encoders than VGG-16. The decoder gets the sums.

    in_channels : bands of each sensor, or their sum beside `streams`. fusion : "fusenet" or "v-fusenet".
    architecture : "unet", "fpn", "deeplabv3plus" …, or with its encoder "unet/resnet18". weights : first ones of
    each sensor's encoder, as in "imagenet" or "imagenet,imagenet". absent : see `Streams`.
    further : arguments of the architecture, e.g. encoder_depth=4.
    Errors: InputError for what does not fit together.

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
        super().__init__()
        if fusion not in (FUSENET, V_FUSENET):
            raise InputError(f"fusion={fusion!r} is unknown; expected {FUSENET} or {V_FUSENET}.")
        sizes = stream_sizes(in_channels, streams)
        self.streams = Streams(sizes, absent)
        sources = first_weights(weights, len(sizes))
        named = {"encoder": encoder, "num_classes": num_classes} | further
        built = [
            create_model(architecture, in_channels=size, weights=source, **named)
            for size, source in zip(sizes, sources, strict=True)
        ]
        chosen = architecture.partition("/")[2] or encoder or DEFAULT_ENCODER
        taken = [_stages(network, architecture, chosen) for network in built]
        self.encoders = nn.ModuleList(nn.ModuleList(stages) for stages, _ in taken)
        self.with_image = taken[0][1]
        self.virtual = _virtual(architecture, sizes, named, chosen) if fusion == V_FUSENET else None
        self.decoder, self.head = (built[0].get_submodule(part) for part in ("decoder", "segmentation_head"))

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of all encoders, which may learn at a rate of their own."""
        return parameters_of(self.encoders, *([] if self.virtual is None else [self.virtual]))

    def forward(self, image: Tensor) -> Tensor:
        """image : (N, sum of bands, H, W) float32, standardised · returns : logits (N, K, H, W)."""
        height, width = image.shape[2:]
        parts, present = self.streams(pad_to_stride(image, STRIDE_PX))
        fuse = self._onto_first if self.virtual is None else self._virtually
        features = ([parts[0]] if self.with_image else []) + fuse(parts, present)
        logits: Tensor = self.head(self.decoder(features))
        return logits[:, :, :height, :width]

    def _onto_first(self, parts: list[Tensor], present: list[Tensor] | None) -> list[Tensor]:
        """FuseNet: the first encoder goes on with the sums."""
        sums = []
        for stages in zip(*self.encoders, strict=True):
            parts = [stage(part) for stage, part in zip(stages, parts, strict=True)]
            sums.append(total(mask_absent_streams(parts, present)))
            parts = [sums[-1], *parts[1:]]
        return sums

    def _virtually(self, parts: list[Tensor], present: list[Tensor] | None) -> list[Tensor]:
        """V-FuseNet: the virtual encoder goes on with the sums, the sensors' with what is their own."""
        sums: list[Tensor] = []
        for virtual, *stages in zip(self.virtual, *self.encoders, strict=True):  # type: ignore[arg-type]
            parts = [stage(part) for stage, part in zip(stages, parts, strict=True)]
            added = mask_absent_streams(parts, present)
            shared = virtual(sums[-1] if sums else torch.cat(added, dim=1))
            sums.append(shared + total(added))
        return sums


def _stages(network: nn.Module, architecture: str, encoder: str) -> tuple[list[nn.Module], bool]:
    if not all(hasattr(network, part) for part in ("encoder", "decoder", "segmentation_head")):
        raise InputError(f"{architecture!r} is no architecture of segmentation-models-pytorch. Take unet, fpn …")
    return encoder_stages(network.get_submodule("encoder"), encoder)


def _virtual(architecture: str, sizes: Sequence[int], named: dict[str, Any], encoder: str) -> nn.ModuleList:
    """A further encoder from random weights; in place of its first stage, which narrows images, one for maps."""
    network = create_model(architecture, in_channels=sizes[0], **named)
    stages, with_image = _stages(network, architecture, encoder)
    width = network.encoder.out_channels[int(with_image)]  # type: ignore[union-attr, index]
    first = conv_block([len(sizes) * width, width, width])
    he_init(first)
    return nn.ModuleList([first, *stages[1:]])
