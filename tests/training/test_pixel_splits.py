"""Splits of single pixels: disjoint, of labelled pixels alone, with the counts and the buffer that were set, by their seed."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, strategies as st
from odc.geo.geobox import GeoBox
from refusals import raises_naming
from scipy import ndimage

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.training import count_classes
from deepnets4eo.training.pixel_splits import PixelSplit, assign_folds, split_components, split_per_class, split_share

VOID = 255
NAMES = ("grass", "soil", "water")


@st.composite
def label_maps(draw: st.DrawFn) -> list[np.ndarray]:
    """One or two scenes of small fields, of which each class has several pixels and components."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    side = draw(st.integers(1, 4))
    scenes = []
    for _ in range(draw(st.integers(1, 2))):
        fields = rng.choice([0, 1, 2, VOID], (draw(st.integers(8, 12)), draw(st.integers(8, 12))))
        scenes.append(fields.repeat(side, 0).repeat(side, 1).astype(np.uint8))
    return scenes


def masks(split: PixelSplit) -> tuple[np.ndarray, np.ndarray]:
    window = Window(0, 0, *split.shape)
    return split.mask("train", window), split.mask("val", window)


def assert_disjoint_and_labelled(splits: list[PixelSplit], labels: list[np.ndarray]) -> None:
    for split, one in zip(splits, labels, strict=True):
        train, val = masks(split)
        assert not (train & val).any()
        assert ((train | val) <= (one != VOID)).all()
        assert split.area("train") + split.area("val") == train.sum() + val.sum()


def learnt(splits: list[PixelSplit], labels: list[np.ndarray]) -> list[int]:
    parts = [np.where(masks(split)[0], one, np.uint8(VOID)) for split, one in zip(splits, labels, strict=True)]
    return count_classes(parts, 3).tolist()


@given(label_maps(), st.floats(0.05, 0.95), st.integers(0, 9))
def test_a_share_of_each_class_is_validated_on_and_all_others_are_learnt_from(labels, share, seed):
    splits = split_share(labels, NAMES, share, seed)
    assert_disjoint_and_labelled(splits, labels)
    for split, one in zip(splits, labels, strict=True):
        train, val = masks(split)
        np.testing.assert_array_equal(train | val, one != VOID)
    for count, total in zip(learnt(splits, labels), count_classes(labels, 3), strict=True):
        assert abs(count - (1 - share) * total) <= 1
        assert 0 < count < total
    again = split_share(labels, NAMES, share, seed)
    assert all((a.part_map == b.part_map).all() for a, b in zip(splits, again, strict=True))


@given(label_maps(), st.integers(1, 4), st.integers(0, 9))
def test_as_many_pixels_of_each_class_are_learnt_from_as_were_set(labels, number, seed):
    splits = split_per_class(labels, NAMES, number, seed)
    assert_disjoint_and_labelled(splits, labels)
    assert learnt(splits, labels) == [number] * 3
    assert sum(split.area("val") for split in splits) == count_classes(labels, 3).sum() - 3 * number


@given(label_maps(), st.floats(0.1, 0.9), st.integers(0, 2), st.integers(0, 9))
def test_components_are_in_one_part_and_training_keeps_its_distance(labels, share, buffer_px, seed):
    try:
        splits = split_components(labels, NAMES, share, buffer_px, seed)
    except InputError:  # a class of one component, or of few small ones
        return
    assert_disjoint_and_labelled(splits, labels)
    for split, one in zip(splits, labels, strict=True):
        train, val = masks(split)
        distance = ndimage.distance_transform_cdt(~val, metric="chessboard") if val.any() else np.full(val.shape, 99)
        assert not train.any() or distance[train].min() > buffer_px
        for class_index in range(3):
            numbers, count = ndimage.label(one == class_index, np.ones((3, 3)))
            for number in range(1, count + 1):
                inside = val[numbers == number]
                assert inside.all() or not inside.any()
                assert inside.all() or (train[numbers == number] == (distance[numbers == number] > buffer_px)).all()


def test_seeds_of_components_differ():
    labels = [np.random.default_rng(0).choice([0, 1, 2, VOID], (20, 20)).repeat(4, 0).repeat(4, 1).astype(np.uint8)]
    first, second = (split_components(labels, NAMES, 0.3, 1, seed)[0] for seed in (0, 1))
    assert (first.part_map != second.part_map).any()


