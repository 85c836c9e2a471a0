"""Change by frozen features: against the encoder's own maps, beyond what light does, on tiles as on the whole, and in the job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff
from scipy.ndimage import gaussian_filter

torch = pytest.importorskip("torch")

from deepnets4eo.change import (  # noqa: E402
    ChangeDetector,
    ChangeOptions,
    map_change,
)
from deepnets4eo.change.classical.feature_distance import FeatureDistance  # noqa: E402
from deepnets4eo.change.deciding import with_method_of  # noqa: E402
from deepnets4eo.change.pair import open_pair  # noqa: E402
from deepnets4eo.errors import InputError, MissingExtraError  # noqa: E402
from deepnets4eo.files import read_json  # noqa: E402
from deepnets4eo.metrics import ConfusionMatrix  # noqa: E402
from deepnets4eo.rasters import Layer, Scene  # noqa: E402
from deepnets4eo.segmenters import frozen_encoder  # noqa: E402

SIDE = 192
CHANGED = np.s_[64:128, 96:160]


def pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Soft ground, (3, SIDE, SIDE) uint8, and the same under other light, of whose squares one became stripes."""
    rng = np.random.default_rng(seed)
    ground = 120 + 400 * np.stack([gaussian_filter(rng.normal(size=(SIDE, SIDE)), 4) for _ in range(3)])
    later = 0.7 * ground + 25
    later[(slice(None), *CHANGED)] = 110 + 60 * np.sign(np.sin(np.arange(64) * 0.8))
    dates = [date + rng.normal(0, 2, ground.shape) for date in (ground, later)]
    return tuple(date.clip(1, 255).astype(np.uint8) for date in dates)  # type: ignore[return-value]


def scene_of(pre: np.ndarray, post: np.ndarray) -> Scene:
    return Scene.open(image_pre=pre, image_post=post)


@pytest.fixture(scope="module")
def detector() -> ChangeDetector:
    return ChangeDetector.of_scene(scene_of(*pair()), "embeddings")


def test_the_score_is_the_length_times_one_less_the_cosine_of_standardised_maps(detector: ChangeDetector) -> None:
    images = [(date - date.mean((1, 2), keepdims=True)) / date.std((1, 2), keepdims=True) for date in pair()]
    encoder = frozen_encoder()
    maps = [encoder(torch.from_numpy((image / 2).clip(-1, 1).astype(np.float32))[None]) for image in images]
    length = turn = 0.0
    for level, (before, after) in enumerate(zip(*maps, strict=True)):
        vectors = []
        for one in (before[0].double().numpy(), after[0].double().numpy()):
            scaled = (one - one.mean((1, 2), keepdims=True)) / one.std((1, 2), keepdims=True)
            cell = 96 // 2 ** (level + 1) - 1  # whose middle is pixel 95
            vectors.append(scaled[:, cell, cell])
        first, second = vectors
        length += np.sqrt(np.mean((first - second) ** 2))
        if level >= 2:
            turn += 1 - first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    scored = detector.method.measure(detector.inputs.prepare(scene_of(*pair()).read()))
    assert scored.shape == (SIDE, SIDE)
    assert scored[95, 95] == pytest.approx(length * turn, rel=1e-3)


def test_another_texture_is_found_under_other_light(detector: ChangeDetector) -> None:
    scene = scene_of(*pair())
    truth = np.zeros((SIDE, SIDE), np.uint8)
    truth[CHANGED] = 1
    found = detector.predict_classes(detector.inputs.prepare(scene.read())[None])[0]
    assert ConfusionMatrix(2).update(truth, found).f1[1] > 0.8


def test_bands_are_taken_by_name() -> None:
    assert FeatureDistance.of_bands(["B", "G", "R", "nir"]).bands == [2, 1, 0]
    grey = ChangeDetector.of_scene(scene_of(*(date[:1] for date in pair())), "embeddings")
    assert grey.method.bands == [0, 0, 0]
    with pytest.raises(InputError, match="not fitted"):
        FeatureDistance().measure(np.zeros((6, 32, 32), np.float32))


