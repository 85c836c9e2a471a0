"""Deep features: where cells lie, what patches see, that tiles agree, and that a run holds all that they need."""

import functools

import numpy as np
import pytest
import torch
from refusals import raises_naming
from safetensors.torch import load_file, save_file

from deepnets4eo.baselines import FrozenEncoder
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features import Feature
from deepnets4eo.baselines.features.deep import DeepFeatures, bilinear_weights, box_weights, encoder_images
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.segmenters import create_model

RGB = ("image.red", "image.green", "image.blue")
TINY = "test_resnet"  # timm's own, of half a million weights


@functools.cache
def shown_to():
    return FrozenEncoder("resnet18", 8)


def mean():
    return np.float32(shown_to().mean)[:, None, None]


def std():
    return np.float32(shown_to().std)[:, None, None]


def make_bands(height=64, width=64, *, seed=0, dsm=False, names=RGB):
    """Smooth noise, as scenes are smooth, in bytes; heights of 0–20 m."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (len(names) + 1, -(-height // 4), -(-width // 4)))
    values = np.kron(coarse, np.ones((1, 4, 4)))[:, :height, :width].astype(np.float32)
    span = np.tile(np.float32([0, 255]), (len(names) + 1, 1))
    span[-1] = 0, 20
    values[-1] *= 20 / 255
    count = len(names) + dsm
    return Bands(values[:count], (*names, "dsm.height")[:count], 0.5, span[:count])


def cut(bands, row, col, height, width):
    part = bands.values[:, row : row + height, col : col + width]
    return Bands(part, bands.names, bands.gsd_m, bands.span)


@pytest.fixture(scope="module")
def dense():
    return DeepFeatures(TINY, reduction=8)


@pytest.fixture(scope="module")
def patch():
    return DeepFeatures(TINY, looks="patch", patch_px=32, step_px=8, reduction=8)


def test_they_are_features(dense):
    assert isinstance(dense, Feature)
    bands = make_bands(40, 56)
    assert dense.compute(bands, 8).shape == (len(dense.columns(bands)), 5, 7)
    assert dense.compute(bands).shape[1:] == (40, 56)


# where cells lie


@pytest.mark.parametrize(
    ("name", "reduction", "offset_px"),
    [("resnet18", 8, 0.0), ("test_convnext", 8, 3.5), ("efficientnet-lite0", 8, 7.0)],
)
def test_the_middle_of_a_cell_is_the_middle_of_what_it_depends_on(name, reduction, offset_px):
    encoder = FrozenEncoder(name, reduction)
    assert encoder.offset_px == offset_px
    encoder.module.requires_grad_(requires_grad=False)
    energy = np.zeros(256)
    for seed in range(2):
        torch.manual_seed(seed)
        image = torch.rand(1, 3, 256, 256, requires_grad=True)
        maps = encoder.module(image)[-1]
        place = maps.shape[2] // 2
        maps[0, :, place, place].square().sum().backward()
        energy += image.grad[0].square().sum((0, 1)).numpy()
    middle = np.sum(energy * np.arange(256)) / energy.sum()
    expected = offset_px + (256 // reduction // 2) * reduction
    assert abs(middle - expected) < 1.3
    assert np.flatnonzero(energy > energy.max() * 1e-9).size <= 2 * encoder.reach_px + 1


def test_the_reach_of_a_resnets_cell_is_known_from_its_kernels():
    # 7 by 2, pool 3 by 2, two blocks of two 3 × 3 at 4 px, then two at 4 → 8 px: 3 + 2 + 4 · 4 + (4 + 3 · 8)
    assert FrozenEncoder("resnet18", 8).reach_px == 3 + 2 + 16 + 28


def test_a_blob_is_seen_where_it_is():
    feature = DeepFeatures(TINY, reduction=8)
    values = np.full((3, 128, 128), 100, np.float32)
    blank = feature.compute(Bands(values, RGB))
    values = values.copy()
    values[:, 60:76, 44:60] = 255
    change = np.square(feature.compute(Bands(values, RGB)) - blank).sum(0)
    rows, cols = np.indices(change.shape)
    middle = (rows * change).sum() / change.sum(), (cols * change).sum() / change.sum()
    np.testing.assert_allclose(middle, (67.5, 51.5), atol=2.5)


# tiles


def test_cores_of_tiles_are_those_of_the_whole_where_the_halo_covers_the_reach():
    dense = DeepFeatures("resnet18", reduction=8)
    assert dense.halo_px == 56  # 49 px of reach in whole cells
    bands = make_bands(192, 192)
    halo = dense.halo_px
    whole = dense.compute(bands, 4)[:, 64 // 4 : 112 // 4, 64 // 4 : 112 // 4]
    tile = dense.compute(cut(bands, 64 - halo, 64 - halo, 48 + 2 * halo, 48 + 2 * halo), 4)
    core = tile[:, halo // 4 : -halo // 4, halo // 4 : -halo // 4]
    np.testing.assert_allclose(core, whole, rtol=1e-4, atol=1e-5)


def test_patches_in_cores_of_tiles_are_the_same_bits(patch):
    bands = make_bands(160, 160)
    halo = patch.halo_px
    assert halo % patch.step_px == 0
    whole = patch.compute(bands, 8)[:, 64 // 8 : 96 // 8, 64 // 8 : 96 // 8]
    tile = patch.compute(cut(bands, 64 - halo, 64 - halo, 32 + 2 * halo, 32 + 2 * halo), 8)
    np.testing.assert_array_equal(tile[:, halo // 8 : -halo // 8, halo // 8 : -halo // 8], whole)


# patches


def test_a_patch_is_what_the_encoder_says_of_it_alone(patch):
    bands = make_bands(64, 64)
    values = patch.compute(bands, 16)
    site = 16 + 8, 32 + 8
    alone = (bands.values[:, site[0] - 16 : site[0] + 16, site[1] - 16 : site[1] + 16] / 255 - mean()) / std()
    expected = FrozenEncoder(TINY, 8)(torch.from_numpy(alone[None].astype(np.float32))).mean((2, 3))[0]
    np.testing.assert_allclose(values[:, 1, 2], expected.numpy(), rtol=1e-4, atol=1e-6)


def test_sites_nearer_than_a_step_share_the_patch_whose_middle_square_they_lie_in(patch):
    bands = make_bands(48, 44)
    sites, pixels = patch.compute(bands, 8), patch.compute(bands)
    squares = sites.repeat(8, axis=1).repeat(8, axis=2)
    np.testing.assert_array_equal(pixels[:, :48, :40], squares[:, :48, :40])
    assert pixels.shape[1:] == (48, 44)


def test_coarse_scales_see_larger_patches_resized_to_one_size():
    feature = DeepFeatures(TINY, looks="patch", patch_px=16, scales=(1, 0.5), input_px=32, reduction=8)
    bands = make_bands(64, 64)
    values = feature.compute(bands, 32)
    shown = torch.from_numpy(encoder_images(bands, shown_to(), "rgb"))
    encoder = FrozenEncoder(TINY, 8)
    found = [
        torch.nn.functional.interpolate(
            shown[:, :, 16 - half : 16 + half, 48 - half : 48 + half], (32, 32), mode="bilinear", align_corners=False
        )
        for half in (8, 16)
    ]
    expected = np.concatenate([encoder(image).mean((2, 3))[0].numpy() for image in found])
    np.testing.assert_allclose(values[:, 0, 1], expected, rtol=1e-4, atol=1e-6)


def test_patches_that_share_one_pass_are_means_of_the_map():
    feature = DeepFeatures("resnet18", reduction=8, patch_px=24)
    bands = make_bands(64, 64)
    maps = shown_to()(torch.from_numpy(encoder_images(bands, shown_to(), "rgb")))[0].numpy()
    # the site at pixel 32 lies on cell 4, as ResNets' cells begin at pixel 0; three cells a side
    expected = maps[:, 3:6, 3:6].mean((1, 2))
    np.testing.assert_allclose(feature.compute(bands)[:, 32, 32], expected, rtol=1e-4, atol=1e-6)


# superpixels


@pytest.mark.parametrize("scales", [(1,), (1, 0.5)])
def test_superpixels_have_the_mean_of_the_dense_columns(scales):
    feature = DeepFeatures(TINY, reduction=8, scales=scales, components=6)
    bands = make_bands(48, 40)
    ids = np.random.default_rng(0).integers(-1, 7, (48, 40)).astype(np.int32)
    columns = feature.compute(bands)
    expected = np.stack([columns[:, ids == number].mean(axis=1) for number in range(7)])
    np.testing.assert_allclose(feature.pool(bands, ids, 7), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("looks", ["dense", "patch"])
def test_superpixels_have_the_patch_around_their_middle(looks):
    feature = DeepFeatures(TINY, reduction=8, looks=looks, patch_px=24, step_px=1, components=6)
    bands = make_bands(48, 40)
    ids = np.full((48, 40), -1, np.int32)
    ids[4:9, 10:15], ids[30:33, 20:23] = 0, 1
    if looks == "dense":
        columns = feature.compute(bands)
        expected = columns[:, [6, 31], [12, 21]].T
    else:
        expected = feature.at_indices(bands, np.array([6, 31]), np.array([12, 21]))
    np.testing.assert_allclose(feature.pool(bands, ids, 2), expected, rtol=1e-4, atol=1e-6)


# inputs


def test_height_and_normals_are_looked_at_too():
    bands = make_bands(64, 64, dsm=True)
    widths = [DeepFeatures(TINY, inputs=kind, components=4).compute(bands, 8) for kind in ("rgb", "rgbd", "rgbd+")]
    assert [len(one) for one in widths] == [4, 8, 12]
    np.testing.assert_array_equal(widths[2][:8], widths[1])
    assert DeepFeatures(TINY, inputs="rgbd", components=1).columns(bands) == ["colours@1.0", "height@1.0"]
    with pytest.raises(InputError, match="height"):
        DeepFeatures(TINY, inputs="rgbd").columns(make_bands())


def test_heights_are_scaled_by_the_span_seen_in_training_not_as_bytes():
    bands = make_bands(32, 32, dsm=True)
    height = (encoder_images(bands, shown_to(), "rgbd")[1] * std() + mean())[0]
    np.testing.assert_allclose(height, bands.values[-1] / 20, atol=1e-5)


def test_normals_of_a_slope_are_those_of_a_plane():
    height = np.tile(np.arange(32, dtype=np.float32) * 0.5, (32, 1))  # rises by 1 m per metre to the east
    bands = Bands(np.stack([height] * 4), (*RGB, "dsm.height"), 0.5)
    normals = (encoder_images(bands, shown_to(), "rgbd+")[2] * std() + mean()) * 2 - 1
    np.testing.assert_allclose(normals[:, 5, 5], [-np.sqrt(0.5), 0, np.sqrt(0.5)], atol=1e-5)


def test_without_blue_infrared_is_shown_as_in_aerial_photographs():
    bands = make_bands(names=("image.nir", "image.red", "image.green"))
    shown = encoder_images(bands, shown_to(), "rgb")[0] * std() + mean()
    np.testing.assert_allclose(shown, bands.values / 255, atol=1e-5)


def test_one_band_is_shown_in_grey():
    shown = encoder_images(make_bands(names=("image.pan",)), shown_to(), "rgb")[0] * std() + mean()
    np.testing.assert_allclose(shown[0], shown[2], atol=1e-6)


# weights, and runs


def test_the_seed_alone_decides_random_weights():
    bands = make_bands()
    first, same, other = (DeepFeatures(TINY, reduction=8, seed=seed).compute(bands, 16) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


def test_making_features_leaves_the_global_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    DeepFeatures(TINY, reduction=4)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("options", [{"components": 5}, {"looks": "patch", "patch_px": 16, "inputs": "rgbd"}])
def test_a_run_gives_the_same_bits_back(tmp_path, options):
    feature = DeepFeatures(TINY, reduction=8, seed=3, **options)
    bands = make_bands(dsm=True)
    assert feature.save(tmp_path) == ["deep_encoder.safetensors"]
    again = DeepFeatures.restore(tmp_path, feature.describe())
    np.testing.assert_array_equal(again.compute(bands, 16), feature.compute(bands, 16))
    assert again.describe() == feature.describe()
    assert again.columns(bands) == feature.columns(bands)


def test_weights_come_from_a_trained_network_of_which_the_encoder_is_a_part(tmp_path):
    network = create_model("unet/resnet18", in_channels=3, num_classes=2)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    feature = DeepFeatures("resnet18", weights=tmp_path / "weights.safetensors", reduction=4)
    own = feature._encoder.module.state_dict()["layer1.0.conv1.weight"]
    assert torch.equal(own, network.encoder.state_dict()["layer1.0.conv1.weight"])
    assert feature.describe()["weights"] == "weights.safetensors"


def test_timms_own_names_are_found_where_it_renames_levels(tmp_path):
    import timm

    whole = timm.create_model("test_convnext", pretrained=False)
    save_file(whole.state_dict(), tmp_path / "model.safetensors")
    encoder = FrozenEncoder("test_convnext", 8, weights=tmp_path / "model.safetensors")
    assert torch.equal(encoder.module.state_dict()["stem_0.weight"], whole.state_dict()["stem.0.weight"])


def test_weights_of_another_network_are_refused(tmp_path):
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="lack"):
        FrozenEncoder(TINY, 4, weights=tmp_path / "other.safetensors")
    pickled = tmp_path / "resnet18.pth"
    pickled.write_bytes(b"")
    with pytest.raises(InputError, match="Convert"):
        DeepFeatures(TINY, weights=pickled)
    with pytest.raises(InputError, match="cannot be read"):
        DeepFeatures(TINY, weights=tmp_path / "absent.safetensors")


def test_damaged_runs_are_refused(tmp_path):
    feature = DeepFeatures(TINY, reduction=4, components=3)
    feature.save(tmp_path)
    path = tmp_path / feature.file
    whole = load_file(path)
    save_file({key: value for key, value in whole.items() if key != "projection"}, path)
    with pytest.raises(RunError, match="projection"):
        DeepFeatures.restore(tmp_path, feature.describe())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RunError, match="cannot be restored"):
        DeepFeatures.restore(tmp_path, feature.describe())


@pytest.mark.parametrize(
    ("options", "words"),
    [({"encoder": "resnet81"}, "resnet18"), ({"reduction": 3}, "2, 4, 8, 16, 32"), ({"looks": "patch"}, "patch_px"),
     ({"inputs": "rgbi"}, "rgbd"), ({"scales": (0,)}, "scales"), ({"components": 999}, "256 channels"),
     ({"input_px": 64}, "scales"), ({"patch_px": 0}, "greater than or equal to 1"), ({"looks": "sideways"}, "'dense' or 'patch'")],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_a_remedy(options, words):
    with pytest.raises(InputError, match=words):
        DeepFeatures(**options)


def test_encoders_of_one_size_of_image_say_so():
    feature = DeepFeatures("vit_tiny_patch16_224", reduction=16)
    with raises_naming(InputError, "input_px"):
        feature.compute(make_bands(), 16)


def test_a_transformer_is_taken_up_to_its_last_block():
    assert "model.blocks.5.norm1.weight" in FrozenEncoder("test_vit", 16).state()


def test_smps_own_encoders_serve_too():
    assert DeepFeatures("mit_b0", reduction=8, components=2).compute(make_bands(), 16).shape == (2, 4, 4)


# geometry


def test_weights_of_cells_sum_to_one_and_are_exact_on_planes():
    places = np.linspace(0.0, 9.0, 40)
    for weights in (bilinear_weights(places, 10), box_weights(places, 0.5, 10)):
        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(bilinear_weights(places, 10) @ np.arange(10), places, atol=1e-5)


def test_boxes_are_integrals_of_the_cells_they_cover():
    cells = np.random.default_rng(0).random(12)
    fine = cells.repeat(100)
    found = box_weights(np.array([5.0]), 3.3, 12) @ cells
    low, high = round((5.5 - 1.65) * 100), round((5.5 + 1.65) * 100)
    np.testing.assert_allclose(found[0], fine[low:high].mean(), rtol=1e-5)


def test_the_encoder_in_the_box_gets_colours_from_minus_one_to_one_and_a_run_restores_it(tmp_path):
    feature = DeepFeatures("efficientnet-lite0", weights="efficientnet-lite0", reduction=8)
    bands = make_bands()
    shown = encoder_images(bands, feature._encoder, "rgb")[0]
    np.testing.assert_allclose(shown, bands.values / 127.5 - 1, atol=1e-6)
    feature.save(tmp_path)
    description = {"encoder": "efficientnet-lite0", "weights": "efficientnet-lite0", "reduction": 8, "name": "deep"}
    restored = DeepFeatures.restore(tmp_path, description)
    np.testing.assert_array_equal(restored.compute(bands, 8), feature.compute(bands, 8))
