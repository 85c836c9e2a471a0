"""Weights from elsewhere: by name and shape, fitted to other bands and sizes, and what is refused."""

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from refusals import raises_naming
from safetensors.torch import save_file
from torch import nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import create_model, load_pretrained, seal
from deepnets4eo.segmenters.pretrained import NoRandomWeights
from deepnets4eo.segmenters.tensor_names import file_names

RESNET, VIT = "test_resnet", "test_vit"
SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 0}
# of each network: name as timm has it → as its authors, or Hugging Face, have it (transformers 4.56, CLIP 1.0, Prithvi-EO-2.0)
CLIP = {
    "cls_token": "class_embedding", "pos_embed": "positional_embedding", "patch_embed.proj.": "conv1.", "norm_pre.": "ln_pre.",
    "blocks.": "transformer.resblocks.", "attn.qkv.": "attn.in_proj_", "attn.proj.": "attn.out_proj.", "norm1": "ln_1",
    "norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "norm.": "ln_post.",
}  # fmt: skip
CLIP_OF_HUGGING_FACE = {
    "cls_token": "embeddings.class_embedding", "pos_embed": "embeddings.position_embedding.weight",
    "patch_embed.proj.": "embeddings.patch_embedding.", "norm_pre.": "pre_layrnorm.", "blocks.": "encoder.layers.",
    "attn.proj.": "self_attn.out_proj.", "attn.": "self_attn.", "norm1": "layer_norm1", "norm2": "layer_norm2",
    "norm.": "post_layernorm.",
}  # fmt: skip
DINOV3 = {"reg_token": "storage_tokens", "gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"}
DINOV3_OF_HUGGING_FACE = {
    "cls_token": "embeddings.cls_token", "reg_token": "embeddings.register_tokens",
    "patch_embed.proj.": "embeddings.patch_embeddings.", "blocks.": "layer.", "attn.proj.": "attention.o_proj.",
    "attn.": "attention.", "gamma_1": "layer_scale1.lambda1", "gamma_2": "layer_scale2.lambda1", "mlp.fc1": "mlp.up_proj",
    "mlp.fc2": "mlp.down_proj",
}  # fmt: skip


def write(module: nn.Module, path: Path, prefix: str = "", **metadata: str) -> Path:
    save_file({prefix + name: value for name, value in module.state_dict().items()}, path, metadata or None)
    return path


def encoder(bands: int = 3, **options: int) -> nn.Module:
    return timm.create_model(RESNET, in_chans=bands, num_classes=0, **options)


@pytest.mark.parametrize("prefix", ["", "visual.trunk.", "module.", "_orig_mod.", "model._orig_mod.module.net.0."])
def test_the_encoder_of_a_file_gets_into_a_segmentation_network(
    prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = timm.create_model(RESNET, num_classes=7)
    file = write(theirs, tmp_path / "theirs.safetensors", prefix)
    with caplog.at_level(logging.INFO, "deepnets4eo"):
        network = create_model("unet", in_channels=3, num_classes=2, encoder=f"tu-{RESNET}", weights=str(file))
    weight = dict(theirs.named_parameters())["layer1.0.conv1.weight"]
    assert torch.equal(dict(network.encoder.named_parameters())["model.layer1.0.conv1.weight"], weight)
    assert f"not used: {prefix}fc.bias, {prefix}fc.weight" in caplog.text


def renamed(module: nn.Module, rename: Callable[[str], str]) -> dict[str, torch.Tensor]:
    return {rename(name): value for name, value in module.state_dict().items()}


def test_parts_within_names_that_the_encoder_does_not_have_are_left_out(tmp_path: Path) -> None:
    theirs, ours = (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))) for _ in range(2)
    )
    file = tmp_path / "w.safetensors"
    save_file(renamed(theirs, lambda name: "net." + name.replace("1.", "1._checkpoint_wrapped_module.", 1)), file)
    assert load_pretrained(ours, file).missing == []
    assert torch.equal(ours[1][0].weight, theirs[1][0].weight)


def test_a_file_of_two_encoders_is_refused_unless_both_are_the_same(tmp_path: Path) -> None:
    student, teacher, ours = (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)) for _ in range(3))
    file = tmp_path / "w.safetensors"
    save_file(renamed(student, "student.".__add__) | renamed(teacher, "teacher.".__add__), file)
    with raises_naming(InputError, "student.0.weight", "teacher.0.weight"):
        load_pretrained(ours, file)
    copies = renamed(student, "student.".__add__) | {
        k: v.clone() for k, v in renamed(student, "teacher.".__add__).items()
    }
    save_file(copies, file)
    assert load_pretrained(ours, file).missing == []


