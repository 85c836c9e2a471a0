"""The light U-Net sees no light: windows that differ in brightness, tint and contrast alone have the same scores."""

from pathlib import Path

import pytest
from refusals import raises_naming

torch = pytest.importorskip("torch")

from deepnets4eo.cards import run_path  # noqa: E402
from deepnets4eo.errors import InputError  # noqa: E402
from deepnets4eo.segmentation.light_unet import DecoderBlock, ScaledConv, light_unet  # noqa: E402
from deepnets4eo.segmenters import load_run  # noqa: E402
from deepnets4eo.segmenters.downloads import allow_downloads  # noqa: E402


def test_brightness_tint_and_contrast_do_not_change_the_scores():
    torch.manual_seed(0)
    network = light_unet(3, 4).eval()
    image = 40 * torch.randn(2, 3, 64, 64)
    tinted = 10 * image + torch.tensor([10.0, -3.0, 200.0])[:, None, None]
    with torch.no_grad():
        scores, others = network(image), network(tinted)
    assert (scores - others).abs().max() < 0.01 * scores.std()


def test_each_window_is_scaled_by_its_own_values_and_a_grey_one_stays_grey():
    conv = ScaledConv(2, 1, 1, bias=False)
    torch.nn.init.ones_(conv.weight)
    windows = torch.stack([torch.randn(2, 32, 32) * 7 + 3, torch.full((2, 32, 32), 5.0)])
    with torch.no_grad():
        scaled = conv(windows)
    assert scaled[1].abs().max() == 0
    own = windows[0] - windows[0].mean(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(scaled[0, 0], own.sum(dim=0) / (own.square().mean().sqrt() + 0.05))


@pytest.mark.parametrize("channels", [(16,), (32, 16, 8, 8)])
def test_decoders_of_other_than_two_or_three_stages_are_refused(channels):
    with raises_naming(InputError, "decoder_channels", "expected 2", "3 numbers"):
        light_unet(3, 2, decoder_channels=channels)


def test_the_last_bands_can_keep_their_values():
    conv = ScaledConv(3, 1, 1, bias=False)
    torch.nn.init.zeros_(conv.weight)
    conv.weight.data[0, 2] = 1.0
    conv.unscaled_bands = 1
    window = torch.cat([torch.randn(1, 2, 8, 8), torch.full((1, 1, 8, 8), 4.0)], dim=1)
    assert (conv(window) == 4.0).all()
    with raises_naming(InputError, "unscaled_bands", "3", "0", "2"):
        light_unet(3, 2, unscaled_bands=3)


def test_a_block_of_the_decoder_computes_what_it_does_from_doubled_pixels() -> None:
    from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock

    torch.manual_seed(0)
    plain = UnetDecoderBlock(24, 8, 16)
    block = DecoderBlock(24 + 8, 16)
    block.load_state_dict(plain.state_dict())
    feature_map, skip = torch.randn(2, 24, 5, 7), torch.randn(2, 8, 10, 14)
    for training in (True, False):
        plain.train(training)
        block.train(training)
        expected = plain(feature_map, 10, 14, skip)
        torch.testing.assert_close(block(feature_map, skip), expected, rtol=1e-4, atol=1e-5)
    expected.sum().backward()
    block(feature_map, skip).sum().backward()
    torch.testing.assert_close(block.conv1[0].weight.grad, plain.conv1[0].weight.grad, rtol=1e-4, atol=1e-4)
    half, halved_map, halved_skip = plain.bfloat16(), feature_map.bfloat16(), skip.bfloat16()
    expected = half(halved_map, 10, 14, halved_skip)
    torch.testing.assert_close(block.bfloat16()(halved_map, halved_skip), expected, rtol=0.016, atol=0.01)  # 8 bits


@pytest.mark.parametrize("encoder", ["resnet18", "resnet34"])
def test_the_encoder_is_that_of_torchvision(encoder: str) -> None:
    """Weights have the same names, so that those of others fit; and the maps are the same, bit for bit."""
    from segmentation_models_pytorch.encoders import get_encoder

    torch.manual_seed(0)
    for stages in (2, 3):
        ours, theirs = light_unet(4, 2, encoder=encoder, decoder_channels=[8] * stages).encoder, get_encoder(encoder, 4)
        own = ours.state_dict()
        assert list(own) == list(theirs.state_dict())[: len(own)]
        theirs.load_state_dict(own, strict=False)
        ours.conv1.scaled_beforehand = True
        image = torch.randn(2, 4, 32, 64)
        for training in (True, False):
            levels = ours.train(training)(image)
            assert [level.shape[1:] for level in levels] == [(64, 16, 32), (64, 8, 16), (128, 4, 8), (256, 2, 4)][
                : stages + 1
            ]
            for level, expected in zip(levels, theirs.train(training)(image)[1:], strict=False):
                assert torch.equal(level, expected)


def test_other_encoders_are_refused() -> None:
    with raises_naming(InputError, "'resnet50'", "resnet18", "resnet34"):
        light_unet(3, 2, encoder="resnet50")


def test_first_weights_come_from_a_file_a_run_or_smp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import segmentation_models_pytorch as smp
    from safetensors.torch import save_file

    of_smp = smp.create_model("unet", "resnet18", encoder_weights=None, classes=1)
    save_file(of_smp.encoder.state_dict(), tmp_path / "resnet18.safetensors")
    monkeypatch.setattr(smp, "create_model", lambda *_, encoder_weights, **__: {"imagenet": of_smp}[encoder_weights])
    run = run_path("buildings")
    of_run = load_run(run).segmenter.module
    for weights, theirs in {tmp_path / "resnet18.safetensors": of_smp, "imagenet": of_smp, run: of_run}.items():
        with allow_downloads():
            ours = light_unet(3, 2, weights=str(weights))
        for name, value in ours.encoder.named_parameters():
            assert torch.equal(value, theirs.encoder.get_parameter(name)), (weights, name)
