"""Patches and positions of OlmoEarth 1.0 (Herzog et al. 2025), whose patches of a sensor are several tokens, one per group of bands.

Takes the published tensors, gives them under the names of timm, for the bands of a recipe. Refuses versions with other patches or positions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isqrt

import torch
from torch import Tensor

from deepnets4eo.errors import InputError
from deepnets4eo.rasters import spectral_bands

EMBEDDING = re.compile(r"(.*?)patch_embeddings\.per_modality_embeddings\.(\w+)\.\2__(\d+)\.(.+)")
GROUPS = {  # sensor in the file → its groups of bands
    "sentinel2_l2a": (("B02", "B03", "B04", "B08"), ("B05", "B06", "B07", "B8A", "B11", "B12"), ("B01", "B09")),
    "sentinel1": (("VV", "VH"),),
}
CHANNELS, MONTHS = "per_modality_channel_embeddings.", "month_embed.weight"
PATCH_PX = 8
SPEED = 10_000.0  # longest period of the positions


class GroupedPatches:
    """The groups of bands of one sensor in a file that have bands of a recipe: weights of their patches, and codes of the groups."""

    def __init__(self, tensors: Mapping[str, Tensor], bands: Sequence[str]) -> None:
        """Choose the sensor with most of the bands. Errors: InputError for files of other versions, and if no band is known."""
        matches = {match: value for name, value in tensors.items() if (match := EMBEDDING.fullmatch(name))}
        self.before = next(iter(matches))[1]
        self.wanted = [name for name, _ in spectral_bands(bands)]
        there = {match[2] for match in matches} & GROUPS.keys()
        known = {sensor: sum(map(set(sum(GROUPS[sensor], ())).__contains__, self.wanted)) for sensor in sorted(there)}
        sensor = max(known, key=lambda name: known[name], default="")
        if not known.get(sensor):
            raise InputError(
                f"the OlmoEarth file has patches of {', '.join(sorted(there)) or 'no sensor of images'}, none of the bands {', '.join(bands)}. "
                "Name bands as Sentinel-2 does (B02 … B12), by colours, or VV and VH: data.file_bands=[…]."
            )
        parts = {(int(match[3]), match[4]): value.float() for match, value in matches.items() if match[2] == sensor}
        count = 1 + max(number for number, _ in parts)
        groups = GROUPS[sensor] if count > 1 else (sum(GROUPS[sensor], ()),)
        odd = sorted({part for _, part in parts if not part.startswith("proj.")})
        if odd or count != len(groups) or any("rope" in name for name in tensors):
            raise InputError(
                f"the OlmoEarth file has {count} groups of {sensor} and {odd[0] if odd else 'other positions'}; expected version 1.0, which has plain "
                "patches and fixed positions; 1.1, 1.2 and 1.3 have others. Take a file of version 1.0."
            )
        self.groups = {
            number: group for number, group in enumerate(groups) if {*group} & {*self.wanted}
        }  # others would show nothing
        self.weights = {number: parts[number, "proj.weight"] for number in self.groups}
        self.biases = {number: parts[number, "proj.bias"] for number in self.groups}
        self.codes = tensors[f"{self.before}composite_encodings.{CHANNELS}{sensor}"].float()
        self.month = tensors[f"{self.before}composite_encodings.{MONTHS}"].float().mean(dim=0)  # of no known date

    def only_best(self) -> None:
        """Keep the group with most of the bands, for a network with one token a patch."""
        best = max(self.groups, key=lambda number: len({*self.groups[number]} & {*self.wanted}))
        self.groups = {best: self.groups[best]}

    def patches(self) -> tuple[Tensor, Tensor]:
        """Weights (G × D, B, 8, 8) and bias (G × D,) of all groups, zero where a group does not have a band."""
        weights = []
        for number, group in self.groups.items():
            weight = self.weights[number]
            if weight.ndim == 2:  # a layer of pixels, bands last
                side = isqrt(weight.shape[1] // len(group))
                weight = weight.reshape(len(weight), side, side, len(group)).permute(0, 3, 1, 2)
            wanted_weight = weight.new_zeros(len(weight), len(self.wanted), *weight.shape[2:])
            for index, name in enumerate(self.wanted):
                if name in group:
                    wanted_weight[:, index] = weight[:, group.index(name)]
            weights.append(wanted_weight)
        return torch.cat(weights), torch.cat([self.biases[number] for number in self.groups])

    def positions(self, side: int, step: float) -> Tensor:
        """Codes (1, G × side², D) of group, first date, unknown month and place; step : pixels of 10 m from patch to patch."""
        quarter = len(self.month)
        starts = torch.arange(side, dtype=torch.float32) * step
        across, down = (waves(axis.flatten(), quarter // 2) for axis in torch.meshgrid(starts, starts, indexing="xy"))
        first = waves(torch.zeros(1), quarter)[0]
        same = torch.cat([first, self.month]).expand(side * side, -1)
        rows = [
            torch.cat([self.codes[number].expand(side * side, -1), same, across, down], dim=1) for number in self.groups
        ]
        return torch.cat(rows)[None]


def is_olmoearth(names: Sequence[str]) -> bool:
    """Return whether the names of tensors belong to OlmoEarth with its patches."""
    return any(EMBEDDING.fullmatch(name) for name in names)


def grouped_patches(
    tensors: Mapping[str, Tensor], bands: Sequence[str], tokens: int, shape: Sequence[int], step: float | None = None
) -> dict[str, Tensor]:
    """Return the tensors of the encoder with patches and positions under the names of timm.

    tokens : of the network's positions; shape : of the network's patches (G × D, B, 8, 8), G 1 for a network with one token a patch
    """
    grouped = GroupedPatches(tensors, bands)
    width = 4 * len(grouped.month)
    if shape[0] == width:
        grouped.only_best()
    before = grouped.before
    kept = {
        name: value
        for name, value in tensors.items()
        if name.startswith(before)
        and not name.startswith((f"{before}patch_embeddings.", f"{before}composite_encodings."))
    }
    weight, bias = grouped.patches()
    kept |= {f"{before}patch_embed.proj.weight": weight, f"{before}patch_embed.proj.bias": bias}
    side = isqrt(tokens // len(grouped.groups))
    positions = grouped.positions(side, PATCH_PX if step is None else step)
    token = torch.zeros(
        1, tokens - positions.shape[1], width
    )  # a class token, if the network has one: OlmoEarth has none
    kept[f"{before}pos_embed"] = torch.cat([token, positions], dim=1)
    return kept | ({f"{before}cls_token": token[:, :1]} if token.shape[1] else {})


def waves(positions: Tensor, size: int) -> Tensor:
    """Sines and cosines (n, size) of positions, of periods up to a hundredth of the usual ones, as published."""
    speeds = SPEED ** (-torch.arange(size // 2) / (2 * size))
    angles = positions[:, None] * speeds
    return torch.cat([angles.sin(), angles.cos()], dim=1)
