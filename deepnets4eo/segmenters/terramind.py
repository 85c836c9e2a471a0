"""Patches and positions of TerraMind (Jakubik et al. 2025), which has one embedding a sensor, under the names of timm.

Tokens of a sensor get fixed positions and what marks the sensor; there is no class token, so that one here begins as zeros.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isqrt

import torch
from torch import Tensor

from deepnets4eo.errors import InputError
from deepnets4eo.rasters import COLOURS, spectral_bands

EMBEDDING = re.compile(r"(?:(.*)\.)?encoder_embeddings\.(untok_\w+)@\d+\.proj\.weight")
SENTINEL_2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
SENSORS = {  # name in the file → its bands; the first that has all bands of a recipe is taken, else the first
    "untok_sen2l2a": SENTINEL_2,
    "untok_sen2l1c": (*SENTINEL_2[:10], "B10", *SENTINEL_2[10:]),
    "untok_sen2rgb": tuple(name for name, _ in spectral_bands(COLOURS)),
    "untok_sen1grd": ("VV", "VH"),
    "untok_sen1rtc": ("VV", "VH"),
}


def sensor_patches(tensors: Mapping[str, Tensor], bands: Sequence[str]) -> tuple[dict[str, Tensor], list[str]] | None:
    """Return the tensors with one sensor's patches and positions instead of all sensors', and its bands; None for other files.

    Errors: InputError if the embedding does not fit its bands.
    """
    embeddings = {match[2]: name for name in tensors if (match := EMBEDDING.fullmatch(name)) and match[2] in SENSORS}
    if not embeddings:
        return None
    wanted = {name for name, _ in spectral_bands(bands)}
    there = [sensor for sensor in SENSORS if sensor in embeddings]
    sensor = next((candidate for candidate in there if wanted <= set(SENSORS[candidate])), there[0])
    root = embeddings[sensor].removesuffix("proj.weight")
    before = root.partition("encoder_embeddings.")[0]
    weight, names = tensors[f"{root}proj.weight"].float(), list(SENSORS[sensor])
    side = isqrt(weight.shape[1] // len(names))
    if side * side * len(names) != weight.shape[1]:
        raise InputError(
            f"{embeddings[sensor]} takes {weight.shape[1]} values of a patch, which are no squares of {len(names)} bands. Save all tensors of the file."
        )
    patches = weight.reshape(len(weight), side, side, len(names)).permute(0, 3, 1, 2).contiguous()
    kept = {name: value for name, value in tensors.items() if "encoder_embeddings." not in name}
    if f"{root}pos_emb" in tensors:
        positions = (tensors[f"{root}pos_emb"] + tensors[f"{root}mod_emb"]).float()
        token = torch.zeros_like(positions[:, :1])
        kept |= {f"{before}pos_embed": torch.cat([token, positions], dim=1), f"{before}cls_token": token}
    zeros = torch.zeros(len(weight))
    return kept | {f"{before}patch_embed.proj.weight": patches, f"{before}patch_embed.proj.bias": zeros}, names


def sensor_patch_px(tensors: Mapping[str, Tensor]) -> int | None:
    """Return the side of the patches of the first sensor in a file, in pixels; None for other files."""
    matches = ((EMBEDDING.fullmatch(name), value) for name, value in tensors.items())
    sides = [
        isqrt(value.shape[1] // len(SENSORS[match[2]])) for match, value in matches if match and match[2] in SENSORS
    ]
    return sides[0] if sides else None
