"""Channel attention and compound scaling as published; a classifier slides over a scene as it labels patches."""

import numpy as np
import pytest
import torch
from refusals import raises_naming

from deepnets4eo.cards import ShippedModel
from deepnets4eo.classification.networks import (
    FIXED_KERNELS,
    ChannelAttention,
    ImageClassifier,
    WideResNet,
    eca_kernel,
    scale_wide,
)
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import create_model, load_run

RESNET50 = {256: 3, 512: 4, 1024: 6, 2048: 3}  # channels of the outputs of its bottlenecks → how many


def test_attention_adds_the_published_numbers_of_parameters_to_a_resnet_50() -> None:
    assert sum(count * kernel for count, kernel in zip(RESNET50.values(), FIXED_KERNELS, strict=True)) == 80
    assert sum(count * eca_kernel(width) for width, count in RESNET50.items()) == 86
    assert [eca_kernel(2**power) for power in range(6, 12)] == [3, 5, 5, 5, 5, 7]


def test_attention_is_the_equation() -> None:
    block = ChannelAttention(3)
    maps = torch.randn(2, 5, 4, 3)
    kernel = block.mix.weight[0, 0].detach().numpy()
    means = np.pad(maps.mean((2, 3)).numpy(), ((0, 0), (1, 1)))
    mixed = sum(kernel[at] * means[:, at : at + 5] for at in range(3))
    expected = maps.numpy() / (1 + np.exp(-mixed))[:, :, None, None]
    np.testing.assert_allclose(block(maps).detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert [name for name, _ in block.named_parameters()] == ["mix.weight"], "without bias, unlike the Keras version"


def test_one_exponent_scales_depth_width_and_resolution() -> None:
    assert scale_wide(1).widths == (56, 116, 232), "the published widths at exponent 1"
    assert [scale_wide(phi).blocks for phi in (0, 1, 2)] == [1, 2, 3]
    assert [scale_wide(phi).side_px for phi in (0, 1, 2)] == [60, 84, 118]
    base, fixed, plain = (
        create_model("wide-resnet-eca", in_channels=10, num_classes=19, **options)
        for options in ({}, {"kernels": list(FIXED_KERNELS)}, {"attention": False})
    )
    sizes = [sum(parameter.numel() for parameter in network.parameters()) for network in (base, fixed, plain)]
    assert [size - sizes[2] for size in sizes] == [3 + 3 + 5, 3 + 5 + 5, 0]
    with pytest.raises(InputError, match="one odd size a group"):
        WideResNet(3, 2, kernels=[3, 4, 5])


@pytest.mark.parametrize("side", [(40, 40), (37, 50)])
def test_each_cell_of_a_scene_has_the_scores_of_the_patch_around_it(side: tuple[int, int]) -> None:
    network = WideResNet(2, 3, patch_px=16, stride_px=4).eval()
    scene = torch.randn(1, 2, *side)
    with torch.inference_mode():
        scores = network(scene)
        assert scores.shape == (1, 3, *side)
        row, col = 12, 16
        patch = scene[:, :, row - 6 : row + 10, col - 6 : col + 10]
        np.testing.assert_allclose(scores[:, :, row, col], network.patch_scores(patch), atol=1e-5)
        cell = scores[0, :, row : row + 4, col : col + 4]
        assert torch.equal(cell, cell[:, :1, :1].expand_as(cell)), "a cell is labelled as a whole"
        divided = network.patch_scores(patch) / 2
        network.divide_scores(2.0)
        np.testing.assert_allclose(network.patch_scores(patch), divided, atol=1e-6)


def test_any_encoder_of_timm_is_taken_and_an_unknown_one_refused() -> None:
    for encoder in ("test_resnet", "test_vit", "test_efficientnet"):
        assert ImageClassifier(13, 4, encoder=encoder, patch_px=32).patch_scores(torch.zeros(2, 13, 32, 32)).shape == (
            2,
            4,
        )
    with pytest.raises(InputError, match="unknown to timm"):
        ImageClassifier(3, 4, encoder="resnet19")
    with raises_naming(InputError, "stride_px", "5", "patch_px", "16"):
        WideResNet(3, 2, patch_px=16, stride_px=5)


def test_shipped_weights_of_eurosat_label_a_scene_and_start_a_network() -> None:
    run = load_run(ShippedModel("eurosat").folder)
    assert (ShippedModel("eurosat").folder / "weights.safetensors").stat().st_size <= 8_000_000
    assert run.inputs.layers["image"].bands == ("B04", "B03", "B02")
    assert run.inputs.gsd_m == 10
    rows, cols = np.mgrid[:96, :96]
    streets = np.where((rows % 8 < 2) | (cols % 8 < 2), 90, 150 + 40 * ((rows // 8 + cols // 8) % 2))
    dark, grain = np.array([43, 66, 84])[:, None, None], np.random.default_rng(0).normal(0, 1, (96, 96))
    scenes = {"Residential": np.stack([streets] * 3), "SeaLake": dark + 0.5 * grain, "Forest": dark + 3 * grain}
    for name, scene in scenes.items():
        prepared = run.inputs.prepare({"image": scene.astype(np.float32), "valid": np.ones((96, 96), bool)})
        labels = run.segmenter.predict_classes(prepared[None])[0]
        assert run.legend.names[np.bincount(labels[24:72, 24:72].ravel()).argmax()] == name
    weights, bands = str(ShippedModel("eurosat").folder), ("B04", "B03", "B02")
    network = ImageClassifier(3, 2, encoder="efficientnet-lite0", weights=weights, bands=bands)
    trained = run.segmenter.module.encoder.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in network.encoder.named_parameters())
