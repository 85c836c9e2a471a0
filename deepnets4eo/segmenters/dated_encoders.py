"""Encoders of Earth observation that know the month: Galileo (Tseng et al. 2025), and Presto (Tseng et al. 2023), which sees single pixels.

Takes the published tensors; returns a network for the bands of a recipe or image. Bands are standardised: 0 is their published mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.arrays import Floats
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import spectral_bands
from deepnets4eo.segmenters.olmoearth import waves

GALILEO, PRESTO = "galileo", "presto"
MARKS = {"space_time_embed.S2_RGB.proj.weight": GALILEO, "eo_patch_embed.S2_RGB.weight": PRESTO}
GROUPS = {  # of both files → the bands whose values are one token
    "S1": ("VV", "VH"), "S2_RGB": ("B02", "B03", "B04"), "S2_Red_Edge": ("B05", "B06", "B07"), "S2_NIR_10m": ("B08",),
    "S2_NIR_20m": ("B8A",), "S2_SWIR": ("B11", "B12"), "NDVI": ("NDVI",),
}  # fmt: skip
CODE_OF_GROUP = {  # row of the codes of groups in each file; Presto has two groups of others before NDVI
    GALILEO: dict(zip(GROUPS, range(7), strict=True)),
    PRESTO: dict(zip(GROUPS, (0, 1, 2, 3, 4, 5, 8), strict=True)),
}
PUBLISHED = {  # mean and deviation of Galileo's training data: decibels of radar, reflectance times 10,000
    "VV": (-11.7287, 4.8871), "VH": (-18.8556, 5.7303), "B02": (1395.341, 917.704), "B03": (1338.403, 913.299),
    "B04": (1343.099, 1092.679), "B05": (1543.861, 1047.221), "B06": (2186.202, 1048.010), "B07": (2525.093, 1143.690),
    "B08": (2410.338, 1098.979), "B8A": (2750.285, 1204.473), "B11": (2234.911, 1145.977), "B12": (1474.531, 980.243),
}  # fmt: skip
RADAR_SHIFT, REFLECTANCE = 25.0, 10_000.0  # of Presto's scaling
MAX_CELLS = 16  # along a side of an image that Presto describes by one vector: it computes each by itself
PIXELS_AT_ONCE = 8192
MONTHS = 12


def dated_kind(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the kind of encoder and what precedes its names in a file; None for other files."""
    for name in names:
        for mark, kind in MARKS.items():
            if name == mark or name.endswith(f".{mark}"):
                return kind, name.removesuffix(mark)
    return None


