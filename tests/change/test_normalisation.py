"""Light of the pre image brought to that of the post image: known gains and offsets come back, and change does not disturb."""

from __future__ import annotations

import numpy as np
import pytest

from deepnets4eo.change.normalisation import invariant_regression, match_histograms, normalise_pre
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters.scene import Scene

GAIN, OFFSET = np.array([1.4, 0.7, 1.0]), np.array([10.0, 30.0, -5.0])


def pair(changed: float = 0.15, noise: float = 1.0) -> Scene:
    """Three bands of 160² pixels whose light differs by GAIN and OFFSET; a corner has changed."""
    rng = np.random.default_rng(0)
    ground = np.kron(rng.uniform(20, 200, (3, 20, 20)), np.ones((1, 8, 8)))
    pre = ground + rng.normal(0, noise, ground.shape)
    post = GAIN[:, None, None] * ground + OFFSET[:, None, None] + rng.normal(0, noise, ground.shape)
    side = int(160 * np.sqrt(changed))
    post[:, :side, :side] = rng.uniform(0, 400, (3, side, side))
    return Scene.open(image_pre=pre.astype(np.float32), image_post=post.astype(np.float32))


def test_gains_and_offsets_come_back_although_a_part_has_changed() -> None:
    scene = pair()
    fitted = invariant_regression(scene)
    np.testing.assert_allclose(fitted.gain, GAIN, rtol=0.01)
    np.testing.assert_allclose(fitted.offset, OFFSET, atol=1.5)
    assert (fitted.correlation > 0.99).all()
    pre, post = (scene.read()[name].reshape(3, -1) for name in ("image_pre", "image_post"))
    plain = [np.polyfit(x, y, 1)[0] for x, y in zip(pre, post, strict=True)]
    assert np.abs(fitted.gain - GAIN).max() < 0.1 * np.abs(plain - GAIN).max(), "a plain regression is misled"


def test_the_slope_is_that_of_the_longest_axis() -> None:
    scene = pair(changed=0, noise=20)
    fitted = invariant_regression(scene, unchanged=1e-12)
    values = np.concatenate([scene.read()[name] for name in ("image_pre", "image_post")]).reshape(6, -1)
    for band in range(3):
        (axis_x, axis_y) = np.linalg.eigh(np.cov(values[[band, band + 3]]))[1][:, -1]
        assert fitted.gain[band] == pytest.approx(axis_y / axis_x, rel=0.02)


def test_histograms_are_those_of_the_post_image() -> None:
    scene = pair(changed=0)
    mapped = match_histograms(scene).apply(scene.read()["image_pre"])
    shares = np.linspace(0.02, 0.98, 25)
    for band, reference in zip(mapped, scene.read()["image_post"], strict=True):
        np.testing.assert_allclose(np.quantile(band, shares), np.quantile(reference, shares), atol=1.5)


@pytest.mark.parametrize("method", ["regression", "histogram"])
def test_a_scene_is_read_through_the_map_also_band_by_band(method: str) -> None:
    scene = pair(changed=0)
    normalised, values = normalise_pre(scene, method)
    window = Window(8, 16, 40, 32)
    pre = normalised.layers["image_pre"]
    expected = values.apply(scene.read(window)["image_pre"])
    np.testing.assert_allclose(pre.read(window)[0], expected)
    np.testing.assert_allclose(pre.subset([3]).read(window)[0], expected[2:])
    assert np.abs(pre.thumbnail(40)[0] - normalised.layers["image_post"].thumbnail(40)[0]).mean() < 3
    assert values.to_dict()["method"] == method


def test_what_cannot_be_normalised_is_refused() -> None:
    with pytest.raises(InputError, match="'gamma' is unknown"):
        normalise_pre(pair(), "gamma")
    with pytest.raises(InputError, match="needs 100"):
        invariant_regression(pair(), unchanged=1.0)


def test_a_band_that_is_upside_down_is_refused_and_named() -> None:
    sample = pair(changed=0).read()
    sample["image_post"][1] = 300 - sample["image_post"][1]
    with pytest.raises(InputError, match=r"in band 2 the unchanged pixels .* use histograms instead"):
        invariant_regression(Scene.open(image_pre=sample["image_pre"], image_post=sample["image_post"]))
