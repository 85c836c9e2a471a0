"""Guided anisotropic diffusion against a plain computation, and what it keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from refusals import raises_naming

from deepnets4eo.change import Diffusion, diffusion, guided_anisotropic_diffusion
from deepnets4eo.errors import InputError

STEPS = 37


def plain(
    scores: NDArray[Any],
    guides: list[NDArray[Any]],
    steps: int,
    edge_level: float = Diffusion.edge_level,
    rate: float = Diffusion.rate,
) -> NDArray[Any]:
    """Equations 3 and 4 of Daudt et al., EarthVision 2019, one array operation after another, in the arrays' own type."""
    arrays = [array.copy() for array in (*guides, scores)]
    for _ in range(steps):
        flows = []
        for axis in (1, 2):
            differences = [np.diff(array, axis=axis) for array in arrays]
            shares = [1 / (1 + (np.abs(one).mean(axis=0) / edge_level) ** 2) for one in differences[:-1]]
            least = np.minimum.reduce(shares)
            flows.append([rate * share * one for share, one in zip([*shares, least], differences, strict=True)])
        for array, down, right in zip(arrays, *flows, strict=True):
            array[:, :-1] += down
            array[:, 1:] -= down
            array[:, :, :-1] += right
            array[:, :, 1:] -= right
    return arrays[-1]


@pytest.fixture(scope="module")
def pair() -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    guides = [
        np.kron(rng.uniform(0, 255, (3, 10, 6)), np.ones((1, 15, 15))) + rng.normal(0, 3, (3, 150, 90))
        for _ in range(2)
    ]
    return guides, rng.random((2, 150, 90)).astype(np.float32)


@pytest.mark.parametrize("num_guides", [1, 2])
def test_the_result_is_that_of_the_plain_scheme(pair, num_guides):
    guides, scores = pair
    ours = guided_anisotropic_diffusion(scores, guides[:num_guides], diffusion=Diffusion(STEPS))
    expected = plain(scores.astype(float), guides[:num_guides], STEPS, 5, 0.24)
    np.testing.assert_allclose(ours, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("with_gaps", "options"), [(False, Diffusion(11)), (True, Diffusion(11)), (True, Diffusion(10, cycle=5))]
)
def test_the_compiled_step_gives_the_same_bits(pair, monkeypatch, with_gaps, options):
    pytest.importorskip("numba")
    guides, scores = pair
    valid = np.random.default_rng(1).random(scores.shape[1:]) < 0.9 if with_gaps else None
    results = []
    for values, shape in (
        (2**60, (150, 90)),
        (0, (150, 90)),
        (2**60, (1, 7)),
        (0, (1, 7)),
        (2**60, (5, 1)),
        (0, (5, 1)),
    ):
        monkeypatch.setattr(diffusion, "COMPILED_VALUES", values)
        part = np.s_[:, : shape[0], : shape[1]]
        seen = None if valid is None else valid[part[1:]]
        cut = scores[part], [guide[part] for guide in guides]
        results.append(guided_anisotropic_diffusion(*cut, diffusion=options, valid=seen))
    assert diffusion._compiled() is not None
    for plainly, compiled in zip(results[::2], results[1::2], strict=True):
        assert plainly.tobytes() == compiled.tobytes()


@pytest.mark.parametrize("compiled_values", [2**60, 0])
@pytest.mark.parametrize("options", [Diffusion(STEPS), Diffusion(10, cycle=5)])
def test_bands_and_threads_do_not_change_a_bit(pair, monkeypatch, options, compiled_values):
    guides, scores = pair
    valid = np.random.default_rng(1).random(scores.shape[1:]) < 0.9
    whole = guided_anisotropic_diffusion(scores, guides, diffusion=options, valid=valid, workers=1)
    monkeypatch.setattr(diffusion, "BAND_ROWS", 11)
    monkeypatch.setattr(diffusion, "BAND_STEPS", 3)
    monkeypatch.setattr(diffusion, "COMPILED_VALUES", compiled_values)
    cut = guided_anisotropic_diffusion(scores, guides, diffusion=options, valid=valid, workers=3)
    np.testing.assert_array_equal(whole, cut)


def test_three_cycles_of_five_steps_end_where_thirty_equal_steps_do(pair):
    guides, scores = pair
    equal, cycles = (
        guided_anisotropic_diffusion(scores, guides, diffusion=options)
        for options in (Diffusion(30), Diffusion(15, cycle=5))
    )
    assert np.abs(cycles - equal).mean() < 0.02 * np.abs(equal - scores).mean()
    np.testing.assert_allclose(cycles.sum(axis=(1, 2), dtype=float), scores.sum(axis=(1, 2), dtype=float), rtol=1e-6)
    assert Diffusion(3, rate=0.1, cycle=3).rates == pytest.approx([0.0526, 0.0818, 0.2656], abs=1e-4)  # 0.4 in all


@pytest.mark.parametrize("cycle", [0, 4, 2.5])
def test_cycles_that_steps_are_no_multiple_of_are_refused(cycle):
    with raises_naming(InputError, f"cycle={cycle}", "15"):
        Diffusion(15, cycle=cycle)