def test_classifiers_take_files_too(tmp_path: Path) -> None:
    theirs = encoder()
    file = write(theirs, tmp_path / "theirs.safetensors")
    network = create_model(
        "image-classifier", in_channels=3, num_classes=2, encoder=RESNET, weights=str(file), patch_px=32
    )
    assert torch.equal(network.encoder.conv1[0].weight, theirs.conv1[0].weight)


def test_bands_are_placed_by_their_names(tmp_path: Path) -> None:
    theirs, ours = encoder(3), encoder(3)
    file = write(theirs, tmp_path / "theirs.safetensors", bands="B02,B03,B04")
    report = load_pretrained(ours, file, bands=["red", "green", "blue"])
    assert torch.equal(ours.conv1[0].weight, theirs.conv1[0].weight.flip(1))
    assert "had its bands as B02, B03, B04" in str(report)


def test_bands_of_landsat_are_placed_by_their_own_wavelengths(tmp_path: Path) -> None:
    """B5 of Landsat 8 is near infrared, not the red edge that it is of Sentinel-2."""
    theirs, ours = encoder(3), encoder(3)
    file = write(theirs, tmp_path / "theirs.safetensors", bands="red,nir08,swir16")
    load_pretrained(ours, file, bands=["SR_B4", "SR_B5", "SR_B6"])
    assert torch.equal(ours.conv1[0].weight, theirs.conv1[0].weight)


def test_numbers_that_several_satellites_have_are_refused_unless_both_sides_have_the_same(tmp_path: Path) -> None:
    names = ["B3", "B4", "B5"]
    theirs = encoder(3)
    file = write(theirs, tmp_path / "theirs.safetensors", bands=",".join(names))
    with raises_naming(InputError, "B5", "Sentinel-2", "Landsat"):
        load_pretrained(encoder(3), file, bands=["green", "red", "nir08"])
    same = encoder(3)
    load_pretrained(same, file, bands=names)
    assert torch.equal(same.conv1[0].weight, theirs.conv1[0].weight)


def test_bands_between_others_get_their_share_of_both(tmp_path: Path) -> None:
    theirs, ours = encoder(2), encoder(3)
    file = write(theirs, tmp_path / "theirs.safetensors", bands="B02,B04")
    load_pretrained(ours, file, bands=["B02", "B03", "B08"])
    first, second = theirs.conv1[0].weight.unbind(1)
    share = (560 - 492) / (665 - 492)
    expected = torch.stack([first, (1 - share) * first + share * second, second], dim=1) * 2 / 3
    torch.testing.assert_close(ours.conv1[0].weight, expected)


def test_other_numbers_of_bands_without_names_get_the_mean(tmp_path: Path) -> None:
    theirs, ours = encoder(3), encoder(2)
    load_pretrained(ours, write(theirs, tmp_path / "theirs.safetensors"))
    mean = theirs.conv1[0].weight.mean(dim=1, keepdim=True)
    torch.testing.assert_close(ours.conv1[0].weight, (mean * 1.5).expand(-1, 2, -1, -1))


def test_positions_are_resized(tmp_path: Path) -> None:
    theirs, ours = (timm.create_model(VIT, img_size=side, num_classes=0) for side in (160, 64))
    report = load_pretrained(ours, write(theirs, tmp_path / "theirs.safetensors"))
    assert report.fitted == {"pos_embed": "resized from 101 to 17 positions"}
    assert torch.equal(ours.pos_embed[:, :1], theirs.pos_embed[:, :1])
    torch.testing.assert_close(ours.pos_embed[:, 1:].mean(), theirs.pos_embed[:, 1:].mean(), atol=2e-3, rtol=0)


def foreign(module: nn.Module, names: dict[str, str], *, apart: bool) -> dict[str, torch.Tensor]:
    """The weights of a transformer of timm as others name them; apart: queries, keys and values in tensors of their own."""
    state, out = dict(module.state_dict()), {}
    for name in [name for name in state if ".qkv." in name and apart]:
        parts = zip("qkv", state.pop(name).chunk(3), strict=True)
        state |= {name.replace("qkv", f"{one}_proj"): part.clone() for one, part in parts}
    for name, value in state.items():
        if apart:
            name = name.replace("q_bias", "q_proj.bias").replace("v_bias", "v_proj.bias")
        for ours, theirs in names.items():
            name = re.sub(rf"(^|\.){re.escape(ours)}", lambda found, theirs=theirs: found[1] + theirs, name)
        out[name] = value.squeeze() if "class_emb" in name or "position" in name else value
    return out


