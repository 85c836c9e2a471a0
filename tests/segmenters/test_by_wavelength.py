"""DOFA and Copernicus-FM: patches for the bands of a recipe, beside a second computation of the published network."""

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from refusals import raises_naming
from safetensors.torch import save_file
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import load_pretrained

WIDTH, TOKENS, SIDE, BANDS = 16, 6, 16, ["red", "B03", "B8A", "B11"]


def vit(bands: int = len(BANDS)) -> Any:
    return timm.create_model("test_vit", img_size=32, in_chans=bands, num_classes=0)


def generator(dim: int) -> dict[str, Tensor]:
    """Random tensors under the names and in the shapes of the network that makes patches, of a small width."""
    torch.manual_seed(0)
    parts = {
        "fclayer.w1": nn.Linear(WIDTH, WIDTH), "fclayer.w2": nn.Linear(WIDTH, WIDTH),
        "weight_generator.fc_weight": nn.Linear(WIDTH, SIDE * SIDE * dim), "weight_generator.fc_bias": nn.Linear(WIDTH, dim),
        "weight_generator.transformer_encoder": nn.TransformerEncoder(
            nn.TransformerEncoderLayer(WIDTH, 4, 24), 1, enable_nested_tensor=False
        ),
    }  # fmt: skip
    tensors = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    tensors["weight_generator.weight_tokens"] = torch.randn(TOKENS, WIDTH)
    return tensors | {"weight_generator.bias_token": torch.randn(1, WIDTH)}


