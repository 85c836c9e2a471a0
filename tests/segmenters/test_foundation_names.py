"""Blocks of the transformers of others get into timm's, by one table of names; TerraMind's patches and positions too."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from deepnets4eo.segmenters import load_pretrained
from deepnets4eo.segmenters.terramind import SENTINEL_2

BLOCK = re.compile(r"blocks\.(\d+)\.(.*)")
CLAY = {
    "norm1": "0.norm", "attn.qkv": "0.to_qkv", "attn.proj": "0.to_out", "norm2": "1.net.0", "mlp.fc1": "1.net.1", "mlp.fc2": "1.net.3",
}  # fmt: skip
DECODER = {"decoder.layer.weight": torch.ones(3, 3)}


def vit(bands: int = 4) -> Any:
    return timm.create_model("test_vit", img_size=32, in_chans=bands, num_classes=0)


def without_bias(tensors: dict[str, Tensor], *layers: str) -> dict[str, Tensor]:
    return {name: value for name, value in tensors.items() if not name.endswith(tuple(f"{one}.bias" for one in layers))}


def clay(network: Any) -> dict[str, Tensor]:
    """Blocks as Clay 1.5 has them: no bias of the attention, and all under model.encoder."""
    tensors = without_bias(network.state_dict(), "attn.qkv", "attn.proj")
    named = {"model.encoder.cls_token": tensors["cls_token"]}
    for name, value in tensors.items():
        if match := BLOCK.fullmatch(name):
            layer, _, kind = match[2].rpartition(".")
            named[f"model.encoder.transformer.layers.{match[1]}.{CLAY[layer]}.{kind}"] = value
        elif name.startswith("norm."):
            named[f"model.encoder.transformer.{name}"] = value
    return named


def apart(network: Any, prefix: str) -> dict[str, Tensor]:
    """Blocks as Galileo and OlmoEarth have them: queries, keys and values each in a layer of its own."""
    named = {}
    for name, value in network.state_dict().items():
        if ".attn.qkv." in name:
            named |= {prefix + name.replace("qkv", one): part for one, part in zip("qkv", value.chunk(3), strict=True)}
        elif name.startswith(("blocks.", "norm.")):
            named[prefix + name] = value
    return named


def terramind(network: Any, prefix: str = "") -> dict[str, Tensor]:
    """The whole encoder as TerraMind 1.0 has it, with Sentinel-2 and radar, of blocks without biases."""
    torch.manual_seed(1)
    named = {}
    for name, value in without_bias(network.state_dict(), "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2").items():
        if name.startswith("blocks."):
            named[name.replace("blocks.", "encoder.")] = value
        elif name.startswith("norm."):
            named[f"encoder_{name}"] = value
    width = network.embed_dim
    for sensor, count in (("sen2l2a", 12), ("sen1grd", 2)):
        root = f"encoder_embeddings.untok_{sensor}@224."
        named |= {
            f"{root}proj.weight": torch.randn(width, 16 * 16 * count), f"{root}pos_emb": torch.randn(1, 4, width),
            f"{root}mod_emb": torch.randn(1, 1, width),
        }  # fmt: skip
    return {prefix + name: value for name, value in named.items()}


def test_blocks_of_clay_galileo_and_olmoearth_are_those_of_timm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = vit()
    files = {"clay": clay(theirs), "galileo": apart(theirs, ""), "olmoearth": apart(theirs, "encoder.")}
    tokens = torch.randn(2, 5, theirs.embed_dim)
    for name, tensors in files.items():
        ours = vit()
        save_file({key: value.clone() for key, value in (tensors | DECODER).items()}, tmp_path / f"{name}.safetensors")
        with caplog.at_level(logging.WARNING, "deepnets4eo"):
            report = load_pretrained(ours, tmp_path / f"{name}.safetensors", bands=["B04", "B03", "B02", "B08"])
        with torch.no_grad():
            expected = theirs
            if name == "clay":
                expected = vit()
                expected.load_state_dict(theirs.state_dict())
                for block in expected.blocks:
                    block.attn.qkv.bias.zero_()
                    block.attn.proj.bias.zero_()
            torch.testing.assert_close(ours.norm(ours.blocks(tokens)), expected.norm(expected.blocks(tokens)))
        assert set(report.missing) <= {"cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}
        assert report.left == ["decoder.layer.weight"]
        assert "random from the start: " in caplog.text, "patches and positions are said to be random"
        caplog.clear()


@pytest.mark.parametrize("prefix", ["", "model."])
def test_patches_and_positions_of_terramind_are_those_of_the_sensor(prefix: str, tmp_path: Path) -> None:
    theirs = vit()
    tensors = terramind(theirs, prefix)
    save_file({name: value.clone() for name, value in tensors.items()}, tmp_path / "terramind.safetensors")
    bands = {"sen2l2a": ["B04", "B8A", "B02"], "sen1grd": ["VV", "VH"]}
    for sensor, names in bands.items():
        ours = vit(len(names))
        report = load_pretrained(ours, tmp_path / "terramind.safetensors", bands=names)
        assert report.missing == []
        root = f"{prefix}encoder_embeddings.untok_{sensor}@224."
        known = list(SENTINEL_2) if sensor == "sen2l2a" else ["VV", "VH"]
        image = torch.randn(1, len(names), 32, 32)
        whole = torch.zeros(1, len(known), 32, 32)  # as they take it: all bands, those that we lack at their mean
        for index, name in enumerate(names):
            whole[:, known.index(name)] = image[:, index]
        patches = [
            whole[0, :, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16].permute(1, 2, 0).flatten()
            for row in (0, 1)
            for column in (0, 1)
        ]
        expected = torch.stack(patches) @ tensors[f"{root}proj.weight"].T * (len(known) / len(names))
        with torch.no_grad():
            torch.testing.assert_close(ours.patch_embed(image).reshape(4, -1), expected, rtol=1e-4, atol=1e-3)
        positions = tensors[f"{root}pos_emb"] + tensors[f"{root}mod_emb"]
        torch.testing.assert_close(ours.pos_embed[:, 1:], positions)
        assert not ours.cls_token.any()
        assert torch.equal(ours.blocks[1].mlp.fc1.weight, theirs.blocks[1].mlp.fc1.weight)
        assert not ours.blocks[1].mlp.fc1.bias.any()
