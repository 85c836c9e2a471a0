"""Patch embeddings that a network of the file makes for given wavelengths: DOFA (Xiong et al. 2024) and Copernicus-FM (Wang et al. 2025).

They are computed once, for the bands of a recipe; what remains is a plain vision transformer under the names of timm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from math import isqrt
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.rasters import spectral_bands

TOKENS = "weight_generator.weight_tokens"  # (128, width), a mark of both
GENERATOR = "weight_generator."
SPECTRAL, VARIABLE = "patch_embed_spectral.", "patch_embed_variable."  # of Copernicus-FM; the second is of words
PATCHES = "patch_embed."  # of DOFA, and of timm
UNKNOWN = ("coord", "scale", "time")  # Copernicus-FM has a learnt token for each that an image does not say
HEADS, SCALE = 4, 0.01
WIDTHS_NM = {
    "B01": 20, "B02": 65, "B03": 35, "B04": 30, "B05": 15, "B06": 15, "B07": 20, "B08": 115, "B8A": 20, "B09": 20, "B10": 30,
    "B11": 90, "B12": 180,
}  # fmt: skip
RADAR = ("VV", "VH", "HH", "HV")  # Copernicus-FM knows them, DOFA's wavelength of radar was not to be found
RADAR_NM, RADAR_WIDTH_NM = 5e7, 1e9  # of Copernicus-FM
Bands: TypeAlias = "Sequence[tuple[str, float | None]]"  # names and wavelengths
CENTRE_RANGE_NM, WIDTH_RANGE_NM = (100.0, 1e9), (1.0, 1e9)


def make_patches(tensors: Mapping[str, Tensor], bands: Sequence[str]) -> dict[str, Tensor] | None:
    """Return the tensors with a patch embedding for these bands, in place of the network that makes it. Errors:
    InputError for a network of another structure, and for numbers of bands that several satellites have.

    The result is None if a file has no such network, or a band has no known wavelength.
    """
    roots = [name.removesuffix(TOKENS) for name in tensors if name.endswith(TOKENS)]
    root = next((candidate for candidate in roots if candidate.endswith((SPECTRAL, PATCHES))), None)
    if root is None or not bands:
        return None
    named, spectral = spectral_bands(bands), root.endswith(SPECTRAL)
    if any(centre is None and not (spectral and name in RADAR) for name, centre in named):
        return None
    before = root.removesuffix(SPECTRAL).removesuffix(PATCHES)
    own = {name.removeprefix(root): value.float() for name, value in tensors.items() if name.startswith(root)}
    width = own[TOKENS].shape[1]
    try:
        with torch.no_grad():
            waves = _fourier_codes(named, width) if spectral else _sine_codes(named, width)
            weight, bias = _generate(own, _residual(own, waves))
            kept = {name: value for name, value in tensors.items() if not name.startswith((root, before + VARIABLE))}
            if spectral:
                kept = _without_place_and_date(kept, before)
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"the network under {root!r} that makes patches is not of DOFA or Copernicus-FM: {reason}. Save all tensors of the file."
        ) from error
    return kept | {f"{before}{PATCHES}proj.weight": weight, f"{before}{PATCHES}proj.bias": bias}


def generated_patch_px(tensors: Mapping[str, Tensor]) -> int | None:
    """Return the side of the patches that a network of the file makes, in pixels; None for other files."""
    if not any(name.endswith(TOKENS) for name in tensors):
        return None
    size = {name.rpartition(GENERATOR)[2]: len(value) for name, value in tensors.items() if value.ndim}
    return isqrt(size["fc_weight.weight"] // size["fc_bias.weight"])


def _sine_codes(named: Bands, width: int) -> Tensor:
    """Sines and cosines (B, width) of wavelengths in nm, as positions of words have them."""
    centres = torch.tensor([float(centre or RADAR_NM) for _, centre in named])
    speeds = 1 / 10_000 ** (torch.arange(width // 2) / (width / 2))
    angles = centres[:, None] * speeds
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _fourier_codes(named: Bands, width: int) -> Tensor:
    """Sum (B, width) of the codes of wavelengths and of bandwidths, with periods evenly spread in logarithms."""
    codes = torch.zeros(len(named), width, dtype=torch.float64)
    centres = [float(centre or RADAR_NM) for _, centre in named]
    widths = [float(WIDTHS_NM.get(name, RADAR_WIDTH_NM)) for name, _ in named]
    for nanometres, (low, high) in ((centres, CENTRE_RANGE_NM), (widths, WIDTH_RANGE_NM)):
        values = torch.tensor(nanometres, dtype=torch.float64)
        periods = torch.logspace(math.log10(low), math.log10(high), width // 2, dtype=torch.float64)
        angles = values[:, None] * (2 * math.pi / periods)
        codes += torch.cat([angles.sin(), angles.cos()], dim=1)
    return codes.float()


def _residual(own: Mapping[str, Tensor], codes: Tensor) -> Tensor:
    """Two layers around which the codes also go."""
    inner = F.relu(F.linear(codes, own["fclayer.w1.weight"], own["fclayer.w1.bias"]))
    return codes + F.relu(F.linear(inner, own["fclayer.w2.weight"], own["fclayer.w2.bias"]))


def _generate(own: Mapping[str, Tensor], waves: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (D, B, k, k) and bias (D,) of the patches, of waves (B, width)."""
    part = {name.removeprefix(GENERATOR): value for name, value in own.items() if name.startswith(GENERATOR)}
    layers = {name.split(".")[2] for name in part if name.startswith("transformer_encoder.layers.")}
    hidden = part["transformer_encoder.layers.0.linear1.weight"].shape[0]
    layer = nn.TransformerEncoderLayer(waves.shape[1], HEADS, hidden, dropout=0.0, activation="gelu")
    encoder = nn.TransformerEncoder(layer, len(layers), enable_nested_tensor=False).eval()
    prefix = "transformer_encoder."
    encoder.load_state_dict({name.removeprefix(prefix): part[name] for name in part if name.startswith(prefix)})
    tokens = part["weight_tokens"]
    seen = encoder(torch.cat([tokens, waves, part["bias_token"]]))
    weights = F.linear(seen[len(tokens) : -1] + waves, part["fc_weight.weight"], part["fc_weight.bias"])
    bias = F.linear(seen[-1], part["fc_bias.weight"], part["fc_bias.bias"])
    side = isqrt(weights.shape[1] // len(bias))
    return SCALE * weights.reshape(len(waves), side, side, len(bias)).permute(3, 0, 1, 2).contiguous(), SCALE * bias


def _without_place_and_date(tensors: Mapping[str, Tensor], before: str) -> dict[str, Tensor]:
    """Add the codes of unknown place, size and date to the positions, and remove the layers of place, size and date."""
    kept = dict(tensors)
    for name in UNKNOWN:
        token, weight, bias = (kept.pop(f"{before}{name}_{suffix}") for suffix in ("token", "fc.weight", "fc.bias"))
        kept[f"{before}pos_embed"] = kept[f"{before}pos_embed"] + F.linear(token.float(), weight.float(), bias.float())
    return kept
