"""A network that scales its windows by their own values shows no tiles: the scene is scaled as a whole beforehand."""

import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from scipy.ndimage import map_coordinates

torch = pytest.importorskip("torch")

from deepnets4eo.cards import Legend, LegendClass  # noqa: E402
from deepnets4eo.grid import Window  # noqa: E402
from deepnets4eo.prediction import PredictOptions, predict, tile_reader  # noqa: E402
from deepnets4eo.prediction.tile_reader import SceneScaling  # noqa: E402
from deepnets4eo.rasters import Layer, Scene  # noqa: E402
from deepnets4eo.segmentation.light_unet import ScaledConv  # noqa: E402
from deepnets4eo.segmenters import (  # noqa: E402
    AnySize,
    InputSpec,
    NetworkSegmenter,
    window_scalers,
)
from deepnets4eo.segmenters.run import save_run  # noqa: E402
from deepnets4eo.tiling import Tiling  # noqa: E402

LEGEND = Legend("two", (LegendClass(0, "ground", (0, 255, 0)), LegendClass(1, "roof", (255, 0, 0))))
SIDE = 192


def make_image(seed=0):
    """Dark and even on the left, bright and rough on the right."""
    rng = np.random.default_rng(seed)
    rough = np.linspace(2, 60, SIDE)
    return np.clip(40 + rough * 2 + rough * rng.standard_normal((3, SIDE, SIDE)), 1, 255).astype(np.uint8)


def make_segmenter(scene):
    """One convolution of single pixels: tiles can differ by their scaling alone."""
    torch.manual_seed(0)
    module = ScaledConv(3, 2, 1, bias=False)
    return NetworkSegmenter({"name": "unet"}, InputSpec.measure([scene]), LEGEND, tiling=Tiling(64, 0), module=module)


def scaled(scene, window, valid=None):
    inputs = InputSpec.measure([scene])
    sample = scene.read(window)
    prepared = inputs.prepare(sample)
    SceneScaling(scene, inputs).apply(window, prepared, sample["valid"])
    return prepared


def probabilities(segmenter, scene, path, **options):
    predict(segmenter, scene, path / "labels.tif", PredictOptions(
        probabilities=path / "p.tif", threads=1, device="cpu", precision="float32", overwrite=True, **options))  # fmt: skip
    with rasterio.open(path / "p.tif") as file:
        return file.read()


def test_one_cell_is_scaled_as_the_network_would_scale_it():
    scene = Scene.open(image=make_image())
    prepared = InputSpec.measure([scene]).prepare(scene.read())
    thin = prepared[:, ::2, ::2]
    centred = prepared - thin.mean(axis=(1, 2), keepdims=True)
    spread = np.sqrt(np.square(thin - thin.mean(axis=(1, 2), keepdims=True)).mean())
    result = scaled(scene, Window(0, 0, SIDE, SIDE))
    np.testing.assert_allclose(result, centred / (spread + AnySize.min_spread), rtol=1e-4, atol=1e-5)


def test_the_last_bands_keep_their_values_and_do_not_change_the_others():
    image = make_image()
    scene, without = Scene.open(image=image), Scene.open(image=image[:2])
    inputs, window = InputSpec.measure([scene]), Window(0, 0, SIDE, SIDE)
    sample = scene.read(window)
    prepared = inputs.prepare(sample)
    result = prepared.copy()
    SceneScaling(scene, inputs, unscaled_bands=1).apply(window, result, sample["valid"])
    assert np.array_equal(result[2], prepared[2])
    np.testing.assert_allclose(result[:2], scaled(without, window), rtol=1e-4, atol=1e-5)


def test_a_pixel_has_the_same_bits_in_every_window(monkeypatch):
    monkeypatch.setattr(tile_reader, "CELL_PX", 48)
    scene = Scene.open(image=make_image())
    whole = scaled(scene, Window(0, 0, SIDE, SIDE))
    for window in (Window(0, 0, 64, 64), Window(17, 90, 101, 33), Window(128, 128, 64, 64)):
        np.testing.assert_array_equal(scaled(scene, window), whole[(slice(None), *window.slices)])