@pytest.mark.parametrize(
    ("encoder", "names", "before", "apart"),
    [
        ("vit_base_patch32_clip_224", CLIP, "visual.", False),
        ("vit_base_patch32_clip_224", CLIP_OF_HUGGING_FACE, "vision_model.", True),
        ("vit_small_patch16_dinov3_qkvb", DINOV3, "", False),
        ("vit_small_patch16_dinov3_qkvb", DINOV3_OF_HUGGING_FACE, "model.", True),
    ],
)
def test_files_of_clip_and_dinov3_are_read_under_all_their_names(
    encoder: str, names: dict[str, str], before: str, apart: bool, tmp_path: Path
) -> None:
    theirs, ours = (timm.create_model(encoder, **SMALL) for _ in range(2))
    tensors = {before + name: value for name, value in foreign(theirs, names, apart=apart).items()}
    if names is DINOV3:
        for block in range(2):
            parts = [tensors.pop(f"blocks.{block}.attn.{one}_bias") for one in "qv"]
            tensors[f"blocks.{block}.attn.qkv.bias"] = torch.cat([parts[0], torch.zeros(32), parts[1]])
    tensors |= {"text_model.final_layer_norm.bias": torch.zeros(4), f"{before}mask_token": torch.zeros(1, 1, 32)}
    save_file({name: value.contiguous() for name, value in tensors.items()}, tmp_path / "theirs.safetensors")
    report = load_pretrained(ours, tmp_path / "theirs.safetensors", complete=True)
    assert not report.missing
    assert not report.fitted
    assert report.left == sorted(["text_model.final_layer_norm.bias", f"{before}mask_token"])
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())


