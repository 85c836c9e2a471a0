"""Small random tensors under the names of published encoders, and what their published blocks make of tokens, written out."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

Tensors = dict[str, Tensor]
SIZES = {  # groups of Galileo and Presto → number of bands
    "S1": 2, "S2_RGB": 3, "S2_Red_Edge": 3, "S2_NIR_10m": 1, "S2_NIR_20m": 1, "S2_SWIR": 2, "NDVI": 1,
}  # fmt: skip
WIDTH = 32


def drawn(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> Tensors:
    """Small random tensors; gains of norms and scales of layers near 1."""
    made = torch.Generator().manual_seed(seed)
    gains = ("norm.weight", "norm1.weight", "norm2.weight", "gamma")
    return {
        name: (1 if name.endswith(gains) else 0) + 0.1 * torch.randn(shape, generator=made)
        for name, shape in shapes.items()
    }


def block(name: str, width: int, hidden: int, *, bias: bool = True) -> dict[str, tuple[int, ...]]:
    """Norms, output of the attention and the layer within a block, which most have."""
    layers = {"attn.proj": (width, width), "mlp.fc1": (hidden, width), "mlp.fc2": (width, hidden)}
    shapes: dict[str, tuple[int, ...]] = {
        f"{name}.{norm}.{key}": (width,) for norm in ("norm1", "norm2") for key in ("weight", "bias")
    }
    for layer, shape in layers.items():
        shapes |= {f"{name}.{layer}.weight": shape} | ({f"{name}.{layer}.bias": shape[:1]} if bias else {})
    return shapes


def blocks(*, apart: bool, width: int = WIDTH, prefix: str = "") -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {f"{prefix}norm.weight": (width,), f"{prefix}norm.bias": (width,)}
    for number in range(2):
        name = f"{prefix}blocks.{number}"
        shapes |= block(name, width, 4 * width)
        layers = [f"attn.{letter}" for letter in "qkv"] if apart else ["attn.qkv"]
        for layer in layers:
            rows = width if apart else 3 * width
            shapes |= {f"{name}.{layer}.weight": (rows, width), f"{name}.{layer}.bias": (rows,)}
    return shapes


def galileo(width: int = WIDTH) -> Tensors:
    shapes = blocks(apart=True, width=width)
    for group, count in SIZES.items():
        root = f"space_time_embed.{group}.proj"
        shapes |= {f"{root}.weight": (width, count, 8, 8), f"{root}.bias": (width,)}
    shapes |= {"space_embed.SRTM.proj.weight": (width, 2, 8, 8), "static_embed.LS.weight": (width, 1)}
    shapes |= {
        "s_t_channel_embed": (7, width // 4),
        "pos_embed": (24, width // 4),
        "month_embed.weight": (12, width // 4),
    }
    return drawn(shapes)


def presto(width: int = WIDTH) -> Tensors:
    shapes = blocks(apart=False, width=width, prefix="encoder.") | {"decoder.mask_token": (width,)}
    for group, count in (SIZES | {"ERA5": 2, "SRTM": 2}).items():
        root = f"encoder.eo_patch_embed.{group}"
        shapes |= {f"{root}.weight": (width, count), f"{root}.bias": (width,)}
    shapes |= {
        "encoder.latlon_embed.weight": (width, 3), "encoder.latlon_embed.bias": (width,), "encoder.pos_embed": (1, 24, width // 2),
        "encoder.month_embed.weight": (12, width // 4), "encoder.channel_embed.weight": (10, width // 4),
    }  # fmt: skip
    return drawn(shapes)


def through_blocks(tokens: Tensor, tensors: Tensors, prefix: str, depth: int, heads: int, eps: float) -> Tensor:
    """What published blocks make of tokens (1, n, D), written out."""

    def layer(values: Tensor, name: str) -> Tensor:
        return F.linear(values, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"))

    for number in range(depth):
        name = f"{prefix}{number}"
        values = F.layer_norm(
            tokens, tokens.shape[-1:], tensors[f"{name}.norm1.weight"], tensors[f"{name}.norm1.bias"], eps
        )
        if f"{name}.attn.q.weight" in tensors:
            parts = [layer(values, f"{name}.attn.{letter}") for letter in "qkv"]
        else:
            parts = [*layer(values, f"{name}.attn.qkv").chunk(3, dim=2)]
        query, key, value = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in parts)
        shares = (query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])).softmax(dim=3)
        tokens = tokens + layer((shares @ value).transpose(1, 2).flatten(2), f"{name}.attn.proj")
        values = F.layer_norm(
            tokens, tokens.shape[-1:], tensors[f"{name}.norm2.weight"], tensors[f"{name}.norm2.bias"], eps
        )
        inner = layer(values, f"{name}.mlp.fc1")
        gated = f"{name}.mlp.fc3.weight" in tensors
        inner = F.silu(inner) * layer(values, f"{name}.mlp.fc3") if gated else F.gelu(inner)
        tokens = tokens + layer(inner, f"{name}.mlp.fc2")
    return tokens


def waves(place: float, size: int) -> list[float]:
    speeds = [10_000 ** -(k / size / 2) for k in range(size // 2)]
    return [turn(place * speed) for turn in (math.sin, math.cos) for speed in speeds]