@dataclass(frozen=True)
class DatedTensors:
    """The tensors of Galileo or Presto, for these bands.

    before : what precedes the published names in the file
    """

    kind: str
    tensors: Mapping[str, Tensor]
    before: str
    bands: tuple[str, ...]

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], bands: Sequence[str]) -> DatedTensors | None:
        """Return the tensors for bands by name or colour; None for other files. Raises InputError if the encoder knows no band."""
        kind = dated_kind([*tensors])
        if kind is None:
            return None
        made = cls(kind[0], tensors, kind[1], tuple(name for name, _ in spectral_bands(bands)))
        if not made.groups:
            raise InputError(
                f"the {kind[0].capitalize()} file knows none of the bands {', '.join(bands)}. Name bands as Sentinel-2 does (B02 … B12), by "
                "colours, or VV and VH: data.file_bands=[…]."
            )
        return made

    def _tensor(self, name: str) -> Tensor:
        return self.tensors[f"{self.before}{name}"].float()

    @cached_property
    def pair(self) -> tuple[int, int] | None:
        """The bands, from 0, of red and near infrared; None if one of them is missing."""
        nir = next((name for name in ("B08", "B8A") if name in self.bands), None)
        return None if nir is None or "B04" not in self.bands else (self.bands.index("B04"), self.bands.index(nir))

    @cached_property
    def groups(self) -> list[str]:
        """The groups that have some of the bands, in the order of the file."""
        there = {*self.bands} | (set() if self.pair is None else {"NDVI"})
        return [group for group, names in GROUPS.items() if {*names} & there]

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return sum(f"{self.before}blocks.{number}.norm1.weight" in self.tensors for number in range(len(self.tensors)))

    @property
    def hidden(self) -> int:
        """Width of the layer within each block."""
        return len(self._tensor("blocks.0.mlp.fc1.weight"))

    @property
    def width(self) -> int:
        """Width of the tokens."""
        return len(self._tensor("norm.weight"))

    def _patch(self, group: str) -> tuple[Tensor, Tensor]:
        """Weights (D, bands of the group, k, k) and bias (D,) of a group, for published values."""
        root = f"space_time_embed.{group}.proj" if self.kind == GALILEO else f"eo_patch_embed.{group}"
        weight = self._tensor(f"{root}.weight")
        return (weight if weight.ndim == 4 else weight[:, :, None, None]), self._tensor(f"{root}.bias")

    @property
    def patch_px(self) -> int:
        """Side of the patches, in pixels."""
        return int(self._patch(self.groups[0])[0].shape[-1])

    def _scale(self, band: str) -> tuple[float, float]:
        """Factor and shift that turn a standardised value of a band into the value that the file was trained with."""
        if band == "NDVI":
            return 1.0, 0.0
        if self.kind == GALILEO:  # from two deviations below the mean to two above it
            return 0.25, 0.5
        mean, deviation = PUBLISHED[band]
        shift, unit = (RADAR_SHIFT, RADAR_SHIFT) if band in GROUPS["S1"] else (0.0, REFLECTANCE)
        return deviation / unit, (mean + shift) / unit

    def state(self, step: float) -> dict[str, Tensor]:
        """Return the state of a `DatedEncoder`; step : from patch to patch, in pixels of 10 m."""
        weights, biases = [], []
        channels = [*self.bands, "NDVI"] if self.pair else [*self.bands]
        for group in self.groups:
            weight, bias = self._patch(group)
            ours = weight.new_zeros(len(weight), len(channels), *weight.shape[2:])
            for index, name in enumerate(GROUPS[group]):
                factor, shift = self._scale(name)
                if name in channels:
                    ours[:, channels.index(name)] = factor * weight[:, index]
                bias = bias + shift * weight[:, index].sum(
                    dim=(1, 2)
                )  # also of bands that lack: they are at their mean
            weights.append(ours)
            biases.append(bias)
        state = {"patches.weight": torch.cat(weights), "patches.bias": torch.cat(biases), "step": torch.tensor(step)}
        if self.pair:
            pick, means = torch.zeros(2, len(self.bands), 1, 1), torch.zeros(2)
            for row, index in enumerate(self.pair):
                means[row], pick[row, index, 0, 0] = PUBLISHED[self.bands[index]]
            state |= {"red_and_nir.weight": pick, "red_and_nir.bias": means}
        return state | self._codes() | self._blocks()

    def _codes(self) -> dict[str, Tensor]:
        """Codes of groups, of months and of the first date, and Presto's token of an unknown place."""
        rows = [CODE_OF_GROUP[self.kind][group] for group in self.groups]
        months = self._tensor("month_embed.weight")
        months = torch.cat([months.mean(dim=0, keepdim=True), months])  # the first is of no known month
        galileo, width = self.kind == GALILEO, months.shape[1]
        groups = self._tensor("s_t_channel_embed" if galileo else "channel_embed.weight")[rows]
        first = self._tensor("pos_embed").flatten(0, -2)[0]  # of the first date
        codes, of_months = torch.zeros(len(rows), self.width), torch.zeros(len(months), self.width)
        start = 0 if galileo else width  # Galileo: group, date, month, place; Presto: month, group, date
        end = start + groups.shape[1]
        codes[:, start:end], codes[:, end : end + len(first)] = groups, first
        month_at = end + len(first) if galileo else 0
        of_months[:, month_at : month_at + width] = months
        position = {} if self.kind == GALILEO else {"unknown_position": self._tensor("latlon_embed.bias")[None]}
        return {"codes": codes, "months": of_months} | position

    def _blocks(self) -> dict[str, Tensor]:
        """Blocks and last norm under the names of timm."""
        state = {}
        for number in range(self.depth):
            root = f"blocks.{number}."
            for part in ("weight", "bias"):
                if f"{self.before}{root}attn.q.{part}" in self.tensors:
                    state[f"{root}attn.qkv.{part}"] = torch.cat(
                        [self._tensor(f"{root}attn.{letter}.{part}") for letter in "qkv"]
                    )
                else:
                    state[f"{root}attn.qkv.{part}"] = self._tensor(f"{root}attn.qkv.{part}")
                for layer in ("norm1", "norm2", "attn.proj", "mlp.fc1", "mlp.fc2"):
                    state[f"{root}{layer}.{part}"] = self._tensor(f"{root}{layer}.{part}")
        return state | {f"norm.{part}": self._tensor(f"norm.{part}") for part in ("weight", "bias")}


