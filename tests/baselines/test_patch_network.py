"""The patch CNN: one pass over an image gives what patch by patch gives; it trains, travels, and counts its weights."""

import numpy as np
import pytest
import torch
from geotiff import write_geotiff
from gradients import without_gradient
from hypothesis import given, strategies as st
from refusals import raises_naming

from deepnets4eo.baselines.patch_network import PatchNetwork
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter, create_model, load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.synthetic import City
from deepnets4eo.training import Recipe, TrainOptions
from deepnets4eo.training.recipe import resolve
from deepnets4eo.training.segmentation import train_segmentation


def tiny(in_channels=3, num_classes=4, **options):
    torch.manual_seed(0)
    return PatchNetwork(in_channels, num_classes, **{"patch_px": 40, "stride_px": 8, "width": 2} | options)


def settled(network):
    """Normalisation that has seen some images, as after training."""
    in_channels = network.features[0].in_channels
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, in_channels, 48, 48))
    return network.eval()


@pytest.mark.parametrize(("patch_px", "stride_px"), [(40, 8), (64, 8), (32, 4), (76, 16), (180, 32)])
def test_an_image_in_one_pass_has_the_logits_of_its_patches(patch_px, stride_px):
    network = settled(tiny(patch_px=patch_px, stride_px=stride_px))
    image = torch.randn(1, 3, patch_px + 2 * stride_px, patch_px + 3 * stride_px)
    before = (patch_px - stride_px) // 2
    padded = np.pad(image[0].numpy(), [(0, 0), (before, patch_px), (before, patch_px)], mode="reflect")
    with torch.inference_mode():
        dense = network.sites(image)[0]
        for row in range(dense.shape[1]):
            for col in range(dense.shape[2]):
                top, left = row * stride_px, col * stride_px
                patch = padded[:, top : top + patch_px, left : left + patch_px]
                alone = network.classify(torch.from_numpy(patch[None].copy()))[0]
                torch.testing.assert_close(dense[:, row, col], alone, rtol=1e-5, atol=1e-5)


def test_with_nearest_upsampling_the_square_in_a_patchs_middle_has_its_logits():
    network = settled(tiny(upsampling="nearest"))
    image = torch.randn(2, 3, 40, 56)
    with torch.inference_mode():
        squares = network.sites(image).repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
        assert torch.equal(network(image), squares)


@given(height=st.integers(1, 70), width=st.integers(1, 70), upsampling=st.sampled_from(["bilinear", "nearest"]))
def test_any_height_and_width_come_back(height, width, upsampling):
    network = tiny(upsampling=upsampling).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, height, width)).shape == (1, 4, height, width)


@given(side=st.integers(1, 50), axis=st.sampled_from([2, 3]))
def test_margins_are_mirrored_as_numpy_mirrors_them(side, axis):
    network = tiny()
    image = torch.arange(float(3 * side)).reshape((1, 3, side, 1) if axis == 2 else (1, 3, 1, side))
    before, after = 16, 16 + -side % 8
    padding = [(0, 0)] * 4
    padding[axis] = (before, after)
    np.testing.assert_array_equal(network._mirror_margin(image, axis), np.pad(image.numpy(), padding, mode="reflect"))


@pytest.mark.parametrize("in_channels", [1, 4, 10])
def test_every_parameter_gets_a_gradient_for_any_band_count(in_channels):
    network = tiny(in_channels)
    network(torch.randn(2, in_channels, 48, 40)).square().mean().backward()
    assert without_gradient(network) == []


def test_parameters_counted_by_hand():
    # 64 px → 11 × 11 by 2: 27 → pooled 13 → 5 × 5: 9 → pooled 4 → 3 × 3: 2 → 1 × 1, 1 × 1 → hidden layers see 2 × 2
    convolutions = 3 * 32 * 121 + 32 * 96 * 25 + 96 * 192 * 9 + 192 * 128 + 128 * 128
    hidden = 128 * 512 * 4 + 512 * 512
    normalisation = 2 * (32 + 96 + 192 + 128 + 128 + 512 + 512)
    labels = 512 * 6 + 6
    network = PatchNetwork(3, 6)
    assert sum(parameter.numel() for parameter in network.parameters()) == (
        convolutions + hidden + normalisation + labels
    )


