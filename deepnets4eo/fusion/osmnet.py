"""OSMNet: a coarse semantic map from OpenStreetMap layers, two convolutions and scores at full resolution.

Takes rasterised layers (see `deepnets4eo.fusion.rasterize_osm`); refuses widths below one.
After Audebert, Le Saux and Lefèvre, "Joint Learning from Earth Observation and OpenStreetMap Data", CVPRW 2017.
"""

from __future__ import annotations

import torch
from torch import nn

from deepnets4eo.errors import InputError


class OSMNet(nn.Module):
    """The first block of VGG-16 and a 3×3 score layer; it sees 7 × 7 pixels and keeps the resolution.

    in_channels : bands of the OSM raster. batch_norm : normalise after each convolution.
    width : channels of both convolutions, 64 as published (42,182 parameters for 3 → 6; 256 more with batch_norm).

    >>> network = OSMNet(3, 6)
    >>> sum(parameter.numel() for parameter in network.parameters())
    42182
    >>> network(torch.zeros(1, 3, 20, 30)).shape
    torch.Size([1, 6, 20, 30])
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
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def features(self, osm: torch.Tensor) -> torch.Tensor:
        """Last maps before the scores, (N, C, H, W) → (N, width, H, W): what residual correction takes."""
        return self.block(osm)

    def forward(self, osm: torch.Tensor) -> torch.Tensor:
        """Logits, (N, in_channels, H, W) float32 → (N, num_classes, H, W)."""
        return self.score(self.features(osm))