def test_values_between_the_centres_of_cells_are_interpolated(monkeypatch):
    monkeypatch.setattr(tile_reader, "CELL_PX", 64)
    scene = Scene.open(image=make_image())
    prepared = InputSpec.measure([scene]).prepare(scene.read())
    cells = prepared[:, ::2, ::2].reshape(3, 3, 32, 3, 32)
    means = cells.mean(axis=(2, 4))
    spread = np.sqrt(np.square(cells - means[:, :, None, :, None]).mean(axis=(0, 2, 4)))
    position = (np.indices((SIDE, SIDE)) + 0.5) / 64 - 0.5
    fields = [map_coordinates(values, position, order=1, mode="nearest") for values in (*means, spread)]
    expected = (prepared - np.stack(fields[:3])) / (fields[3] + AnySize.min_spread)
    np.testing.assert_allclose(scaled(scene, Window(0, 0, SIDE, SIDE)), expected, rtol=1e-3, atol=1e-3)


def test_pixels_without_data_enter_no_measure_and_become_the_mean(monkeypatch, tmp_path):
    from geotiff import write_geotiff

    image = make_image()
    holed = image.copy()
    holed[:, 40:150, 20:60] = 0
    plain = scaled(Scene.open(image=image), Window(0, 0, SIDE, SIDE))
    path = write_geotiff(tmp_path / "holed.tif", holed, crs="EPSG:32615", origin=(500_000, SIDE), nodata=0)
    scene = Scene({"image": Layer.open(path)})
    inputs = InputSpec.measure([Scene.open(image=image)])
    sample = scene.read()
    prepared = inputs.prepare(sample)
    SceneScaling(scene, inputs).apply(Window(0, 0, SIDE, SIDE), prepared, sample["valid"])
    assert (prepared[:, 40:150, 20:60] == 0).all()
    seen = sample["valid"]
    assert np.abs(prepared[:, seen] - plain[:, seen]).mean() < 0.1
    monkeypatch.setattr(tile_reader, "CELL_PX", 32)  # some cells now have no valid pixel at all
    prepared = inputs.prepare(sample)
    SceneScaling(scene, inputs).apply(Window(0, 0, SIDE, SIDE), prepared, sample["valid"])
    assert np.isfinite(prepared).all()
    assert np.abs(prepared).max() < 20


def test_tiles_give_what_one_piece_gives(tmp_path):
    scene = Scene.open(image=make_image())
    segmenter = make_segmenter(scene)
    (layer,) = window_scalers(segmenter)
    tiles = probabilities(segmenter, scene, tmp_path)
    one_piece = probabilities(segmenter, scene, tmp_path, tile_px=SIDE)
    np.testing.assert_array_equal(tiles, one_piece)
    assert not layer.scaled_beforehand  # batches of others are scaled by the network again


def test_the_order_of_tiles_and_their_threads_change_no_bit(monkeypatch):
    monkeypatch.setattr(tile_reader, "CELL_PX", 48)
    scene = Scene.open(image=make_image())
    inputs, scaling = InputSpec.measure([scene]), SceneScaling(scene, InputSpec.measure([scene]))
    whole = scaled(scene, Window(0, 0, SIDE, SIDE))
    windows = [Window(row, col, 48, 48) for row in range(0, SIDE, 24) for col in range(0, SIDE, 24)]
    np.random.default_rng(0).shuffle(windows)

    def one(window):
        window = Window(*window).clip(scene.shape)
        sample = scene.read(window)
        prepared = inputs.prepare(sample)
        scaling.apply(window, prepared, sample["valid"])
        np.testing.assert_array_equal(prepared, whole[(slice(None), *window.slices)])

    with ThreadPoolExecutor(4) as threads:
        assert len(list(threads.map(one, windows))) == 64