def test_patches_as_large_as_alexnets_have_its_kernels():
    network = PatchNetwork(3, 6, patch_px=228, stride_px=32, width=2)
    kernels = [layer.kernel_size[0] for layer in network.features if isinstance(layer, torch.nn.Conv2d)]
    assert kernels == [11, 5, 3, 3, 3]


def test_it_learns_what_a_city_shows():
    city = City(seed=1, size_px=96, gsd_m=0.5)
    image = torch.from_numpy(city.image[None, :3].astype(np.float32) / 127.5 - 1)
    labels = torch.from_numpy(city.labels("minicity")[None].astype(np.int64))
    network = tiny(num_classes=int(labels.max()) + 1, width=8, dropout=0.1)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        loss = torch.nn.functional.cross_entropy(network(image), labels, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 3


def test_the_halo_covers_all_that_a_core_depends_on():
    for upsampling in ("bilinear", "nearest"):
        network = settled(tiny(upsampling=upsampling))
        image = torch.randn(1, 3, 160, 160)
        halo = network.halo_px
        with torch.inference_mode():
            whole = network(image)[:, :, 64:96, 64:96]
            tile = network(image[:, :, 64 - halo : 96 + halo, 64 - halo : 96 + halo])
        torch.testing.assert_close(tile[:, :, halo:-halo, halo:-halo], whole, rtol=1e-5, atol=1e-5)


def test_it_is_found_by_name():
    network = create_model("patch-alexnet", in_channels=2, num_classes=3, patch_px=40, width=2)
    assert isinstance(network, PatchNetwork)
    assert network.patch_px == 40


@pytest.mark.parametrize(
    ("options", "words"),
    [({"stride_px": 7}, "4, 8, 16, 32"), ({"patch_px": 41}, "Use 42"), ({"patch_px": 30}, "too small"),
     ({"width": 0}, "at least 1"), ({"upsampling": "cubic"}, "bilinear or nearest")],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_a_remedy(options, words):
    with pytest.raises(InputError, match=words):
        tiny(**options)


def test_patches_of_another_side_are_refused():
    with raises_naming(InputError, "needs 40"):
        tiny().classify(torch.zeros(1, 3, 32, 32))


def test_a_run_gives_the_same_bits_back(tmp_path):
    inputs = InputSpec({"image": LayerInput(("r", "g", "b"), (0.0,) * 3, (1.0,) * 3, 0, 255)})
    legend = Legend.load("minicity")
    spec = {"name": "patch-alexnet", "patch_px": 40, "width": 2, "upsampling": "nearest"}
    segmenter = NetworkSegmenter(spec, inputs, legend)
    batch = np.random.default_rng(0).normal(size=(1, 3, 50, 40)).astype(np.float32)
    again = load_run(save_run(segmenter, tmp_path)).segmenter
    np.testing.assert_array_equal(again.predict_raw(batch), segmenter.predict_raw(batch))


def test_the_recipe_of_networks_trains_it_on_a_city(tmp_path):
    city = City(seed=1, size_px=128, gsd_m=0.5)
    legend = Legend.load("minicity")
    for name, array in {"image": city.image, "labels": city.labels("minicity")[None]}.items():
        write_geotiff(tmp_path / "site" / f"{name}.tif", array, crs=city.grid.crs, transform=city.grid.affine)
    values = {
        "legend": legend.name,
        "data": {"folders": [str(tmp_path)], "tile_px": 64, "windows_per_epoch": 4, "num_workers": 0, "block_px": 32},
        "model": {"network": "patch-alexnet"},
        "train": {"epochs": 1, "batch_size": 2},
        "predict": {"tile_px": 144, "halo_px": 40},
    }
    run = load_run(train_segmentation(resolve(values, kind=Recipe), tmp_path / "run", TrainOptions()))
    assert run.segmenter.network["name"] == "patch-alexnet"
    labels = run.segmenter.predict_classes(np.zeros((1, run.inputs.in_channels, 50, 40), np.float32))
    assert labels.shape == (1, 50, 40)
    assert labels.max() < legend.num_classes