def test_prithvi_has_patches_with_a_date_and_fixed_positions_of_several_dates(tmp_path: Path) -> None:
    theirs, ours = (timm.create_model(VIT, img_size=32, in_chans=6, num_classes=0) for _ in range(2))
    state, width = theirs.state_dict(), theirs.embed_dim
    place, dates = torch.randn(4, width), torch.arange(3)
    positions = place.repeat(3, 1)
    positions[:, width // 16 * 12 :] = dates.sin().repeat_interleave(4)[:, None]
    state["pos_embed"] = torch.cat([torch.zeros(1, width), positions])[None]
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"][:, :, None]
    tensors = {f"encoder.{name}": value for name, value in state.items()} | {"decoder.norm.bias": torch.zeros(4)}
    file, bands = tmp_path / "theirs.safetensors", ["B02", "B03", "B04", "B8A", "B11", "B12"]
    save_file(tensors, file, {"bands": ",".join(bands)})
    report = load_pretrained(ours, file, bands=bands)
    assert not report.missing
    assert report.left == ["decoder.norm.bias"]
    assert torch.equal(ours.pos_embed[0, 1:], positions[:4])
    assert torch.equal(ours.patch_embed.proj.weight, theirs.patch_embed.proj.weight)
    load_pretrained(ours, file, bands=bands[::-1])
    torch.testing.assert_close(ours.patch_embed.proj.weight, theirs.patch_embed.proj.weight.flip(1))


def test_first_layers_made_anew_for_each_image_are_random_and_said_to_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs, ours = (timm.create_model(VIT, img_size=32, depth=6, num_classes=0) for _ in range(2))
    kept = {name: value for name, value in theirs.state_dict().items() if "patch_embed" not in name}
    copernicus = kept | {"patch_embed_spectral.weight_generator.fc_weight.weight": torch.zeros(2, 2)}
    satmae = kept | {f"patch_embed.{group}.proj.weight": torch.zeros(theirs.embed_dim, 4, 16, 16) for group in range(2)}
    satmae |= {"channel_embed": torch.zeros(1, 3, 8), "pos_embed": kept["pos_embed"][..., :-8]}
    for tensors, left in ((copernicus, "patch_embed_spectral.weight_generator"), (satmae, "channel_embed")):
        save_file({name: value.contiguous() for name, value in tensors.items()}, tmp_path / "theirs.safetensors")
        caplog.clear()
        report = load_pretrained(ours, tmp_path / "theirs.safetensors")
        assert "patch_embed.proj.weight" in report.missing
        assert left in "".join(report.left)
        assert caplog.records[0].levelno == logging.WARNING
        assert "random from the start: " in caplog.text
        with pytest.raises(InputError, match="lack"):
            load_pretrained(ours, tmp_path / "theirs.safetensors", complete=True)


def test_the_bands_of_a_run_are_those_of_its_card(tmp_path: Path) -> None:
    theirs, ours = encoder(3), encoder(3)
    write(theirs, tmp_path / "weights.safetensors", "encoder.")
    seal(tmp_path, {"inputs": {"layers": {"image": {"bands": ["nir", "red", "green"]}}}}, ["weights.safetensors"])
    load_pretrained(ours, tmp_path, bands=["B03", "B04", "B08"])
    assert torch.equal(ours.conv1[0].weight, theirs.conv1[0].weight.flip(1))


def test_three_bands_without_names_are_colours_where_ours_have_wavelengths(tmp_path: Path) -> None:
    theirs, ours = encoder(3), encoder(3)
    file = write(theirs, tmp_path / "theirs.safetensors")
    load_pretrained(ours, file, bands=["B02", "B03", "B04"])
    assert torch.equal(ours.conv1[0].weight, theirs.conv1[0].weight.flip(1))
    load_pretrained(ours, file, bands=["VV", "VH", "dsm"])
    assert torch.equal(ours.conv1[0].weight, theirs.conv1[0].weight)


@pytest.mark.parametrize(
    ("bands", "said"), [([], "have no names here"), ([f"B{k:02}" for k in range(1, 14)], "are B01, B02")]
)
def test_an_unknown_order_of_many_bands_is_said(
    bands: list[str], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write(encoder(13), tmp_path / "theirs.safetensors")
    with caplog.at_level(logging.WARNING, "deepnets4eo"):
        load_pretrained(encoder(13), file, bands=bands)
    assert f"the file does not name its 13 bands, which {said}" in caplog.text
    named = write(encoder(13), tmp_path / "named.safetensors", bands=",".join(bands or [f"B{k:02}" for k in range(13)]))
    caplog.clear()
    load_pretrained(encoder(13), named, bands=bands)
    assert ("does not name" in caplog.text) == (not bands)


@pytest.mark.parametrize(
    ("metadata", "bands", "match"),
    [
        ("B02,B03", ["B02", "B03", "B04"], "name 2 bands"),
        ("B02,B03,B04", ["VV", "VH", "B02"], "not VV, whose wavelength"),
    ],
)
def test_bands_that_cannot_be_placed_are_refused(metadata: str, bands: list[str], match: str, tmp_path: Path) -> None:
    file = write(encoder(3), tmp_path / "theirs.safetensors", bands=metadata)
    with pytest.raises(InputError, match=match):
        load_pretrained(encoder(3), file, bands=bands)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = write(timm.create_model(VIT, num_classes=0), tmp_path / "theirs.safetensors")
    with pytest.raises(InputError, match=r"lack \d+ of the \d+ tensors .* they are of another network"):
        create_model("unet", in_channels=3, num_classes=2, encoder=f"tu-{RESNET}", weights=str(file))


@pytest.mark.parametrize("name", ["light-unet", "segnet", "d3net", "residual-unet", "image-classifier"])
def test_random_weights_that_a_file_replaces_are_not_drawn(name: str) -> None:
    options = {"encoder": RESNET, "patch_px": 32} if name == "image-classifier" else {}
    before = torch.get_rng_state()
    with NoRandomWeights():
        network = create_model(name, in_channels=3, num_classes=2, **options)
    assert torch.equal(torch.get_rng_state(), before)
    expected = create_model(name, in_channels=3, num_classes=2, **options)
    assert {key: value.shape for key, value in network.state_dict().items()} == {
        key: value.shape for key, value in expected.state_dict().items()
    }


def test_parts_that_programs_put_between_names_are_left_out_if_more_weights_match_without_them() -> None:
    expected = {"conv.weight": torch.zeros(2, 3), "blocks_0.norm.bias": torch.zeros(4)}
    between = {
        "net._orig_mod.conv._inner.weight": torch.ones(2, 3),
        "net._orig_mod.blocks.0._inner.norm.bias": torch.ones(4),
    }
    assert file_names(expected, between, "a.safetensors") == dict(zip(expected, between, strict=True))
    plain = {f"net.{name}": value for name, value in expected.items()}
    assert file_names(expected, plain | {"_inner.conv.weight": torch.ones(2, 3)}, "a.safetensors") == {
        name: f"net.{name}" for name in expected
    }
    twice = between | {"net.conv._other.weight": torch.zeros(2, 3)}  # which of both is meant is not known
    assert list(file_names(expected, twice, "a.safetensors")) == ["blocks_0.norm.bias"]
    other = {name: value[None] for name, value in between.items()}  # of more dimensions
    assert file_names(expected, other, "a.safetensors") == {}


@pytest.mark.parametrize(("number", "refused"), [(9, True), (8, False)])
def test_a_file_of_two_encoders_that_differ_is_refused_if_either_is_nine_tenths_whole(
    number: int, refused: bool
) -> None:
    """Fewer names that match by chance, as those of other parts of a network, are no second encoder."""
    expected = {f"blocks.{index}.weight": torch.zeros(3) for index in range(10)}
    names = list(expected)[:number]
    alike = {f"{prefix}.{name}": torch.ones(3) for prefix in ("student", "teacher") for name in names}
    assert set(file_names(expected, alike, "a.safetensors")) == set(names)
    other = alike | {f"teacher.{names[-1]}": torch.zeros(3)}
    if refused:
        with raises_naming(InputError, "student.blocks.0.weight", "teacher.blocks.0.weight"):
            file_names(expected, other, "a.safetensors")
    else:
        assert set(file_names(expected, other, "a.safetensors")) == set(names)
