"""SuperPoint (DeTone et al., arXiv 1712.07629): key points and descriptors of a grey image, by one encoder with two heads.

Layers have the names and sizes of the published weights, which are for research only and no part of the toolbox.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CELL_PX = 8  # of the maps of both heads
WIDTHS = (64, 64, 128, 128)  # of the encoder's pairs of convolutions, with pooling between them
HEAD, DESCRIPTOR = 256, 256
MIN_SCORE, NEAREST_PX, BORDER_PX = 0.015, 4, 4


class SuperPoint(nn.Module):
    """The network; `forward` returns the scores of all pixels, and a descriptor a cell of 8 × 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        before = 1
        for number, width in enumerate(WIDTHS, 1):
            self.add_module(f"conv{number}a", nn.Conv2d(before, width, 3, padding=1))
            self.add_module(f"conv{number}b", nn.Conv2d(width, width, 3, padding=1))
            before = width
        self.convPa = nn.Conv2d(before, HEAD, 3, padding=1)
        self.convPb = nn.Conv2d(HEAD, CELL_PX**2 + 1, 1)  # the last one says that a cell has no point
        self.convDa = nn.Conv2d(before, HEAD, 3, padding=1)
        self.convDb = nn.Conv2d(HEAD, DESCRIPTOR, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, 1, h, w), 0 to 1, sides multiples of 8 → scores (N, 1, h, w), descriptors (N, 256, h/8, w/8) of length 1."""
        maps = images
        for number in range(1, len(WIDTHS) + 1):
            maps = maps if number == 1 else F.max_pool2d(maps, 2)
            for letter in "ab":
                maps = F.relu(self.get_submodule(f"conv{number}{letter}")(maps))
        chances = self.convPb(F.relu(self.convPa(maps))).softmax(dim=1)[:, :-1]
        descriptors = F.normalize(self.convDb(F.relu(self.convDa(maps))), dim=1)
        return F.pixel_shuffle(chances, CELL_PX), descriptors

    def find_points(self, image: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """Columns and rows (N, 2) of the pixels that score most within 4 pixels, the best first, and their descriptors (N, 256).

        Parameters
        ----------
        image : (1, 1, h, w), 0 to 1
        most : points, at most
        """
        height, width = image.shape[2:]
        scores, descriptors = self(F.pad(image, (0, -width % CELL_PX, 0, -height % CELL_PX), mode="replicate"))
        highest = F.max_pool2d(scores, 2 * NEAREST_PX + 1, 1, NEAREST_PX)
        inner = torch.zeros_like(scores, dtype=torch.bool)
        inner[:, :, BORDER_PX : height - BORDER_PX, BORDER_PX : width - BORDER_PX] = True
        rows, columns = torch.nonzero((inner & (scores == highest) & (scores >= MIN_SCORE))[0, 0], as_tuple=True)
        best = scores[0, 0, rows, columns].argsort(descending=True, stable=True)[:most]
        points = torch.stack([columns[best], rows[best]], dim=1).float()
        extent = torch.tensor(scores.shape[:1:-1], dtype=torch.float32)
        positions = ((points + 0.5) / extent * 2 - 1)[None, None]
        sampled = F.grid_sample(descriptors, positions, mode="bilinear", padding_mode="border", align_corners=False)
        return points, F.normalize(sampled[0, :, 0].T, dim=1)