@given(label_maps())
def test_windows_of_a_part_show_each_of_its_pixels_once(labels):
    for split in split_share(labels, NAMES, 0.1, 0):
        cover = np.zeros(split.shape, int)
        for window in split.windows("val", 5):
            cover[window.slices] += split.mask("val", window)
            assert split.intersects_part("val", window)
        np.testing.assert_array_equal(cover, masks(split)[1])


def test_a_mask_beyond_the_edge_is_empty_there():
    split = PixelSplit(np.full((3, 4), 1, np.uint8))
    assert split.mask("train", Window(-1, 2, 3, 4)).tolist() == [[False] * 4, [True, True, False, False]] + [
        [True, True, False, False]
    ]
    assert not split.mask("train", Window(9, 9, 2, 2)).any()
    assert not split.intersects_part("train", Window(9, 9, 2, 2))


def test_random_windows_are_centred_on_pixels_of_the_part():
    part_map = np.zeros((60, 60), np.uint8)
    part_map[30, 20:40] = 1
    part_map[2, 2] = 2
    split = PixelSplit(part_map, 3)
    for window in split.random_windows("train", 9, 20, np.random.default_rng(0)):
        assert part_map[window.row + 4, window.col + 4] == 1
    assert split.random_windows("val", 9, 1, np.random.default_rng(0)) == [Window(0, 0, 9, 9)]
    boxes = np.array([[0, 0, 2, 2], [5, 5, 7, 7], [6, 6, 8, 8]])
    assert split.near("val", boxes).tolist() == [True, True, False]
    assert split.contains("val", np.array([[2, 2], [2, 3]])).tolist() == [True, False]


def test_geojson_counts_the_pixels_of_each_part_by_cell():
    grid = GeoBox((100, 100), Affine(10, 0, 500_000, 0, -10, 4_100_000), "EPSG:32615")
    part_map = np.zeros((100, 100), np.uint8)
    part_map[:10, :10], part_map[99, 99] = 1, 2
    drawn = PixelSplit(part_map).to_geojson(grid)
    assert [feature["properties"] for feature in drawn["features"]] == [
        {"train": 100, "val": 0},
        {"train": 0, "val": 1},
    ]
    assert abs(drawn["features"][0]["geometry"]["coordinates"][0][0][0] - -93) < 1e-6


@given(st.integers(2, 5), st.integers(0, 50))
def test_each_class_is_in_as_many_folds_as_it_can_be(folds, seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 50, (rng.integers(folds, 40), 4)) * (rng.random(4) > rng.random())
    counts[0] = 0  # a block without labels
    fold_of = assign_folds(counts, folds, seed)
    assert set(fold_of) <= set(range(folds))
    rarest = np.argmin(np.where(counts.any(axis=0), np.count_nonzero(counts, axis=0), 999))
    showing = counts[:, rarest] > 0
    assert len(set(fold_of[showing])) == min(folds, showing.sum())
    np.testing.assert_array_equal(fold_of, assign_folds(counts, folds, seed))


def test_folds_of_many_blocks_have_every_class_in_like_numbers():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 100, (60, 3)) * (rng.random((60, 3)) < [0.2, 0.6, 1.0])
    fold_of = assign_folds(counts, 5, 0)
    by_fold = np.stack([counts[fold_of == fold].sum(axis=0) for fold in range(5)])
    assert (by_fold > 0.4 * counts.sum(axis=0) / 5).all()


def test_classes_that_cannot_be_in_both_parts_are_named():
    labels = [np.full((10, 10), VOID, np.uint8)]
    labels[0][0, :5] = 0
    labels[0][5, 5] = 1
    with raises_naming(InputError, "random_pixels"):
        split_share(labels, NAMES, 0.5, 0)
    with raises_naming(InputError, "per_class", "5", "1", "data.pixels_per_class"):
        split_per_class(labels, NAMES, 5, 0)
    with pytest.raises(
        InputError, match="components: grass, soil each lie in one connected component.*data.split=folds"
    ):
        split_components(labels, NAMES, 0.5, 0, 0)
    labels[0][0, 7], labels[0][9, 9] = 0, 1
    with raises_naming(InputError, "data.split", "within 9"):
        split_components(labels, NAMES, 0.5, 9, 0)
    with raises_naming(InputError, "'test'"):
        PixelSplit(labels[0]).area("test")
