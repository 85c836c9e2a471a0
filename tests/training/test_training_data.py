"""What a training window shows near a validation block, and which windows the statistics come from."""

import tracemalloc

import numpy as np
import pytest
from made_up_split import SIDE, SPLIT, make_data_split, random_scene
from refusals import raises_naming

from deepnets4eo.cards import SplitPart
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window, whole
from deepnets4eo.tiling import BlockSplit
from deepnets4eo.training import ClassSamples, Recipe, SampleWindow, class_cells, measure_inputs

VALIDATION = SPLIT.mask(SplitPart.val, Window(0, 0, SIDE, SIDE))


def read_whole(image: np.ndarray, labels: np.ndarray, kind: str = "blocks") -> dict[str, np.ndarray]:
    split = make_data_split([image], [labels], kind=kind)
    inputs = measure_inputs(make_data_split([random_scene()[0]], [labels]), ["image"])
    samples = ClassSamples(split, inputs, Recipe(), class_cells(split))
    return samples.read(SampleWindow(0, whole(split.scenes[0].grid)))


def test_a_training_window_over_a_validation_block_shows_nothing_of_it() -> None:
    image, labels = random_scene()
    sample = read_whole(image, labels)
    assert VALIDATION.any()
    assert not VALIDATION.all()
    assert np.array_equal(sample["valid"], ~VALIDATION)
    assert (sample["image"][:, VALIDATION] == 0).all()
    assert np.abs(sample["image"][:, ~VALIDATION]).min() > 0
    train = SPLIT.mask(SplitPart.train, Window(0, 0, SIDE, SIDE))
    expected = np.where(train, np.where(labels == 3, 0, 1), 255)
    assert np.array_equal(sample["mask"], expected)

    image[:, VALIDATION] += 1
    labels[VALIDATION] = 10 - labels[VALIDATION]
    changed = read_whole(image, labels)
    assert all(np.array_equal(sample[name], changed[name]) for name in sample)


def test_a_leaky_split_hides_labels_alone() -> None:
    image, labels = random_scene()
    sample = read_whole(image, labels, kind="random")
    assert sample["valid"].all()
    assert (sample["image"][:, VALIDATION] != 0).any()
    assert (sample["mask"][VALIDATION] == 255).all()


def test_a_window_wider_than_its_scene_is_mirrored_as_in_prediction_and_learns_from_the_scene_alone() -> None:
    image, labels = random_scene()
    split = make_data_split([image], [labels], BlockSplit((SIDE, SIDE), SIDE, 0, {SplitPart.train: 1.0}))
    samples = ClassSamples(split, measure_inputs(split, ["image"]), Recipe(), class_cells(split))
    inner = samples.read(SampleWindow(0, whole(split.scenes[0].grid)))
    wider = samples.read(SampleWindow(0, Window(-3, 0, SIDE + 10, SIDE + 20)))
    assert np.array_equal(wider["image"], np.pad(inner["image"], [(0, 0), (3, 7), (0, 20)], "reflect"))
    assert np.array_equal(wider["mask"], np.pad(inner["mask"], [(3, 7), (0, 20)], constant_values=255))
    assert wider["valid"].all()


def test_a_validation_tile_has_labels_in_its_own_window_and_an_image_around_it() -> None:
    image, labels = random_scene()
    split = make_data_split([image], [labels])
    samples = ClassSamples(split, measure_inputs(split, ["image"]), Recipe(), class_cells(split))
    block = next(
        one for one in split.splits[0].blocks(SplitPart.val) if 0 < one.row < SIDE - 32 and 0 < one.col < SIDE - 32
    )
    window = Window(block.row, block.col, 16, 16)
    sample = samples.read_validation(SampleWindow(0, window), 8, 32)
    assert sample["image"].shape == (2, 32, 32)
    assert sample["valid"].all()
    counted = np.zeros((32, 32), bool)
    counted[8:24, 8:24] = True
    assert np.array_equal(sample["mask"] != 255, counted)
    assert np.array_equal(sample["mask"][counted] == 1, (labels[window.slices] == 7).ravel())