class DatedEncoder(nn.Module):
    """Galileo's or Presto's encoder of one date, (N, C, H, W) of standardised bands → (N, D), the mean of its tokens.

    month : 1 to 12, of the images; None: unknown, the mean of all months
    """

    def __init__(
        self, kind: str, in_channels: int, *, groups: int, width: int, depth: int, heads: int, hidden: int, patch_px: int, ndvi: bool,
    ) -> None:  # fmt: skip
        from timm.models.vision_transformer import Block

        super().__init__()
        self.kind, self.patch_px, self.month = kind, patch_px, None
        self.groups = groups
        self.patches = nn.Conv2d(in_channels + ndvi, groups * width, patch_px, patch_px)
        self.red_and_nir = nn.Conv2d(in_channels, 2, 1) if ndvi else None
        self.codes = nn.Parameter(torch.zeros(groups, width))
        self.months = nn.Parameter(torch.zeros(1 + MONTHS, width))
        self.unknown_position = nn.Parameter(torch.zeros(1, width)) if kind == PRESTO else None
        self.step: Tensor
        self.register_buffer("step", torch.tensor(float(patch_px)))
        ratio = (hidden + 0.5) / width
        self.blocks = nn.Sequential(
            *(Block(width, heads, ratio, qkv_bias=True, norm_layer=nn.LayerNorm) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)

    month: int | None

    def forward(self, images: Tensor) -> Tensor:
        """Return the mean of the tokens. images : (N, C, H, W) → (N, D)"""
        if self.kind == PRESTO:
            height, width = images.shape[2:]
            images = F.adaptive_avg_pool2d(images, (min(height, MAX_CELLS), min(width, MAX_CELLS)))
        elif min(images.shape[2:]) < self.patch_px:
            images = F.interpolate(images, [max(side, self.patch_px) for side in images.shape[2:]], mode="bicubic")
        return self.maps(images).mean(dim=(2, 3))

    def maps(self, images: Tensor, month: int | None = None) -> Tensor:
        """Return the means of the tokens of each patch. images : (N, C, H, W) → (N, D, H / patch, W / patch)"""
        if self.red_and_nir is not None:
            red, nir = self.red_and_nir(images).split(1, dim=1)
            images = torch.cat([images, (nir - red) / (nir + red).clamp(min=1)], dim=1)
        tokens = self.patches(images).unflatten(1, (self.groups, -1)).permute(0, 3, 4, 1, 2)  # (N, h, w, G, D)
        tokens = tokens + self.codes + self.months[month or self.month or 0]
        if self.kind == PRESTO:
            pixels = tokens.flatten(0, 2).split(PIXELS_AT_ONCE)
            made = torch.cat([self._of_pixels(part) for part in pixels])
            return made.unflatten(0, tokens.shape[:3]).permute(0, 3, 1, 2)
        tokens = tokens + self._positions(tokens.shape[1], tokens.shape[2])[:, :, None]
        made = self.norm(self.blocks(tokens.flatten(1, 3))).unflatten(1, tokens.shape[1:4]).mean(dim=3)
        return made.permute(0, 3, 1, 2)

    def _of_pixels(self, tokens: Tensor) -> Tensor:
        """Vectors (n, D) of the tokens (n, G, D) of pixels and the token of an unknown place."""
        assert self.unknown_position is not None
        position = self.unknown_position.expand(len(tokens), 1, -1)
        return self.norm(self.blocks(torch.cat([position, tokens], dim=1)).mean(dim=1))

    def _positions(self, height: int, width: int) -> Tensor:
        """Codes (height, width, D) of the places of patches, in the last quarter: across, then down."""
        eighth = self.codes.shape[1] // 8
        down, across = (
            waves(torch.arange(side, device=self.codes.device) * self.step, eighth) for side in (height, width)
        )
        codes = torch.zeros(height, width, self.codes.shape[1], device=self.codes.device)
        codes[:, :, -2 * eighth : -eighth] = across
        codes[:, :, -eighth:] = down[:, None]
        return codes


def published_scaling(bands: Sequence[str]) -> tuple[Floats, Floats]:
    """Return published mean and deviation of bands (C,), in decibels or reflectance times 10,000; 0 and 1 of unknown bands."""
    values = [PUBLISHED.get(name, (0.0, 1.0)) for name, _ in spectral_bands(bands)]
    mean, deviation = np.array(values, np.float64).T
    return mean, deviation
