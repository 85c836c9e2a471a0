"""Files of the encoders of others, in the shapes of their published configurations with fewer blocks: one key trains on their features.

Names and shapes: DINOv3 ViT-S/16 (dinov3/hub/backbones.py), OlmoEarth 1.0 nano and tiny (olmoearth_pretrain_v1.py, flexi_vit.py), TerraMind 1.0
(terramind_register.py, encoder_embeddings.py, tm_utils.py), Copernicus-FM (model_vit.py, dynamic_hypernetwork.py), all read in 2026.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from encoder_tensors import Tensors, block, drawn, galileo, presto, through_blocks, waves
from refusals import raises_naming
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from deepnets4eo.classification.frozen import FrozenImages
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import TransformerSizes, load_pretrained, load_run
from deepnets4eo.training import train

S2 = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
GROUPS = (["B02", "B03", "B04", "B08"], ["B05", "B06", "B07", "B8A", "B11", "B12"], ["B01", "B09"])


def dinov3(depth: int = 2) -> Tensors:
    width = 384
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width), "storage_tokens": (1, 4, width), "mask_token": (1, width), "norm.weight": (width,), "norm.bias": (width,),
        "patch_embed.proj.weight": (width, 3, 16, 16), "patch_embed.proj.bias": (width,), "rope_embed.periods": (16,),
    }  # fmt: skip
    for number in range(depth):
        name = f"blocks.{number}"
        shapes |= block(name, width, 4 * width) | {
            f"{name}.attn.qkv.weight": (3 * width, width),
            f"{name}.attn.qkv.bias": (3 * width,),
        }
        shapes |= {f"{name}.ls1.gamma": (width,), f"{name}.ls2.gamma": (width,)}
    tensors = drawn(shapes)
    for number in range(depth):  # of keys, which are masked
        tensors[f"blocks.{number}.attn.qkv.bias"][width : 2 * width] = 0
    return tensors


def olmoearth(width: int = 128, *, linear: bool = False) -> Tensors:
    """Of nano four blocks, of others one; with a decoder of the same shapes, as published."""
    quarter = width // 4
    shapes: dict[str, tuple[int, ...]] = {"encoder.norm.weight": (width,), "encoder.norm.bias": (width,)}
    for part in ("encoder", "decoder"):
        for number in range(4 if width == 128 else 1):
            name = f"{part}.blocks.{number}"
            shapes |= block(name, width, 4 * width)
            shapes |= {
                f"{name}.attn.{letter}.{key}": size
                for letter in "qkv"
                for key, size in (("weight", (width, width)), ("bias", (width,)))
            }
    for sensor, counts in (("sentinel2_l2a", (4, 6, 2)), ("sentinel1", (2,)), ("landsat", (1, 10))):
        for number, bands in enumerate(counts):
            root = f"encoder.patch_embeddings.per_modality_embeddings.{sensor}.{sensor}__{number}.proj"
            shapes |= {
                f"{root}.weight": (width, bands * 64) if linear else (width, bands, 8, 8),
                f"{root}.bias": (width,),
            }
        shapes |= {f"encoder.composite_encodings.per_modality_channel_embeddings.{sensor}": (len(counts), quarter)}
    tensors = drawn(shapes | {"encoder.composite_encodings.pos_embed": (12, quarter)})
    angles = torch.arange(12)[:, None].expand(12, quarter // 2) * (math.pi / 6)
    return tensors | {"encoder.composite_encodings.month_embed.weight": torch.cat([angles.sin(), angles.cos()], dim=1)}


def terramind() -> Tensors:
    """Of its tiny width: blocks with gates and without biases, layers of two sensors."""
    width, hidden = 192, 512
    shapes: dict[str, tuple[int, ...]] = {"encoder_norm.weight": (width,), "encoder_norm.bias": (width,)}
    for number in range(2):
        name = f"encoder.{number}"
        shapes |= block(name, width, hidden, bias=False)
        shapes |= {f"{name}.attn.qkv.weight": (3 * width, width), f"{name}.mlp.fc3.weight": (hidden, width)}
    for sensor, bands in (("sen2l2a", 12), ("sen1grd", 2)):
        root = f"encoder_embeddings.untok_{sensor}@224."
        shapes |= {
            f"{root}proj.weight": (width, 256 * bands),
            f"{root}pos_emb": (1, 196, width),
            f"{root}mod_emb": (1, 1, width),
        }
    tensors = drawn(shapes)
    return {
        name: torch.zeros_like(value) if name.endswith(("norm1.bias", "norm2.bias", "norm.bias")) else value
        for name, value in tensors.items()
    }


def copernicus() -> Tensors:
    """Of a width of 64 and waves of 128: two networks that make patches, and layers of place, size and date."""
    width, waves = 64, 128
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width), "pos_embed": (1, 197, width), "fc_norm.weight": (width,), "fc_norm.bias": (width,)
    }  # fmt: skip
    for part in ("coord", "scale", "time"):
        shapes |= {f"{part}_fc.weight": (width, width), f"{part}_fc.bias": (width,), f"{part}_token": (1, 1, width)}
    for number in range(2):
        name = f"blocks.{number}"
        shapes |= block(name, width, 4 * width) | {
            f"{name}.attn.qkv.weight": (3 * width, width),
            f"{name}.attn.qkv.bias": (3 * width,),
        }
    for root in ("patch_embed_spectral.", "patch_embed_variable."):
        layer = f"{root}weight_generator.transformer_encoder.layers.0."
        shapes |= {
            f"{root}weight_generator.weight_tokens": (128, waves),
            f"{root}weight_generator.bias_token": (1, waves),
        }
        for name, rows, columns in (
            (f"{root}weight_generator.fc_weight", 256 * width, waves), (f"{root}weight_generator.fc_bias", width, waves),
            (f"{root}fclayer.w1", waves, waves), (f"{root}fclayer.w2", waves, waves), (f"{layer}self_attn.out_proj", waves, waves),
            (f"{layer}linear1", 2048, waves), (f"{layer}linear2", waves, 2048),
        ):  # fmt: skip
            shapes |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
        shapes |= {
            f"{layer}self_attn.in_proj_weight": (3 * waves, waves),
            f"{layer}self_attn.in_proj_bias": (3 * waves,),
        }
        shapes |= {f"{layer}{norm}.{key}": (waves,) for norm in ("norm1", "norm2") for key in ("weight", "bias")}
    return drawn(shapes)


FILES = {
    "dinov3": dinov3, "olmoearth": olmoearth, "terramind": terramind, "copernicus": copernicus, "galileo": galileo, "presto": presto,
}  # fmt: skip


def features_of(path: Path, tensors: Tensors, bands: list[str], images: Tensor, **options) -> Tensor:
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    sizes = TransformerSizes.of_file(path, bands).to_dict()
    assert json.loads(json.dumps(sizes)) == sizes, "the card of a run keeps it"
    network = FrozenImages(
        len(bands), 2, weights=str(path), bands=bands, patch_px=images.shape[2], transformer=sizes, **options
    )
    with torch.no_grad():
        return network.eval().features(images)


def assert_are_means(given: Tensor, tokens: Tensor, tensors: Tensors, norm: str, eps: float) -> None:
    """Features are the means of the normalised tokens of the last block."""
    weight, bias = (tensors[f"{norm}.{part}"] for part in ("weight", "bias"))
    expected = F.layer_norm(tokens, weight.shape, weight, bias, eps).mean(dim=1)
    torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("linear", [False, True])
def test_olmoearth_gives_each_group_of_bands_its_tokens(linear: bool, tmp_path: Path) -> None:
    tensors = olmoearth(linear=linear)
    bands, images = ["B04", "B03", "B02", "B12", "height"], torch.randn(1, 5, 16, 16)
    tokens = []
    for group in (0, 1):  # none of the third has an image here
        whole = torch.zeros(1, len(GROUPS[group]), 16, 16)
        for index, band in enumerate(bands):
            if band in GROUPS[group]:
                whole[:, GROUPS[group].index(band)] = images[:, index]
        root = f"encoder.patch_embeddings.per_modality_embeddings.sentinel2_l2a.sentinel2_l2a__{group}.proj"
        code = tensors["encoder.composite_encodings.per_modality_channel_embeddings.sentinel2_l2a"][group]
        for row in (0, 1):
            for column in (0, 1):
                patch = whole[0, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
                weight = tensors[f"{root}.weight"]
                seen = weight @ patch.permute(1, 2, 0).flatten() if linear else (weight * patch).sum((1, 2, 3))
                first_date = [0.0] * 16 + [1.0] * 16
                place = waves(8 * column, 16) + waves(8 * row, 16)
                month = [0.0] * 32
                tokens.append(
                    seen + tensors[f"{root}.bias"] + torch.cat([code, torch.tensor(first_date + month + place)])
                )
    made = through_blocks(torch.stack(tokens)[None], tensors, "encoder.blocks.", 4, heads=8, eps=1e-5)
    given = features_of(tmp_path / "olmoearth.safetensors", tensors, bands, images)
    assert_are_means(given, made, tensors, norm="encoder.norm", eps=1e-5)


def test_terramind_has_gated_blocks_and_the_tokens_of_the_sensor(tmp_path: Path) -> None:
    tensors, images = terramind(), torch.randn(1, 12, 224, 224)
    root = "encoder_embeddings.untok_sen2l2a@224."
    patches = images.unfold(2, 16, 16).unfold(3, 16, 16).permute(0, 2, 3, 4, 5, 1).reshape(1, 196, -1)
    tokens = patches @ tensors[f"{root}proj.weight"].T + tensors[f"{root}pos_emb"] + tensors[f"{root}mod_emb"]
    made = through_blocks(tokens, tensors, "encoder.", 2, heads=3, eps=1e-6)
    given = features_of(tmp_path / "terramind.safetensors", tensors, S2, images)
    assert_are_means(given, made, tensors, norm="encoder_norm", eps=1e-6)


def test_dinov3_sees_the_colours_and_sizes_are_those_of_the_file(tmp_path: Path) -> None:
    tensors, images = dinov3(), torch.randn(2, 4, 32, 32)
    bands = ["B02", "B03", "B04", "B08"]
    many = features_of(tmp_path / "dinov3.safetensors", tensors, bands, images, band_statistics=True)
    colours = features_of(tmp_path / "dinov3.safetensors", tensors, ["B04", "B03", "B02"], images[:, [2, 1, 0]])
    torch.testing.assert_close(many[:, :384], colours)
    assert many.shape[1] == 384 + 4 * 11
    sizes = TransformerSizes.of_file(tmp_path / "dinov3.safetensors", bands)
    assert (sizes.width, sizes.depth, sizes.heads, sizes.hidden, sizes.patch_px) == (384, 2, 6, 1536, 16)


@pytest.mark.parametrize("kind", FILES)
def test_one_key_trains_on_the_features_of_others_and_the_run_needs_no_file(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path, number = tmp_path / f"{kind}.safetensors", np.arange(20) % 2
    save_file({name: value.contiguous() for name, value in FILES[kind]().items()}, path)
    images = rng.normal(100, 8, (20, 4, 32, 32)) + 30.0 * number[:, None, None, None]
    np.savez(tmp_path / "patches.npz", images=images.astype(np.float32), labels=number)
    classes = [{"value": n, "name": name, "color": [n, 9, 9]} for n, name in enumerate(("dark", "bright"))]
    keys = [
        f"encoder={path}",
        "data.val_share=0.2",
        "data.test_share=0.2",
        "data.num_workers=0",
        "model.options.views=1",
    ]
    keys += ["data.file_bands=[B02, B03, B04, B08]", "model.options.input_px=32"]
    keys += [f"legend={json.dumps({'name': 'two', 'classes': classes})}"]
    run = train("images/frozen", tmp_path / "run", data=tmp_path / "patches.npz", overrides=keys)
    path.unlink()
    segmenter = load_run(run).segmenter
    patches = torch.from_numpy(
        segmenter.inputs.prepare({"image": images[1].astype(np.float32), "valid": np.ones((32, 32), bool)})
    )[None]
    assert segmenter.module.patch_scores(patches).argmax() == 1


@pytest.mark.parametrize(
    ("sizes", "refused"),
    [
        ({}, False),
        ({"patch_px": 1}, False),
        ({"patch_px": 64}, False),
        ({"width": 1, "heads": 1, "hidden": 1}, False),
        ({"patch_px": 0}, True),
        ({"patch_px": 65}, True),
        ({"width": 0}, True),
        ({"hidden": 0}, True),
        ({"heads": 5}, True),
    ],
)
def test_sizes_are_those_of_an_encoder(sizes: dict[str, int], refused: bool) -> None:
    found = TransformerSizes(
        **({"kind": "ViT", "width": 8, "depth": 1, "heads": 2, "hidden": 16, "patch_px": 8} | sizes)
    )
    if refused:
        with raises_naming(InputError, "file.safetensors", "sizes that no encoder has"):
            found._checked("file.safetensors")
    else:
        assert found._checked("file.safetensors") is found


def test_files_of_other_networks_and_versions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"

    def refused(tensors: Tensors, *words: str, bands: list[str] = S2) -> None:
        save_file({name: value.contiguous() for name, value in tensors.items()}, path)
        with raises_naming(InputError, *words):
            TransformerSizes.of_file(path, bands)

    refused(
        {"conv1.weight": torch.ones(4, 3, 3, 3)},
        str(path),
        "conv1.weight",
        "DINOv3",
        "OlmoEarth",
        "model.network=image-classifier",
    )
    hidden = {
        "encoder.patch_embeddings.per_modality_embeddings.sentinel2_l2a.sentinel2_l2a__0.pixels.0.weight": torch.ones(
            12, 4
        )
    }
    refused(olmoearth() | hidden, "pixels.0.weight", "1.0")
    refused(olmoearth() | {"encoder.blocks.0.attn.rope_mixed_freqs": torch.ones(3, 8, 8)}, "positions", "1.0")
    refused(olmoearth(), "height", "sentinel2_l2a", "data.file_bands", bands=["height"])
    refused(dinov3() | {"blocks.0.mlp.w1.weight": torch.ones(4, 4)}, "blocks.0.mlp.w1.weight", "ViT-S")
    save_file(copernicus(), path)
    sizes = TransformerSizes.of_file(path, ["height"]).to_dict()
    with raises_naming(InputError, "height", "patch_embed.proj.weight", "data.bands"):
        FrozenImages(1, 2, weights=str(path), bands=["height"], patch_px=32, transformer=sizes)
    with raises_naming(InputError, "40", "16", "input_px=48"):
        FrozenImages(1, 2, bands=["red"], patch_px=40, transformer=sizes)
    with raises_naming(InputError, "image-classifier", "images/frozen"):
        train("images/eurosat", tmp_path / "run", overrides=[f"encoder={path}", "model.network=image-classifier"])


def test_a_vision_transformer_of_timm_takes_the_group_of_olmoearth_that_has_most_bands(tmp_path: Path) -> None:
    tensors = olmoearth(192)
    save_file({name: value.contiguous() for name, value in tensors.items()}, tmp_path / "olmoearth.safetensors")
    options = {"patch_size": 8, "embed_dim": 192, "depth": 1, "num_heads": 3, "num_classes": 0}
    network = VisionTransformer(img_size=32, in_chans=3, **options)
    report = load_pretrained(network, tmp_path / "olmoearth.safetensors", bands=["B04", "B11", "B08"])
    assert report.missing == []
    root = "encoder.patch_embeddings.per_modality_embeddings.sentinel2_l2a.sentinel2_l2a__0.proj"
    expected = tensors[f"{root}.weight"][:, [2, 0, 3]]
    expected[:, 1] = 0  # short-wave infrared is in the other group
    assert torch.equal(network.patch_embed.proj.weight, expected)
    assert not network.cls_token.any()


def damaged(tensors: Tensors, seed: int) -> Tensors:
    """One to three tensors that are missing, cut, empty, of other axes, of whole numbers, or no numbers."""
    rng = np.random.default_rng(seed)
    changes = [
        lambda _: None, lambda value: value[:1], lambda value: value[:0], lambda value: value.flatten(), lambda value: value[None],
        lambda value: value.to(torch.int64), lambda value: value * torch.nan, lambda _: torch.zeros(()), lambda value: value.repeat_interleave(3, 0),
        lambda value: value.transpose(0, -1).contiguous() if value.ndim else value,
    ]  # fmt: skip
    tensors = dict(tensors)
    for name in rng.choice(sorted(tensors), int(rng.integers(1, 4)), replace=False):
        changed = changes[rng.integers(len(changes))](tensors.pop(name))
        if changed is not None:
            tensors[name] = changed.contiguous()
    return tensors


@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_is_refused_in_one_line_or_read(kind: str, tmp_path: Path) -> None:
    make, bands = FILES[kind], S2 if kind != "dinov3" else ["red", "green", "blue"]
    path, messages = tmp_path / "encoder.safetensors", []
    whole = make()
    for seed in range(12):
        save_file(damaged(whole, seed), path)
        try:
            sizes = TransformerSizes.of_file(path, bands)
            network = sizes.build(len(bands), 4 * sizes.patch_px)
            TransformerSizes.load(network, path, bands, float(sizes.patch_px))
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 1
    assert [message for message in messages if "\n" in message] == []