@pytest.mark.parametrize("options", [{"workers": 3}, {"batch_tiles": 3}, {"strip_px": 64, "block_px": 32}])
def test_however_the_scene_is_cut_up_it_is_scaled_alike(tmp_path, monkeypatch, options):
    monkeypatch.setattr(tile_reader, "CELL_PX", 48)
    scene = Scene.open(image=make_image())
    segmenter = make_segmenter(scene)
    plain = probabilities(segmenter, scene, tmp_path, workers=1)
    np.testing.assert_array_equal(probabilities(segmenter, scene, tmp_path, **options), plain)


def test_an_interrupted_job_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    from geotiff import write_geotiff

    monkeypatch.setattr(tile_reader, "CELL_PX", 48)
    path = write_geotiff(tmp_path / "image.tif", make_image(), crs="EPSG:32615", origin=(500_000, SIDE), nodata=0)
    inputs = InputSpec.measure([Scene({"image": Layer.open(path)})])
    torch.manual_seed(0)
    network = NetworkSegmenter(
        {"name": "light-unet", "decoder_channels": [8, 8, 8]}, inputs, LEGEND, tiling=Tiling(64, 0)
    )
    run = save_run(network, tmp_path / "run")

    def labelled(name, progress=None, **options):
        files = [tmp_path / f"{name}-{kind}.tif" for kind in ("labels", "p")]
        cpu = PredictOptions(probabilities=files[1], threads=1, device="cpu", block_px=32, **options)
        result = predict(run, path, files[0], cpu, progress=progress)
        with rasterio.open(files[1]) as file:
            return result, file.read()

    def stop(share):
        if share >= 0.5:
            raise KeyboardInterrupt

    fresh, expected = labelled("fresh")
    with pytest.raises(KeyboardInterrupt):
        labelled("cut", stop)
    resumed, found = labelled("cut", resume=True)
    assert 0 < resumed.computed < fresh.computed
    np.testing.assert_array_equal(found, expected)


class EndlessScene:
    """20,000 px on a side, of grey values that are made when they are read."""

    def __init__(self):
        self.shape, self.layers, self.reads = (20_000, 20_000), {"image": None}, Counter()

    def read_stored(self, window, names):
        self.reads[window] += 1
        grey = np.arange(window.col, window.col + window.width) % 251
        values = np.broadcast_to(grey.astype(np.uint8), (3, window.height, window.width))
        return {"image": values, "valid": np.ones(values.shape[1:], bool)}


def test_a_large_scene_takes_the_memory_of_a_cell_and_each_cell_is_read_once():
    inputs = InputSpec.measure([Scene.open(image=make_image())])
    scene = EndlessScene()
    prepared, valid = np.zeros((3, 576, 2 * 576), np.float32), np.ones((576, 2 * 576), bool)
    tracemalloc.start()
    try:
        scaling = SceneScaling(scene, inputs)
        for row in (0, 496):  # rows of tiles, which share cells
            for col in range(0, 20_000, 943):
                scaling.apply(Window(row, min(col, 20_000 - 2 * 576), *valid.shape), prepared, valid)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert max(scene.reads.values()) == 1
    assert len(scene.reads) == 3 * 39  # of 39² cells those around two rows of tiles
    assert peak < 0.8 * prepared.nbytes


def test_networks_without_such_a_layer_have_none():
    scene = Scene.open(image=make_image())
    inputs = InputSpec.measure([scene])
    segmenter = NetworkSegmenter({"name": "unet"}, inputs, LEGEND, module=torch.nn.Conv2d(3, 2, 1))
    assert window_scalers(segmenter) == []


def test_networks_that_scale_other_bands_scale_their_tiles_themselves():
    members = [make_segmenter(Scene.open(image=make_image())) for _ in range(2)]
    assert len(window_scalers(SimpleNamespace(members=members))) == 2
    members[1].module.unscaled_bands = 1
    assert window_scalers(SimpleNamespace(members=members)) == []
