"""Windows and pixels to learn from: inside, seeded, balanced, and never from what is void."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import ndimage

from deepnets4eo.baselines.tuned_classifier import block_folds
from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Scene
from deepnets4eo.tiling import ClassCells, balanced_windows, random_windows, sample_pixels

LEGEND = Legend("three", tuple(LegendClass(v, n, (v, v, 1)) for v, n in [(2, "common"), (5, "rare"), (9, "absent")]))


def make_labels(shape=(500, 400)):
    labels = np.full(shape, 2, np.uint8)
    labels[300:310, 100:112] = 5
    labels[:, 390:] = 255
    return labels


def make_scene(labels=None):
    labels = make_labels() if labels is None else labels
    return Scene.open(image=np.stack([labels, labels + 100]), labels=labels)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60), st.integers(0, 99))
def test_random_windows_lie_inside_wherever_they_fit(height, width, side, seed):
    windows = random_windows((height, width), side, 20, np.random.default_rng(seed))
    assert len(windows) == 20
    for window in windows:
        assert window[2:] == (side, side)
        assert 0 <= window.row <= max(height - side, 0)
        assert 0 <= window.col <= max(width - side, 0)


def test_same_seed_gives_the_same_windows():
    draws = [random_windows((900, 900), 64, 5, np.random.default_rng(3)) for _ in range(2)]
    assert draws[0] == draws[1]


def test_class_counts_are_those_of_the_labels():
    cells = ClassCells.build(make_scene(), LEGEND)
    assert cells.counts.tolist() == [(make_labels() == value).sum() for value in LEGEND.values]
    assert cells.present == [0, 1]
    assert {tuple(cell) for cell in cells.cells[1]} == {(4, 1)}


def test_cells_of_several_blocks_are_those_that_show_the_class():
    labels = np.full((1100, 1061), 255, np.uint8)  # larger than a block, no multiple of a cell
    rng = np.random.default_rng(0)
    labels[rng.integers(0, 1100, 150), rng.integers(0, 1061, 150)] = rng.choice(LEGEND.values[:2], 150)
    cells = ClassCells.build(Scene.open(labels=labels), LEGEND)
    for value, found in zip(LEGEND.values, cells.cells, strict=True):
        shown = {(row // 64, col // 64) for row, col in np.argwhere(labels == value).tolist()}
        assert len(found) == len(shown)
        assert {tuple(cell) for cell in found.tolist()} == shown
    assert cells.counts.tolist() == [(labels == value).sum() for value in LEGEND.values]


def test_rare_class_is_seen_in_about_half_of_balanced_windows():
    scene = make_scene()
    windows = balanced_windows(ClassCells.build(scene, LEGEND), 48, 200, np.random.default_rng(0))
    seen = [(scene.read(window)["labels"] == 5).any() for window in windows]
    plain = [
        (scene.read(window)["labels"] == 5).any()
        for window in random_windows((500, 400), 48, 200, np.random.default_rng(0))
    ]
    assert np.mean(seen) > 0.25 > 5 * np.mean(plain)


def test_pixels_left_out_are_not_counted():
    kept = ClassCells.build(make_scene(), LEGEND, lambda window: np.zeros((window.height, window.width), bool))
    assert kept.counts.sum() == 0
    with pytest.raises(InputError, match="no pixel of the scene is labelled"):
        balanced_windows(kept, 32, 1, np.random.default_rng(0))


@pytest.mark.parametrize("legend", [LEGEND, Legend("descending", LEGEND.classes[::-1])])
def test_drawn_pixels_carry_their_own_label_and_are_balanced(legend):
    scene = make_scene()
    drawn = sample_pixels([scene], legend, lambda sample: sample["image"], max_pixels=300)
    np.testing.assert_array_equal(drawn.vectors[:, 0], np.asarray(legend.values)[drawn.class_indices])
    assert sorted(np.bincount(drawn.class_indices, minlength=3).tolist()) == [0, 100, 100]
    assert drawn.blocks.shape == drawn.class_indices.shape


@pytest.mark.parametrize("stride_px", [2, 8])
def test_sites_a_few_pixels_apart_carry_the_label_in_their_middle(stride_px):
    scene = make_scene()

    def sites(sample):
        return sample["image"][:, stride_px // 2 :: stride_px, stride_px // 2 :: stride_px]

    drawn = sample_pixels([scene], LEGEND, sites, max_pixels=60, halo_px=16, stride_px=stride_px, window_px=32)
    np.testing.assert_array_equal(drawn.vectors[:, 0], np.asarray(LEGEND.values)[drawn.class_indices])
    assert len(np.unique(drawn.blocks)) > 1


def test_pixels_of_few_windows_are_told_apart_by_cells():
    labels = np.where(np.indices((150, 200)).sum(axis=0) % 2, 2, 5).astype(np.uint8)
    cells = (np.arange(150)[:, None] // 35 * 10 + np.arange(200) // 35).astype(np.uint8)
    scene = Scene.open(image=cells[None], labels=labels)
    for stride_px in (1, 4):
        at_sites = slice(stride_px // 2, None, stride_px)
        drawn = sample_pixels(
            [scene], LEGEND, lambda sample, at=at_sites: sample["image"][:, at, at], max_pixels=900, stride_px=stride_px
        )
        pairs = np.unique(np.stack([drawn.blocks, drawn.vectors[:, 0]]), axis=1)
        assert len(pairs[0]) == len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == 30
    many = sample_pixels([scene], LEGEND, lambda sample: sample["image"], max_pixels=90_000, window_px=32)
    assert len(np.unique(many.blocks)) == 35


def test_scene_without_labels_gives_no_pixels():
    labels = np.full((40, 40), 255, np.uint8)
    scene = Scene.open(image=labels[None], labels=labels)
    with pytest.raises(InputError, match="no pixel that is valid and labelled"):
        sample_pixels([scene], LEGEND, lambda sample: sample["image"], max_pixels=10)


def test_pixels_drawn_at_random_keep_the_shares_of_the_classes() -> None:
    labels = np.full((300, 400), 2, np.uint8)
    labels[:, :100] = 5
    labels[:30] = 255
    scene = make_scene(labels)
    drawn = sample_pixels(
        [scene], LEGEND, lambda sample: sample["image"], max_pixels=8000, window_px=64, balanced=False
    )
    assert 7900 <= len(drawn.class_indices) <= 8100
    shares = np.bincount(drawn.class_indices, minlength=LEGEND.num_classes) / len(drawn.class_indices)
    assert np.isclose(shares, [0.75, 0.25, 0], atol=0.03).all()


def test_few_pixels_at_random_come_from_few_windows() -> None:
    scene = make_scene(np.full((640, 640), 2, np.uint8))
    drawn = sample_pixels(
        [scene], LEGEND, lambda sample: sample["image"], max_pixels=1000, window_px=64, balanced=False
    )
    assert len(np.unique(drawn.blocks)) == 5
    assert len(drawn.blocks) == 1000


def test_folds_of_a_small_scene_hold_each_class_on_both_sides() -> None:
    """Four fields of a class in 128 pixels: folds of 64 px cells would lose whole classes, by which settings are chosen."""
    labels = np.kron(np.repeat([[2, 5]], 2, axis=0), np.ones((64, 64))).astype(np.uint8)
    drawn = sample_pixels([make_scene(labels)], LEGEND, lambda sample: sample["image"], max_pixels=9000, balanced=False)
    assert len(np.unique(drawn.blocks)) == 25
    for train, test in block_folds(drawn.class_indices.astype(np.intp), drawn.blocks, 3, 0):
        assert not set(drawn.blocks[train]) & set(drawn.blocks[test])
        assert [len(np.unique(drawn.class_indices[part])) for part in (train, test)] == [2, 2]


def test_a_scene_of_one_window_fills_the_quota_of_each_class() -> None:
    labels = np.kron([[2, 5]], np.ones((200, 100))).astype(np.uint8)
    drawn = sample_pixels([make_scene(labels)], LEGEND, lambda sample: sample["image"], max_pixels=12_000)
    assert np.bincount(drawn.class_indices).tolist() == [4000, 4000]


@pytest.mark.parametrize("halo_px", [3, 40])
def test_features_at_the_edges_are_those_of_the_mirrored_scene(halo_px):
    rng = np.random.default_rng(0)
    image, labels = rng.integers(0, 255, (1, 45, 33)).astype(np.uint8), np.full((45, 33), 2, np.uint8)
    side = 2 * halo_px + 1
    samples = sample_pixels(
        [Scene.open(image=image, labels=labels)],
        LEGEND,
        lambda sample: ndimage.uniform_filter(sample["image"], (0, side, side)),
        max_pixels=10_000,
        halo_px=halo_px,
        window_px=16,
        balanced=False,
    )
    whole = ndimage.uniform_filter(image[0].astype(np.float32), side, mode="mirror")
    assert len(samples.vectors) == labels.size
    np.testing.assert_allclose(np.sort(samples.vectors[:, 0]), np.sort(whole.ravel()), rtol=1e-4)


def test_a_random_draw_takes_no_more_than_a_share_of_dense_labels_and_all_of_sparse_ones():
    def draw(labels, **options):
        scene = make_scene(labels)
        return len(
            sample_pixels(
                [scene], LEGEND, lambda sample: sample["image"], max_pixels=9000, balanced=False, **options
            ).vectors
        )

    dense = np.full((128, 256), 2, np.uint8)
    assert draw(dense) == 9000
    assert draw(dense, max_share=0.25) == 8192
    sparse = np.full((128, 256), 255, np.uint8)
    sparse[::8, ::4] = 2
    assert draw(sparse, max_share=0.25) == 1024
