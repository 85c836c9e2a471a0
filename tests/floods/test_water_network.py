"""The network of water: it sees a scene by its own tone, its probabilities decide, and a run knows which network it was."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from deepnets4eo.errors import RunError
from deepnets4eo.floods import WaterMapper, optical_water, surface_scene, water_around
from deepnets4eo.floods.thresholds import DRY, FLOOD, PERMANENT_WATER
from deepnets4eo.floods.water_network import INPUTS, SceneTone, WaterNetwork, open_water_network
from deepnets4eo.grid import Grid
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import PLAIN_METRES, Layer
from deepnets4eo.segmenters import load_run
from deepnets4eo.segmenters.run import save_run

SIDE = 160


def images(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two dates of mottled ground, (3, 160, 160) uint8; the second one is dark on its left half."""
    rng = np.random.default_rng(seed)
    pre, post = rng.normal(110, 20, (2, 3, SIDE, SIDE)).clip(0, 255).astype(np.uint8)
    post[:, :, :80] = 30
    return pre, post


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network."""
    torch = pytest.importorskip("torch")
    from deepnets4eo.cards import Legend
    from deepnets4eo.segmenters import NetworkSegmenter

    torch.manual_seed(1)
    segmenter = NetworkSegmenter(
        {"name": "light-unet", "decoder_channels": [8, 8]}, INPUTS, Legend.load("water-and-mud")
    )
    return save_run(segmenter, tmp_path_factory.mktemp("net") / "run", recipe={"task": "world-water"}, seed=1)


def test_water_grows_from_where_it_is_sure_and_small_or_old_water_is_not_new() -> None:
    _, post = images()
    before, after = np.zeros((2, SIDE, SIDE), np.float32)
    after[10:60, 10:60] = 0.6  # likely, and connected with what is sure
    after[20:55, 20:50] = 0.95
    after[80:120, 80:120] = 0.8  # never sure
    after[140:150, 140:150] = 0.95  # 100 m²
    after[10:60, 100:150], before[10:60, 100:150] = 0.95, 0.7  # was there
    classes = optical_water(post, post, gsd_m=1.0, before_water=before, after_water=after)
    expected = np.full((SIDE, SIDE), DRY)
    expected[10:60, 10:60] = FLOOD
    expected[10:60, 100:150] = expected[140:150, 140:150] = PERMANENT_WATER
    np.testing.assert_array_equal(classes, expected)
    alone = optical_water(None, post, gsd_m=1.0, after_water=after)
    expected[10:60, 10:60], expected[140:150, 140:150] = PERMANENT_WATER, DRY
    np.testing.assert_array_equal(alone, expected)


@pytest.mark.parametrize(("gsd_m", "found"), [(1.0, PERMANENT_WATER), (2.0, FLOOD)])
def test_new_water_of_the_network_covers_a_thousand_square_metres_whatever_the_pixels(gsd_m: float, found: int) -> None:
    """20 × 20 pixels: 400 and 1,600 m²."""
    _, post = images()
    before, after = np.zeros((2, SIDE, SIDE), np.float32)
    after[100:120, 100:120] = 0.95
    classes = optical_water(post, post, gsd_m=gsd_m, before_water=before, after_water=after)
    assert (classes[100:120, 100:120] == found).all()


def test_a_surface_that_the_network_does_not_confirm_is_no_flood() -> None:
    rng = np.random.default_rng(1)
    pre, post = rng.normal(110, 20, (2, 3, SIDE, SIDE)).clip(0, 255).astype(np.uint8)
    post[:, :, :80] = np.array([105, 94, 65], np.uint8)[:, None, None]
    before, after = np.full((2, SIDE, SIDE), 0.1, np.float32)
    assert (optical_water(pre, post, gsd_m=1.0)[10:-10, 10:70] == FLOOD).all()
    assert (optical_water(pre, post, gsd_m=1.0, before_water=before, after_water=after) == DRY).all()
    after[:, :80] = 0.6  # never sure, but more than before by a half
    assert (optical_water(pre, post, gsd_m=1.0, before_water=before, after_water=after)[10:-10, 10:70] == FLOOD).all()


def test_the_network_looks_at_pre_only_where_post_has_water_that_may_be_new() -> None:
    _, post = images()
    before, after = (np.full((SIDE, SIDE), chance, np.float32) for chance in (0.1, 0.2))
    calls = []

    def look() -> np.ndarray:
        calls.append(1)
        return before

    dry = optical_water(post, post, gsd_m=1.0, before_water=look, after_water=after)
    assert not calls
    np.testing.assert_array_equal(dry, optical_water(post, post, gsd_m=1.0, before_water=before, after_water=after))
    after[20:80, 20:80] = 0.95
    wet = optical_water(post, post, gsd_m=1.0, before_water=look, after_water=after)
    assert len(calls) == 1
    np.testing.assert_array_equal(wet, optical_water(post, post, gsd_m=1.0, before_water=before, after_water=after))
    assert (wet == FLOOD).any()


def test_the_tone_of_a_scene_is_what_the_network_would_scale_by_itself(run_folder: Path) -> None:
    _, post = images()
    image, seen = post.astype(np.float32), np.ones((SIDE, SIDE), bool)
    by_itself = load_run(run_folder).segmenter.predict_proba(INPUTS.prepare({"image": post, "valid": seen})[None])
    network = WaterNetwork(load_run(run_folder))
    np.testing.assert_allclose(
        network.probability(image, seen, SceneTone.measure(image, seen)), by_itself[0, 1], atol=1e-5
    )
    brighter = network.probability(image + 40, seen, SceneTone.measure(image + 40, seen))
    np.testing.assert_allclose(brighter, by_itself[0, 1], atol=1e-4)


def test_a_run_of_other_classes_is_refused(run_folder: Path, tmp_path: Path) -> None:
    from deepnets4eo.cards import Legend
    from deepnets4eo.segmenters import NetworkSegmenter

    other = NetworkSegmenter({"name": "light-unet", "decoder_channels": [8, 8]}, INPUTS, Legend.load("buildings"))
    with pytest.raises(RunError, match=r"has the classes background, .*does not find water"):
        WaterNetwork(load_run(save_run(other, tmp_path / "run", recipe={}, seed=0)))


def test_without_weights_water_is_found_by_surfaces() -> None:
    assert open_water_network() is None


def test_the_map_of_a_scene_is_that_of_the_network_whatever_the_threads(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepnets4eo.floods.water_network.shipped_folder", lambda: run_folder)
    pre, post = images()
    grid = Grid((SIDE, SIDE), Affine.identity(), PLAIN_METRES)
    scene = surface_scene(Layer.open(pre, grid=grid), Layer.open(post, grid=grid), 1.0)
    mapper = WaterMapper.of_scene(scene)
    assert mapper.network is not None
    folder = save_run(mapper, tmp_path / "mapper")
    maps = []
    for workers in (1, 2):
        out = tmp_path / f"{workers}.tif"
        predict(load_run(folder), scene, out, PredictOptions(workers=workers))
        maps.append(Layer.open(out).read()[0][0])
    np.testing.assert_array_equal(*maps)
    network, seen = WaterNetwork(load_run(run_folder)), np.ones((SIDE, SIDE), bool)
    before, after = (network.probability(image.astype(np.float32), seen, SceneTone.measure(image.astype(np.float32), seen)) for image in (pre, post))  # fmt: skip
    whole = optical_water(pre, post, gsd_m=1.0, before_water=before, after_water=after)
    assert (whole == maps[0]).mean() > 0.99  # the borders of the scene are mirrored in tiles
    monkeypatch.setattr("deepnets4eo.floods.water_network.shipped_folder", lambda: None)
    with pytest.raises(RunError, match="another network of water"):
        load_run(folder)


@pytest.mark.real_data
@pytest.mark.parametrize(("tile", "surrounded"), [("00000000", 5), ("00000004", 0)])
def test_the_default_finds_all_houses_in_real_flood_water_and_none_on_dry_ground(
    real_data: Path, tile: str, surrounded: int
) -> None:
    pytest.importorskip("torch")
    network = WaterNetwork(load_run("floods/water"))
    folder = real_data / "xbd_more" / f"midwest-flooding_{tile}"
    dates = []
    for date in ("pre", "post"):
        image = Layer.open(folder / f"{date}.png").read()[0][:3].astype(np.float32)
        dates.append(image.reshape(3, 512, 2, 512, 2).mean((2, 4)))  # 1 m
    seen = np.ones((512, 512), bool)
    before, after = (network.probability(image, seen, SceneTone.measure(image, seen)) for image in dates)
    pre, post = (np.rint(image).astype(np.uint8) for image in dates)
    classes = optical_water(pre, post, gsd_m=1.0, before_water=before, after_water=after)
    outlines = shapely.transform(gpd.read_file(folder / "footprints_px.geojson").geometry.to_numpy(), lambda xy: xy / 2)
    water = water_around(Layer.open(classes), outlines)
    assert np.count_nonzero(water.inundated == "yes") == surrounded