def test_sum_and_range_of_the_scores_stay(pair):
    guides, scores = pair
    ours = guided_anisotropic_diffusion(scores, guides, diffusion=Diffusion(200, edge_level=50))
    np.testing.assert_allclose(ours.sum(axis=(1, 2), dtype=float), scores.sum(axis=(1, 2), dtype=float), rtol=1e-6)
    assert scores.min() <= ours.min()
    assert ours.max() <= scores.max()


def test_the_finest_pattern_fades():
    board = (np.indices((1, 64, 64)).sum(axis=0) % 2 * 1e-3).astype(np.float32)
    ours = guided_anisotropic_diffusion(board, [np.zeros((3, 64, 64))], diffusion=Diffusion(200))
    assert np.ptp(ours) < 1e-5  # at a rate of 0.25 it stays 1e-3, above it grows


def test_scores_shrink_to_the_object_that_a_guide_shows():
    """A square of 48 pixels, found 64 pixels wide (facts sheet D.1): Dice rises from 0.72 to nearly 1."""
    rng = np.random.default_rng(0)
    truth = np.zeros((128, 128), bool)
    truth[40:88, 40:88] = True
    guides = [100 + rng.normal(0, 2, (3, 128, 128)), 100 + 120 * truth + rng.normal(0, 2, (3, 128, 128))]
    scores = np.zeros((1, 128, 128), np.float32)
    scores[0, 32:96, 32:96] = 1
    wide = dice(scores[0] > 0.5, truth)
    assert wide == pytest.approx(0.72, abs=0.005)
    assert dice(guided_anisotropic_diffusion(scores, guides, diffusion=Diffusion(500))[0] > 0.5, truth) > 0.98


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def test_nothing_flows_into_pixels_that_are_not_valid_or_out_of_them(pair):
    guides, scores = pair
    valid = np.ones((150, 90), bool)
    valid[:, 45:50] = False
    changed = scores.copy()
    changed[:, ~valid] = np.nan
    changed[:, :, 50:] = 0
    ours = guided_anisotropic_diffusion(changed, guides, diffusion=Diffusion(100), valid=valid)
    assert np.isnan(ours[:, ~valid]).all()
    assert not ours[:, :, 50:].any()
    np.testing.assert_allclose(ours[:, :, :45].sum(), scores[:, :, :45].sum(), rtol=1e-5)


def test_inputs_stay_as_they_are(pair):
    guides, scores = pair
    before = [array.copy() for array in (*guides, scores)]
    guided_anisotropic_diffusion(scores, guides, diffusion=Diffusion(5))
    assert all(np.array_equal(one, two) for one, two in zip(before, (*guides, scores), strict=True))


@pytest.mark.parametrize(
    ("steps", "rate", "cycle"), [(50, 0.04, 1), (30, 0.24, 1), (7, 0.1, 1), (0, 0.2, 1), (15, 0.24, 5), (6, 0.2, 3)]
)
def test_the_reach_is_four_deviations_of_what_spreads_from_one_pixel(steps, rate, cycle):
    flat, point = np.zeros((1, 61, 61), np.float32), np.zeros((1, 61, 61), np.float32)
    point[0, 30, 30] = 1
    options = Diffusion(steps=steps, rate=rate, cycle=cycle)
    spread = guided_anisotropic_diffusion(point, [flat], diffusion=options)[0].astype(float)
    deviation = np.sqrt((spread.sum(axis=0) * (np.arange(61) - 30) ** 2).sum())
    assert 4 * deviation - 1e-3 <= options.reach_px < 4 * deviation + 1 + 1e-3
    assert Diffusion(2500, rate=0.24).reach_px == 139  # 4 √1200 = 138.56


def test_rates_of_a_quarter_are_refused():
    with raises_naming(InputError, "0.25"):
        Diffusion(rate=0.25)


def test_other_sizes_and_undefined_values_are_refused():
    with pytest.raises(InputError, match="same rows and columns"):
        guided_anisotropic_diffusion(np.zeros((1, 4, 4), np.float32), [np.zeros((3, 4, 5))])
    with pytest.raises(InputError, match="not finite"):
        guided_anisotropic_diffusion(np.full((1, 4, 4), np.nan, np.float32), [np.zeros((3, 4, 4))])


@pytest.mark.parametrize("kind", [int, float, np.uint8])
def test_a_mask_that_is_not_bool_is_refused(kind):
    scores = np.zeros((1, 4, 5), np.float32)
    with raises_naming(InputError, "valid", "bool"):
        guided_anisotropic_diffusion(scores, [scores], valid=np.ones((4, 5), kind))


def test_empty_and_complex_scores_and_half_steps_are_refused():
    scores = np.zeros((1, 4, 5), np.float32)
    with pytest.raises(InputError, match="expected one pixel at least"):
        guided_anisotropic_diffusion(scores[:, :0], [scores[:, :0]])
    with raises_naming(InputError, "complex64", "float32"):
        guided_anisotropic_diffusion(scores.astype(np.complex64), [scores])
    with raises_naming(InputError, "2.5", "0"):
        Diffusion(2.5)
