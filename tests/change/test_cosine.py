"""The cosine between two dates: brightness and rounding are no change, and scores that are all 0 are refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from deepnets4eo.change.classical.detector import ChangeDetector
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Histogram, Layer, Scene

BLOCK = np.s_[40:60, 50:80]


def ground() -> np.ndarray:
    rng = np.random.default_rng(0)
    bands = np.stack([gaussian_filter(rng.normal(size=(96, 96)), 3) for _ in range(4)])
    return (80 + 40 * bands / bands.std()).clip(10, 180)


def scene(pre: np.ndarray, post: np.ndarray, dtype: type) -> Scene:
    dates = (
        np.round(image).astype(dtype) if np.issubdtype(dtype, np.integer) else image.astype(dtype)
        for image in (pre, post)
    )
    return Scene.open(**dict(zip(("image_pre", "image_post"), map(Layer.open, dates), strict=True)))


def classes(detector: ChangeDetector, pair: Scene) -> np.ndarray:
    return detector.predict_classes(detector.inputs.prepare(pair.read())[None])[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_brighter_copy_has_no_change_and_real_change_beside_brightness_is_all_there_is(dtype) -> None:
    with pytest.raises(InputError, match="no pixel differs between both dates by cosine"):
        ChangeDetector.of_scene(scene(ground(), 1.3 * ground(), dtype), "cosine")
    post = 1.3 * ground()
    post[(slice(None), *BLOCK)] = post[(slice(None, None, -1), *BLOCK)]
    pair = scene(ground(), post, dtype)
    changed = classes(ChangeDetector.of_scene(pair, "cosine"), pair).astype(bool)
    inside = np.zeros_like(changed)
    inside[BLOCK] = True
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.3


def test_embeddings_of_zeros_and_histograms_of_one_value_are_refused() -> None:
    rng = np.random.default_rng(0)
    zeros = np.zeros((8, 64, 64), np.float32)
    with pytest.raises(InputError, match="no values but 0"):
        ChangeDetector.of_scene(scene(zeros, rng.normal(size=zeros.shape), np.float32), "cosine")
    for high in (0.0, np.nan):
        with pytest.raises(InputError, match="a single value"):
            Histogram.of([np.zeros(9)], high)
