"""ConvLSTM over radar dates (Shi et al., NeurIPS 2015): convolutions that remember, from the oldest date to the flood.

Takes the bands of all dates one after the other, the oldest first; returns logits of the image's size.
Refuses a number of bands that the dates do not share equally.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError

GATES = 4  # each is normalised for itself
SLOPE = 0.2  # of the rectifier below 0


class ConvLSTMCell(nn.Module):
    """One step in time: 3 × 3 convolutions of the maps (N, C, H, W) and of what was put out before decide what is forgotten,
    stored and put out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gates = nn.Sequential(
            nn.Conv2d(2 * channels, GATES * channels, 3, padding=1), nn.GroupNorm(GATES, GATES * channels)
        )

    def forward(self, maps: Tensor, output: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Update output and memory, all (N, C, H, W) · returns : output and memory after this date."""
        gates = self.gates(torch.cat([maps, output], dim=1)).unflatten(1, (GATES, maps.shape[1]))
        # by index, since the split of a tensor becomes a sequence in ONNX
        store, forget, put_out, new = (gates[:, number] for number in range(GATES))
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(store) * torch.tanh(new)
        return torch.sigmoid(put_out) * torch.tanh(memory), memory


class ConvLSTM(nn.Module):
    """A pyramid of ConvLSTM cells over dates; each level's output at the last date is decoded together with the last image.

    The published network of Kuro Siwo is larger (5 × 5 cells of 64 to 96 channels, and cells in the decoder).

    Parameters
    ----------
    in_channels : bands of all dates together, the oldest date first
    num_classes : 3: dry, permanent water and flood
    dates : number of dates
    widths : channels of the levels; each level is half as fine as the one before

    Raises
    ------
    InputError
        If the bands cannot be divided evenly among the dates.

    Examples
    --------
    >>> network = ConvLSTM(6, 3)  # VV and VH of three dates
    >>> sum(parameter.numel() for parameter in network.parameters())
    469753
    """

    def __init__(
        self, in_channels: int, num_classes: int = 3, *, dates: int = 3, widths: Sequence[int] = (16, 32, 64)
    ) -> None:
        super().__init__()
        if in_channels < dates or in_channels % dates:
            raise InputError(
                f"conv-lstm got {in_channels} bands for {dates} dates; give all dates the same bands, the oldest date first, or "
                "set model.options.dates."
            )
        self.dates, self.bands = dates, in_channels // dates
        bands = self.bands
        widths = tuple(widths)
        self.halves = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.LeakyReLU(SLOPE))
            for before, after in zip((bands, *widths), widths, strict=False)
        )
        self.cells = nn.ModuleList(ConvLSTMCell(width) for width in widths)
        below = (*(2 * width for width in widths[:-1]), widths[-1])  # what comes from below, and the level's output
        self.doubles = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE))
            for before, after in zip(below, (widths[0], *widths), strict=False)
        )
        self.head = nn.Conv2d(widths[0] + bands, num_classes, 3, padding=1)

    def forward(self, dates: Tensor) -> Tensor:
        """Compute logits (N, K, H, W). dates : (N, dates, bands, H, W) float32, or their bands joined, standardised."""
        dates = dates.flatten(1, 2) if dates.ndim == 5 else dates
        images = [dates[:, start : start + self.bands] for start in range(0, dates.shape[1], self.bands)]
        sequence, levels = images, []
        for halve, cell in zip(self.halves, self.cells, strict=True):
            sequence = self._remember(cell, [halve(maps) for maps in sequence])
            levels.append(sequence[-1])
        decoded = levels.pop()
        for double, finer in zip(list(self.doubles)[:0:-1], reversed(levels), strict=True):
            decoded = torch.cat([_fit(double(decoded), finer), finer], dim=1)
        decoded = _fit(self.doubles[0](decoded), images[-1])
        logits: Tensor = self.head(torch.cat([decoded, images[-1]], dim=1))
        return logits

    @staticmethod
    def _remember(cell: nn.Module, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the output of a cell after each date, each (N, C, h, w)."""
        output = memory = torch.zeros_like(maps[0])
        outputs = []
        for of_date in maps:
            output, memory = cell(of_date, output, memory)
            outputs.append(output)
        return outputs


def _fit(maps: Tensor, finer: Tensor) -> Tensor:
    """Crop the surplus row or column of maps if a side of the finer maps is odd."""
    return maps if maps.shape[2:] == finer.shape[2:] else maps[..., : finer.shape[2], : finer.shape[3]]