def patches(tensors: dict[str, Tensor], codes: Tensor) -> tuple[Tensor, Tensor]:
    """What the published network makes, written out: attention of four heads, normalised after each sum."""

    def layer(values: Tensor, name: str) -> Tensor:
        return F.linear(values, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    waves = codes + layer(layer(codes, "fclayer.w1").clamp(min=0), "fclayer.w2").clamp(min=0)
    own, block = "weight_generator.", "weight_generator.transformer_encoder.layers.0."
    rows = torch.cat([tensors[own + "weight_tokens"], waves, tensors[own + "bias_token"]])
    joint = rows @ tensors[block + "self_attn.in_proj_weight"].T + tensors[block + "self_attn.in_proj_bias"]
    queries, keys, values = (one.reshape(len(rows), 4, -1).transpose(0, 1) for one in joint.chunk(3, dim=1))
    mixed = (queries @ keys.transpose(1, 2) / math.sqrt(queries.shape[2])).softmax(dim=2) @ values
    for name, more in (
        ("norm1", lambda _: layer(mixed.transpose(0, 1).flatten(1), block + "self_attn.out_proj")),
        ("norm2", lambda one: layer(F.gelu(layer(one, block + "linear1")), block + "linear2")),
    ):
        weight, bias = (tensors[f"{block}{name}.{key}"] for key in ("weight", "bias"))
        rows = F.layer_norm(rows + more(rows), (WIDTH,), weight, bias)
    made = [layer(rows[TOKENS + k] + waves[k], own + "fc_weight").reshape(SIDE, SIDE, -1) for k in range(len(waves))]
    return 0.01 * torch.stack(made).permute(3, 0, 1, 2), 0.01 * layer(rows[-1], own + "fc_bias")


def sine(value: float) -> list[float]:
    half = WIDTH // 2
    return [turn(value / 10_000 ** (k / half)) for turn in (math.sin, math.cos) for k in range(half)]


def fourier(value: float, low: float, high: float) -> list[float]:
    half = WIDTH // 2
    periods = [low * (high / low) ** (k / (half - 1)) for k in range(half)]
    return [turn(2 * math.pi * value / period) for turn in (math.sin, math.cos) for period in periods]


def transformer(network: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if not name.startswith(("patch_embed", "norm"))}


@pytest.mark.parametrize("prefix", ["", "encoder."])
def test_the_patches_of_dofa_are_made_for_the_bands_of_the_recipe(
    prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs, ours = vit(), vit()
    made = generator(theirs.embed_dim)
    tensors = transformer(theirs) | {f"patch_embed.{name}": value for name, value in made.items()}
    save_file({prefix + name: value for name, value in tensors.items()}, tmp_path / "dofa.safetensors")
    with caplog.at_level(logging.INFO, "deepnets4eo"):
        report = load_pretrained(ours, tmp_path / "dofa.safetensors", bands=BANDS)
    weight, bias = patches(made, torch.tensor([sine(centre) for centre in (665, 560, 865, 1614)]))
    torch.testing.assert_close(ours.patch_embed.proj.weight, weight)
    torch.testing.assert_close(ours.patch_embed.proj.bias, bias)
    assert torch.equal(ours.blocks[0].attn.qkv.weight, theirs.blocks[0].attn.qkv.weight)
    assert report.missing == ["norm.weight", "norm.bias"]
    assert report.left == []
    assert "patch_embed.proj.weight made for red, B03, B8A, B11 by wavelength" in caplog.text


def test_copernicus_fm_adds_bandwidths_and_what_stands_for_an_unknown_place_and_date(tmp_path: Path) -> None:
    theirs, ours = vit(), vit()
    dim, made = theirs.embed_dim, generator(theirs.embed_dim)
    tensors = transformer(theirs) | {f"patch_embed_spectral.{name}": value for name, value in made.items()}
    tensors |= {f"patch_embed_variable.{name}": value + 1 for name, value in made.items()}
    added = torch.zeros(1, 1, dim)
    for name in ("coord", "scale", "time"):
        dense, token = nn.Linear(dim, dim), torch.randn(1, 1, dim)
        tensors |= {f"{name}_fc.{key}": value for key, value in dense.state_dict().items()} | {f"{name}_token": token}
        added = added + dense(token).detach()
    save_file(tensors, tmp_path / "copernicus.safetensors")
    report = load_pretrained(ours, tmp_path / "copernicus.safetensors", bands=["B04", "B03", "B8A", "VV"])
    codes = [
        [one + two for one, two in zip(fourier(centre, 100, 1e9), fourier(width, 1, 1e9), strict=True)]
        for centre, width in ((665, 30), (560, 35), (865, 20), (5e7, 1e9))
    ]
    weight, bias = patches(made, torch.tensor(codes))
    torch.testing.assert_close(ours.patch_embed.proj.weight, weight, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(ours.patch_embed.proj.bias, bias, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(ours.pos_embed, theirs.pos_embed + added)
    assert report.left == []


def test_numbers_of_landsat_have_the_wavelengths_of_landsat(tmp_path: Path) -> None:
    theirs, ours = vit(), vit()
    made = generator(theirs.embed_dim)
    tensors = transformer(theirs) | {f"patch_embed.{name}": value for name, value in made.items()}
    save_file(tensors, tmp_path / "dofa.safetensors")
    load_pretrained(ours, tmp_path / "dofa.safetensors", bands=["SR_B4", "SR_B3", "SR_B5", "SR_B6"])
    weight, _ = patches(made, torch.tensor([sine(centre) for centre in (665, 560, 865, 1614)]))
    torch.testing.assert_close(ours.patch_embed.proj.weight, weight)
    with raises_naming(InputError, "B5", "Sentinel-2", "Landsat"):
        load_pretrained(vit(), tmp_path / "dofa.safetensors", bands=["B3", "B4", "B5", "B6"])


@pytest.mark.parametrize("band", ["height", "VV"])
def test_a_band_without_a_wavelength_leaves_patches_random_with_a_warning(
    band: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs, ours = vit(), vit()
    made = {f"patch_embed.{name}": value for name, value in generator(theirs.embed_dim).items()}
    save_file(transformer(theirs) | made, tmp_path / "dofa.safetensors")
    report = load_pretrained(ours, tmp_path / "dofa.safetensors", bands=["B04", "B03", "B02", band])
    assert {"patch_embed.proj.weight", "patch_embed.proj.bias"} <= set(report.missing)
    assert "random from the start: " in caplog.text


def test_a_network_of_another_structure_is_refused(tmp_path: Path) -> None:
    theirs = vit()
    made = {f"patch_embed.{name}": value for name, value in generator(theirs.embed_dim).items()}
    del made["patch_embed.fclayer.w2.bias"]
    save_file(transformer(theirs) | made, tmp_path / "dofa.safetensors")
    with raises_naming(InputError, "DOFA"):
        load_pretrained(vit(), tmp_path / "dofa.safetensors", bands=BANDS)
