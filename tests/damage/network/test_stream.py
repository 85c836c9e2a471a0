"""Windows of graded pairs in memory: what lies where, and what is shown how often."""

from dataclasses import replace

import numpy as np
import shapely
import torch

from deepnets4eo.cards import Legend
from deepnets4eo.damage import GradedPair
from deepnets4eo.damage.network.architecture import DamageCriterion
from deepnets4eo.damage.network.kept_pairs import KeptPairs
from deepnets4eo.damage.network.recipe import DamageData, DamageTraining
from deepnets4eo.damage.network.samples import read_window
from deepnets4eo.files import PARTIAL

SIDE = 96
EXACT = DamageData(source="made-up", tile_px=64, outline_error_m=0, misregistration_px=0)


def as_it_is(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image[:3]


def make_pair(seed: int = 0, hazard: str = "flood") -> GradedPair:
    """Nine houses in rows; the brightness of post at a house is its grade."""
    rng = np.random.default_rng(seed)
    corners = [(x, y) for y in (6, 38, 70) for x in (6, 38, 70)]
    outlines = np.array([shapely.box(x, y, x + 20, y + 14) for x, y in corners], dtype=object)
    grades = np.array([0, 1, 2, 3, 0, 255, 0, 0, 1], np.uint8)
    pre, post = rng.integers(0, 40, (2, 4, SIDE, SIDE)).astype(np.uint8)
    for (x, y), grade in zip(corners, grades, strict=True):
        post[:, y : y + 14, x : x + 20] = 50 + 50 * min(int(grade), 3)
    return GradedPair(pre, post, outlines, grades, grades, 0.5, "suburb", hazard)


def test_grades_lie_where_the_houses_are_and_ignored_houses_are_no_houses():
    pair = make_pair()
    sample = read_window(pair, EXACT, as_it_is, np.random.default_rng(1))
    graded = sample["mask"] != 255
    assert graded.any()
    brightness = np.full(pair.shape, -1)
    for outline, grade in zip(pair.outlines, pair.grades, strict=True):
        left, top, right, bottom = map(int, outline.bounds)
        brightness[top:bottom, left:right] = grade if grade != 255 else -1
    post = sample["image_post"]
    corner = next(
        (row, col)
        for row in range(SIDE - 63)
        for col in range(SIDE - 63)
        if np.array_equal(pair.post[:3, row : row + 64, col : col + 64], post)
    )
    shown = brightness[corner[0] : corner[0] + 64, corner[1] : corner[1] + 64]
    assert (sample["mask"][graded] == shown[graded]).all()
    assert ((sample["building"] > 0) == graded).all()


def test_outlines_stray_no_farther_than_the_recipe_says():
    pair, rng = make_pair(), np.random.default_rng(2)
    far = EXACT.model_copy(update={"outline_error_m": 3.0})
    exact = read_window(pair, EXACT, as_it_is, np.random.default_rng(3))["building"] > 0
    shares = []
    for _ in range(20):
        moved = read_window(pair, far, as_it_is, rng)
        shares.append((moved["building"] > 0).mean())
        assert set(np.unique(moved["mask"])) <= {0, 1, 2, 3, 255}
    assert 0.5 * exact.mean() < np.mean(shares) < 2 * exact.mean()


def test_what_lies_beyond_the_pair_is_not_valid_and_zero():
    small = EXACT.model_copy(update={"tile_px": 128})
    sample = read_window(make_pair(), small, as_it_is, np.random.default_rng(4))
    assert sample["valid"].sum() == SIDE * SIDE
    for name in ("image_pre", "image_post"):
        assert (sample[name][:, ~sample["valid"]] == 0).all()
        assert (sample[name][:, sample["valid"]] != 0).any()


def test_a_fine_pair_is_seen_with_larger_pixels_and_a_coarse_one_as_it_is():
    pair = make_pair()
    half = replace(pair, gsd_m=0.25).at_gsd(0.5)
    assert half.shape == (SIDE // 2, SIDE // 2)
    np.testing.assert_allclose(
        [one.bounds for one in half.outlines], [np.array(one.bounds) / 2 for one in pair.outlines]
    )
    np.testing.assert_allclose(half.pre.mean(), pair.pre.mean(), atol=0.5)
    assert replace(pair, gsd_m=0.9).at_gsd(0.5).shape == pair.shape


def test_each_grade_of_a_pair_is_in_the_middle_as_often():
    pair = make_pair()
    house = shapely.box(41, 41, 53, 49)
    outlines = np.array([house, *(shapely.box(x, 0, x + 4, 3) for x in range(0, 90, 6))], dtype=object)
    grades = np.array([3, *[0] * (len(outlines) - 1)], np.uint8)  # one destroyed, many intact in a row at the top
    pair = replace(pair, outlines=outlines, grades=grades, truth=grades)
    rng, narrow = np.random.default_rng(5), EXACT.model_copy(update={"tile_px": 32})
    shown = [(read_window(pair, narrow, as_it_is, rng)["mask"] == 3).any() for _ in range(60)]
    assert 15 <= np.sum(shown) <= 45


def test_display_values_are_standardised_on_the_device_to_the_same_bits():
    data = EXACT.model_copy(update={"tile_px": 128})  # larger than the pair, so that pixels are invalid
    raw, scaled = (
        read_window(make_pair(), data, as_it_is, np.random.default_rng(6), scaled=scaled) for scaled in (False, True)
    )
    assert {name: str(layer.dtype) for name, layer in raw.items()} == {
        "image_pre": "uint8", "image_post": "uint8", "valid": "bool", "mask": "uint8", "building": "int16",
    }  # fmt: skip
    seen = []

    class Network(torch.nn.Module):
        def both(self, dates):
            seen.append(dates.numpy())
            return dates[:, :4], dates[:, 2:]

    criterion = DamageCriterion(DamageTraining(losses={}, ordinal=True), Legend.load("xbd"))
    for sample in (raw, scaled):
        criterion.step(Network(), {name: torch.from_numpy(layer)[None] for name, layer in sample.items()})
    np.testing.assert_array_equal(seen[0], seen[1])


def test_a_pair_that_is_kept_is_drawn_once_and_is_the_same(tmp_path):
    drawn = []

    def draw(seed: int) -> GradedPair:
        drawn.append(seed)
        return make_pair(seed)

    first, again = (KeptPairs.of(EXACT, tmp_path, draw)(5) for _ in range(2))
    assert drawn == [5]
    assert shapely.equals_identical(first.outlines, make_pair().outlines).all()
    for pair in (first, again):
        for name in ("pre", "post", "grades", "truth"):
            np.testing.assert_array_equal(getattr(pair, name), getattr(make_pair(5), name))
        assert (pair.gsd_m, pair.style, pair.hazard) == (0.5, "suburb", "flood")
    (file,) = tmp_path.glob("*/*.npz")
    file.write_bytes(file.read_bytes()[:2000])  # cut off: drawn again
    np.testing.assert_array_equal(KeptPairs.of(EXACT, tmp_path, draw)(5).pre, first.pre)
    KeptPairs.of(EXACT.model_copy(update={"size_px": 300}), tmp_path, draw)(5)
    assert drawn == [5, 5, 5]
    of_other_code = KeptPairs.of(EXACT, tmp_path, draw, drawn_by="other")
    of_other_code(5)
    of_other_code(5)
    assert drawn == [5, 5, 5, 5]
    kept = KeptPairs.kept_in(tmp_path)
    (kept[0].parent / f"{PARTIAL}6.npz").write_bytes(b"of a killed job")
    assert KeptPairs.kept_in(tmp_path) == kept
    assert [path.name for path in kept] == ["5.npz"] * 3
