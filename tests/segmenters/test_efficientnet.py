"""EfficientNet-Lite0: the same maps as timm's, weights that come with the toolbox, and recipes that start from them."""

import pytest
from refusals import raises_naming

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")

from torch import nn  # noqa: E402

from deepnets4eo.cards import ShippedModel  # noqa: E402
from deepnets4eo.errors import InputError, RunError  # noqa: E402
from deepnets4eo.segmenters import (  # noqa: E402  # noqa: E402
    EfficientNetLite0,
    SameConv,
    create_model,
    frozen_encoder,
    load_pretrained,
    load_run,
    open_sealed,
    read_tensors,
)
from deepnets4eo.segmenters.efficientnet import shown_values  # noqa: E402

NAME = "efficientnet-lite0"


@pytest.mark.parametrize("size", [(64, 96), (75, 61)])
def test_the_maps_are_those_of_timm(size: tuple[int, int]) -> None:
    theirs = timm.create_model("tf_efficientnet_lite0", features_only=True)
    load_pretrained(theirs, NAME, complete=True)
    image = shown_values(torch.randint(0, 256, (2, 3, *size)))
    with torch.inference_mode():
        levels, expected = frozen_encoder()(image), theirs.eval()(image)
    for level, other in zip(levels, expected, strict=True):
        torch.testing.assert_close(level, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("side", "kernel", "stride"), [(9, 3, 2), (8, 3, 2), (10, 5, 2), (11, 5, 3)])