@pytest.mark.parametrize("scaling", ["range", "unit"])
def test_scaling_for_shapes_of_spectra_knows_gain_alone(scaling: str) -> None:
    image, labels = random_scene()
    image = image.astype(np.float32) + 100
    split = make_data_split([image], [labels])
    layer = measure_inputs(split, ["image"], scaling=scaling, gain_only=True).layers["image"]
    assert set(layer.mean) == {0}
    assert len(set(layer.std)) == 1
    assert layer.std[0] == pytest.approx(np.abs(image[:, ~VALIDATION]).max(), rel=0.05)
    assert measure_inputs(split, ["image"], scaling=scaling).layers["image"].mean[0] > 0


def test_statistics_of_many_windows_come_from_some_of_them_evenly_spread() -> None:
    scenes = 9
    images = [np.full((1, SIDE, SIDE), 10 * number, np.float32) for number in range(scenes)]
    labels = [np.full((SIDE, SIDE), 3, np.uint8)] * scenes
    train_only = BlockSplit((SIDE, SIDE), SIDE, 0, {SplitPart.train: 1.0})
    split = make_data_split(images, labels, train_only)
    assert len(split.windows(SplitPart.train, 256)) == scenes
    for most, chosen in ((1000, range(9)), (9, range(9)), (5, (0, 2, 4, 6, 8)), (3, (0, 4, 8)), (2, (0, 8))):
        values = [10.0 * number for number in chosen]
        found = measure_inputs(split, ["image"], most_windows=most).layers["image"]
        assert found.mean == pytest.approx([np.mean(values)], abs=1e-6)
        assert found.std == pytest.approx([np.std(values)], abs=1e-6)


def test_the_range_is_that_of_the_middle_98_percent_and_a_constant_band_keeps_its_scale() -> None:
    image = np.stack([np.full((SIDE, SIDE), 5.0), np.arange(SIDE * SIDE).reshape(SIDE, SIDE)]).astype(np.float32)
    split = make_data_split([image], [random_scene()[1]], BlockSplit((SIDE, SIDE), SIDE, 0, {SplitPart.train: 1.0}))
    found = measure_inputs(split, ["image"]).layers["image"]
    assert found.std[0] == 1.0
    assert found.low == 5.0
    assert found.high == pytest.approx(np.percentile(image, 99), rel=0.01)
    assert found.bands == ("band_1", "band_2")
    assert found.dtype == "float32"


def test_layers_of_other_band_counts_and_parts_without_a_valid_pixel_are_refused() -> None:
    image, labels = random_scene()
    with raises_naming(InputError, "'image'"):
        measure_inputs(make_data_split([image, image[:1]], [labels, labels]), ["image"])
    nowhere = np.full((1, SIDE, SIDE), np.nan, np.float32)
    with raises_naming(InputError, "'image'", "image.tif"):
        measure_inputs(make_data_split([nowhere], [labels]), ["image"])
    only_validation = np.where(VALIDATION, 1, np.nan).astype(np.float32)[None]
    with pytest.raises(InputError, match="no valid pixel that all layers share"):
        measure_inputs(make_data_split([only_validation], [labels]), ["image"])


def test_what_is_kept_of_a_window_does_not_keep_the_window() -> None:
    def peak_bytes(windows: int) -> int:
        image, labels = np.zeros((6, 256, 256 * windows), np.uint8), np.zeros((256, 256 * windows), np.uint8)
        split = make_data_split([image], [labels], BlockSplit(labels.shape, 256, 0, {SplitPart.train: 1.0}))
        tracemalloc.start()
        try:
            measure_inputs(split, ["image"])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak_bytes(24) < 1.5 * peak_bytes(4)
