"""OSMNet: a coarse semantic map from OpenStreetMap layers, two convolutions and scores at full resolution."""

from __future__ import annotations

from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation import he_init


class OSMNet(nn.Module):
    """The first block of VGG-16 and a 3 × 3 score layer; scores depend on 7 × 7 pixels and keep the resolution.

    After Audebert, Le Saux and Lefèvre, "Joint Learning from Earth Observation and OpenStreetMap Data", CVPRW 2017.

    Errors: InputError for numbers below 1.

    Parameters
    ----------
    in_channels, num_classes : bands of the raster of `rasterize_osm`, and classes K, at least 1
    batch_norm : normalise after each convolution
    width : channels of both convolutions, 64 as published (42,182 parameters for 3 → 6; 256 more with batch_norm)

    Examples
    --------
    >>> sum(parameter.numel() for parameter in OSMNet(3, 6).parameters())
    42182
    """

    def __init__(self, in_channels: int, num_classes: int, *, batch_norm: bool = False, width: int = 64) -> None:
        super().__init__()
        if min(in_channels, num_classes, width) < 1:
            raise InputError(
                f"OSMNet got in_channels={in_channels}, num_classes={num_classes}, width={width}; all must be at least 1."
            )
        layers: list[nn.Module] = []
        for channels in (in_channels, width):
            layers.append(nn.Conv2d(channels, width, 3, padding=1))
            layers += [nn.BatchNorm2d(width)] if batch_norm else []
            layers.append(nn.ReLU(inplace=True))
        self.block = nn.Sequential(*layers)
        self.score = nn.Conv2d(width, num_classes, 3, padding=1)
        he_init(self)

    def features(self, osm: Tensor) -> Tensor:
        """Last maps before the scores, (N, C, H, W) → (N, width, H, W): the input of residual correction."""
        return self.block(osm)

    def forward(self, osm: Tensor) -> Tensor:
        """Logits, (N, in_channels, H, W) float32 → (N, num_classes, H, W)."""
        return self.score(self.features(osm))