def test_what_is_not_valid_enters_no_statistic(tmp_path: Path) -> None:
    pre, post = (date.astype(np.int16) for date in pair())
    for name, fill in (("a", 0), ("b", 9000)):
        holed = pre.copy()
        holed[:, :64, :64] = fill
        write_geotiff(tmp_path / f"{name}.tif", holed, nodata=fill, gsd=1)
    write_geotiff(tmp_path / "post.tif", post, gsd=1)
    first, second = (
        ChangeDetector.of_scene(Scene.open(image_pre=tmp_path / name, image_post=tmp_path / "post.tif"), "embeddings")
        for name in ("a.tif", "b.tif")
    )
    assert first.method.to_dict() == second.method.to_dict()
    assert first.threshold == second.threshold


def test_the_halo_takes_most_of_what_the_edge_of_a_tile_does(detector: ChangeDetector) -> None:
    pre, post = (np.tile(date, (1, 3, 3)) for date in pair())
    batch = detector.inputs.prepare(scene_of(pre, post).read())
    inner = np.s_[192:384, 192:384]
    whole = detector.method.measure(batch)[inner]

    def error(halo_px: int) -> float:
        window = slice(192 - halo_px, 384 + halo_px)
        tile = detector.method.measure(batch[:, window, window])
        return float(np.abs(tile[halo_px : halo_px + 192, halo_px : halo_px + 192] - whole).mean())

    assert error(detector.method.halo_px) < 0.5 * error(32)


def test_tiles_are_of_whole_cells_and_fit_the_scene(detector: ChangeDetector) -> None:
    for shape, most in (((40, 50), 384**2), ((700, 700), 1.9 * 700**2 + 300**2), ((3000, 3000), 2 * 3000**2)):
        tiling = detector.method.tiling(shape)
        assert tiling.core_px % 32 == tiling.halo_px % 32 == 0
        count = np.prod([-(-side // tiling.core_px) for side in shape])
        assert count * tiling.tile_px**2 <= most


def test_a_detector_that_was_saved_scores_the_same(detector: ChangeDetector, tmp_path: Path) -> None:
    detector.save(tmp_path)
    again = ChangeDetector.restore(
        tmp_path, detector.describe(), detector.inputs, detector.legend, detector.tiling
    )  # fmt: skip
    batch = detector.inputs.prepare(scene_of(*pair()).read())[None]
    np.testing.assert_array_equal(again.predict_proba(batch), detector.predict_proba(batch))


def test_the_job_says_that_features_were_never_taught(tmp_path: Path) -> None:
    pre, post = (write_geotiff(tmp_path / f"{number}.tif", date, gsd=1) for number, date in enumerate(pair()))
    options = ChangeOptions(method="embeddings", assume_registered=True, refine=False)
    change = map_change(pre, post, tmp_path / "out", options)
    assert "features_of_photographs" in {finding.code for finding in change.findings}
    assert read_json(tmp_path / "out" / "summary.json")["method"] == "embeddings"
    labels = Layer.open(change.paths["change.tif"]).read()[0][0]
    assert labels[CHANGED].mean() > 0.8 > 0.2 > labels[:48].mean()


def test_rasters_of_embeddings_are_compared_by_their_cosine_without_pytorch(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("deepnets4eo.lazy.is_installed", lambda module: False)
    options = ChangeOptions(method="embeddings", assume_registered=True)
    for tags in ({"EMBEDDING": "vectors"}, {}):
        paths = [write_geotiff(tmp_path / f"{n}.tif", date, gsd=1, tags=tags) for n, date in enumerate(pair())]
        opened = open_pair(*paths, options)
        if tags:
            assert with_method_of(opened, options).method == "cosine"
        else:
            with pytest.raises(MissingExtraError, match="deep"):
                with_method_of(opened, options)
