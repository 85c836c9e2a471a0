"""Water and mud of made-up places as truth, how windows show other water, and the training of a network from them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from refusals import raises_naming
from world import draw_pair
from world.water_windows import (
    DRY,
    MUD,
    WATER,
    WATER_INPUTS,
    WaterCutter,
    oriented_noise,
    other_water,
    smooth_fields,
    water_classes,
)

from deepnets4eo.synthetic.materials import CODE

GRASS, TREE, OPEN_WATER = 2, 3, 7  # legend minicity


@pytest.fixture(scope="module")
def flooded():
    return next(
        pair
        for seed in range(20)
        if (pair := draw_pair(seed, style="village", hazard="flood", size_px=192, gsd_m=1.0))
        and (pair.labels_post == OPEN_WATER).mean() > 0.1
    )


def test_mud_is_what_an_event_left_and_what_crowns_hide_is_void() -> None:
    water, mud, grass = (CODE[name] for name in ("water", "mud", "grass"))
    pair = SimpleNamespace(
        labels_post=np.array([[OPEN_WATER, TREE, TREE, GRASS, GRASS, TREE]], np.uint8),
        solid_post=np.array([[water, water, grass, mud, mud, mud]], np.uint8),
        solid_pre=np.array([[grass, grass, grass, grass, mud, grass]], np.uint8),
    )
    assert water_classes(pair, "post").tolist() == [[WATER, 255, DRY, MUD, DRY, 255]]


def test_the_ground_of_a_flood_is_water_where_the_image_shows_it_and_below_crowns(flooded) -> None:
    seen, below = flooded.labels_post == OPEN_WATER, flooded.solid_post == CODE["water"]
    assert (below[seen]).mean() > 0.95  # walls lean by a few pixels
    assert (below & (flooded.labels_post == TREE)).any()
    assert below.mean() > (flooded.solid_pre == CODE["water"]).mean() + 0.05


def test_another_look_of_water_leaves_the_land_as_it_is(flooded) -> None:
    water = flooded.labels_post == OPEN_WATER
    drawn = [other_water(flooded.post, water, np.random.default_rng(seed)) for seed in range(6)]
    near = np.zeros_like(water)
    for rows in range(-3, 4):
        for cols in range(-3, 4):
            near |= np.roll(water, (rows, cols), (0, 1))
    assert all((image[:, ~near] == flooded.post[:, ~near]).all() for image in drawn)
    tones = np.array([image[:3, water].mean() for image in drawn])
    assert np.ptp(tones) > 30


def test_smoothed_fields_vary_less_from_pixel_to_pixel_and_the_rest_does_not_change() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(120, 20, (4, 80, 80)).clip(0, 255).astype(np.uint8)
    solid = np.full((80, 80), CODE["grass"], np.uint8)
    solid[:, 40:] = CODE["soil"]
    smoothed = [smooth_fields(image, solid, np.random.default_rng(seed)) for seed in range(8)]
    changed = [one for one in smoothed if (one != image).any()]
    assert changed  # three kinds of field are drawn each time
    for one in changed:
        assert (one[:, :, :37] == image[:, :, :37]).all()
        assert one[0, :, 44:].std() < 0.8 * image[0, :, 44:].std()


@pytest.mark.parametrize("wavelength_px", [4.0, 12.0])
def test_waves_have_the_length_that_is_asked_for(wavelength_px: float) -> None:
    noise = oriented_noise(np.random.default_rng(1), (256, 256), wavelength_px, 2.0)
    assert abs(noise.mean()) < 1e-3
    assert abs(noise.std() - 1) < 1e-3
    power = np.abs(np.fft.fft2(noise)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    assert 0.6 < (power * frequency).sum() / power.sum() * wavelength_px < 1.7


def test_a_window_shows_what_its_mask_says(flooded) -> None:
    cutter = WaterCutter(96, (1.0, 1.0), 1.0, 1.0, 0.0, 0.0, 0.0)
    sample = cutter(flooded, np.random.default_rng(3))
    classes = water_classes(flooded, "post")
    image = np.rint(sample["image"] * np.array(WATER_INPUTS.layers["image"].std)[:, None, None]
                    + np.array(WATER_INPUTS.layers["image"].mean)[:, None, None]).astype(np.uint8)  # fmt: skip
    corners = [
        (row, col)
        for row in range(97)
        for col in range(97)
        if (image == flooded.post[:3, row : row + 96, col : col + 96]).all()
    ]
    assert len(corners) == 1
    (row, col), *_ = corners
    np.testing.assert_array_equal(sample["mask"], classes[row : row + 96, col : col + 96])
    assert (sample["mask"] == WATER).any()


def test_a_training_starts_from_the_finest_scales_of_a_larger_network_and_writes_half_precision(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from deepnets4eo.cards import Legend
    from deepnets4eo.errors import InputError
    from deepnets4eo.segmenters import NetworkSegmenter, load_run
    from deepnets4eo.segmenters.run import save_run
    from deepnets4eo.training import TrainOptions, train

    network = {"name": "light-unet", "decoder_channels": [128, 8, 8]}
    former = NetworkSegmenter(network, WATER_INPUTS, Legend.load("buildings"))
    start = save_run(former, tmp_path / "former", recipe={}, seed=0)
    small = (
        "data.size_px=128", "data.tile_px=32", "data.windows_per_epoch=2", "data.validation_pairs=1", "train.batch_size=2",
        "train.lr=1e-12", "train.average=0", "model.options={decoder_channels: [8, 8]}", f"data.start={start}",
        "predict.tile_px=64", "predict.halo_px=16",
    )  # fmt: skip
    run = load_run(train("floods/water", tmp_path / "run", overrides=small, options=TrainOptions("cpu", epochs=1)))
    assert list(run.legend.names) == ["dry", "water", "mud"]
    before, after = former.module.state_dict(), run.segmenter.module.state_dict()
    for name, same in {
        "encoder.layer2.0.conv1.weight": "",
        "decoder.blocks.1.conv1.0.weight": "decoder.blocks.0.conv1.0.weight",
    }.items():
        torch.testing.assert_close(after[same or name], before[name], atol=1e-4, rtol=1e-3)
    assert run.card["notes"]["synthetic"] is True
    assert 0 <= run.card["notes"]["validation"]["dry_called_water"] <= 1
    assert (tmp_path / "run" / "weights.safetensors").stat().st_size < 3e6
    with raises_naming(InputError, "decoder.blocks"):
        train(
            "floods/water",
            tmp_path / "other",
            overrides=(*small, "model.options={decoder_channels: [16, 16]}"),
            options=TrainOptions("cpu", epochs=1),
        )