def test_padding_keeps_sides_up_to_the_stride_with_the_odd_rest_below_and_right(
    side: int, kernel: int, stride: int
) -> None:
    conv = SameConv(1, 1, kernel, stride=stride, bias=False)
    nn.init.ones_(conv.weight)
    whole = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    with torch.inference_mode():
        sums = conv(torch.ones(1, 1, side, side))[0, 0]
    assert sums.shape == (-(-side // stride),) * 2
    along = [min(at * stride - whole // 2 + kernel, side) - max(at * stride - whole // 2, 0) for at in range(len(sums))]
    torch.testing.assert_close(sums, torch.tensor(along, dtype=torch.float32)[:, None] * torch.tensor(along))


def test_the_weights_in_the_box_are_small_sealed_and_without_a_classifier() -> None:
    folder = ShippedModel(NAME).folder
    card = open_sealed(folder)
    assert card["kind"] == "encoder"
    assert (folder / "weights.safetensors").stat().st_size < 8_000_000
    assert not [name for name in read_tensors(NAME) if name.startswith("classifier")]
    assert card["files"]["weights.safetensors"]["sha256"] in (folder / "card.md").read_text(encoding="utf-8")
    with pytest.raises(RunError, match="first weights of an encoder, which label nothing"):
        load_run(NAME)


def test_a_light_u_net_starts_from_them_at_the_response_of_standardised_values() -> None:
    theirs = read_tensors(NAME)
    network = create_model("unet", in_channels=3, num_classes=6, encoder=NAME, weights=NAME)
    slashed = create_model(f"unet/{NAME}", in_channels=3, num_classes=6, weights=NAME)
    for one in (network, slashed):
        torch.testing.assert_close(one.encoder.conv_stem.weight, 0.452 * theirs["conv_stem.weight"].float())
        assert torch.equal(one.encoder.blocks[4][2].bn3.running_var, theirs["blocks.4.2.bn3.running_var"])
    assert network(torch.randn(2, 3, 64, 96)).shape == (2, 6, 64, 96)


def test_five_scales_are_possible_and_six_are_refused() -> None:
    channels = [8, 8, 8, 8]
    network = create_model("unet", in_channels=3, num_classes=2, encoder=NAME, weights=NAME, decoder_channels=channels)
    assert len(network.encoder(torch.zeros(1, 3, 64, 64))) == 5
    with raises_naming(InputError, "2", "3", "4", "efficientnet-lite0"):
        create_model("light-unet", in_channels=3, num_classes=2, encoder=NAME, decoder_channels=[8] * 5)


@pytest.mark.parametrize(
    ("bands", "wanted"),
    [
        ((), lambda w: torch.cat([w, w.mean(1, keepdim=True).expand(-1, 1, -1, -1)], 1) * 3 / 4),
        (("red", "green", "blue", "height"), lambda w: torch.cat([w, w.mean(1, keepdim=True)], 1) * 3 / 4),
        (("B08", "B04", "B03"), lambda w: w[:, [0, 0, 1]]),
        (("blue", "green", "red"), lambda w: w.flip(1)),
    ],
)
def test_the_first_layer_is_fitted_to_other_bands(bands: tuple[str, ...], wanted) -> None:  # type: ignore[no-untyped-def]
    network = create_model(
        "unet", in_channels=len(bands) or 4, num_classes=2, encoder=NAME, weights=NAME, bands=list(bands)
    )
    expected = 0.452 * wanted(read_tensors(NAME)["conv_stem.weight"].float())
    torch.testing.assert_close(network.encoder.conv_stem.weight, expected)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fpn", {}),
        ("unet", {"encoder_depth": 5}),
        ("change-encoder", {}),
        ("image-classifier", {"patch_px": 64}),
    ],
)
def test_other_networks_take_them_in_the_encoder_of_timm(name: str, options: dict[str, int]) -> None:
    bands = 6 if name == "change-encoder" else 3
    network = create_model(name, in_channels=bands, num_classes=2, encoder=NAME, weights=NAME, **options)
    state = {key: value for key, value in network.state_dict().items() if "encoder" in key}
    (key,) = [key for key in state if key.endswith("blocks.2.0.conv_dw.weight")]
    assert torch.equal(state[key], read_tensors(NAME)["blocks.2.0.conv_dw.weight"].float())
    network.eval()(torch.zeros(1, bands, 64, 64))


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(InputError, match="they are of another network"):
        create_model("unet", in_channels=3, num_classes=2, encoder="resnet18", weights=NAME)
    with raises_naming(InputError, "'imagenet'", "efficientnet-lite0"):
        create_model("unet", in_channels=3, num_classes=2, encoder=NAME, weights="imagenet")


def test_every_weight_learns() -> None:
    network = EfficientNetLite0(4)
    network(torch.randn(2, 4, 64, 64))[-1].square().mean().backward()
    assert all(value.grad is not None and value.grad.any() for value in network.parameters())


def test_frozen_levels_keep_weights_and_statistics_while_the_others_learn() -> None:
    network = create_model("unet", in_channels=3, num_classes=2, encoder=NAME, weights=NAME, frozen_levels=2).train()
    before = {name: value.clone() for name, value in network.encoder.state_dict().items() if "running" in name}
    network(torch.randn(2, 3, 64, 64)).square().mean().backward()
    first = ("conv_stem.", "bn1.", "blocks.0.", "blocks.1.")  # to 1/4 of the size
    for name, value in network.encoder.named_parameters():
        assert (value.grad is None) == name.startswith(first), name
    for name, value in before.items():
        assert torch.equal(network.encoder.state_dict()[name], value) == name.startswith(first), name


@pytest.mark.parametrize(("encoder", "levels"), [("resnet18", 1), (NAME, 5), (NAME, -1)])
def test_other_levels_cannot_be_frozen(encoder: str, levels: int) -> None:
    with raises_naming(InputError, levels, encoder, "4"):
        create_model("light-unet", in_channels=3, num_classes=2, encoder=encoder, frozen_levels=levels)


def test_gradients_of_the_encoder_are_those_of_single_precision_beside_a_decoder_in_bfloat16() -> None:
    network, image = EfficientNetLite0(3, levels=2).eval(), torch.randn(1, 3, 32, 32)
    plain = network(image)[-1]
    with torch.autocast("cpu", torch.bfloat16):
        learnt = network(image)[-1]
        with torch.no_grad():
            used = network(image)[-1]
    assert torch.equal(learnt, plain)
    assert used.dtype == torch.bfloat16
    torch.testing.assert_close(used.float(), plain, rtol=0.1, atol=0.1)
