"""Patch networks within a segmenter: the margin of a tile is their context, and a halo that is too small grows."""

import numpy as np
import pytest
import torch
from torch import Tensor

from deepnets4eo.cards import Legend
from deepnets4eo.device import Compute
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter
from deepnets4eo.tiling import Tiling

BANDS = 6
INPUTS = InputSpec(
    {"image": LayerInput(tuple(f"band_{n}" for n in range(BANDS)), (0.0,) * BANDS, (1.0,) * BANDS, 0, 255)}
)


def segmenter(name: str, tiling: Tiling | None = None) -> NetworkSegmenter:
    torch.manual_seed(0)
    return NetworkSegmenter({"name": f"hyperspectral/{name}"}, INPUTS, Legend.load("isprs"), tiling=tiling)


@pytest.mark.parametrize("name", ["hamida", "liu", "lee", "hu"])
def test_a_tile_without_its_margin_is_that_part_of_the_whole(name: str) -> None:
    of_tiles = segmenter(name)
    image = np.random.default_rng(0).normal(size=(1, BANDS, 30, 41)).astype(np.float32)
    whole = of_tiles.predict_raw(image)
    for margin_px in (0, 1, 4, 9):
        inner = of_tiles.predict_raw(image, margin_px=margin_px)
        expected = whole[:, :, margin_px : 30 - margin_px, margin_px : 41 - margin_px]
        np.testing.assert_allclose(inner, expected, rtol=1e-4, atol=1e-5)


def test_only_the_context_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    of_tiles = segmenter("liu")
    sizes: list[tuple[int, ...]] = []
    inner = of_tiles.module.inner_scores

    def note(cube: Tensor) -> Tensor:
        sizes.append(tuple(cube.shape))
        return inner(cube)

    monkeypatch.setattr(of_tiles.module, "inner_scores", note)
    of_tiles.predict_raw(np.zeros((1, BANDS, 50, 50), np.float32), margin_px=10)
    assert sizes == [(1, BANDS, 30 + 7, 30 + 7)]


def test_a_halo_that_is_too_small_grows_and_the_core_stays() -> None:
    assert segmenter("sharma", Tiling(64, 8)).tiling == Tiling(112, 32)
    assert segmenter("hamida", Tiling(64, 8)).tiling == Tiling(64, 8)
    assert (segmenter("hamida").tiling, segmenter("sharma").tiling) == (Tiling(256, 2), Tiling(256, 32))


def test_labels_in_bfloat16_are_nearly_those_in_float32() -> None:
    image = np.random.default_rng(0).normal(size=(1, BANDS, 9, 11)).astype(np.float32)
    for name in ("boulch", "hamida", "hu", "lee", "li", "liu", "mou", "nn", "sharma"):
        of_tiles = segmenter(name)
        exact = of_tiles.predict_raw(image)
        of_tiles.to(Compute(precision="bfloat16"))
        np.testing.assert_allclose(of_tiles.predict_raw(image), exact, atol=0.05 * float(exact.max() - exact.min()))
