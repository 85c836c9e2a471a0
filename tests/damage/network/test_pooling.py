"""Pooling logits per building, against a loop over buildings."""

import threading
import time
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from shapely import affinity, box, contains_xy

from deepnets4eo.cards import Legend
from deepnets4eo.damage.network.pairs import in_pixels, make_scene
from deepnets4eo.damage.network.pooling import BatchBuildings, fitted_tiling, pool_scene
from deepnets4eo.damage.site.work import TileWork
from deepnets4eo.jobs import Journal
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import InputSpec, LayerInput
from deepnets4eo.tiling import Lattice, Tiling
from deepnets4eo.zonal import Outlines


class Echo:
    """A grader whose logits are the four bands it is shown."""

    legend = Legend.load("xbd")

    def __init__(self) -> None:
        self.tiles = 0

    def predict_raw(self, batch: np.ndarray, *, margin_px: int = 0) -> np.ndarray:
        self.tiles += len(batch)
        height, width = batch.shape[2:]
        return batch[:, :, margin_px : height - margin_px, margin_px : width - margin_px]


def as_it_is(bands: int) -> LayerInput:
    return LayerInput(tuple(f"band_{k + 1}" for k in range(bands)), (0.0,) * bands, (1.0,) * bands, 0, 1, "float32")


INPUTS = InputSpec({"pre": as_it_is(2), "post": as_it_is(2)})


def make_place(height: int, width: int, seed: int):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(4, height, width)).astype(np.float32)
    image[:, rng.random((height, width)) < 0.05] = np.nan  # pixels without data
    houses = []
    for _ in range(12):  # some overlap, some lie on the edge
        x, y, w, h = rng.uniform(0, width), rng.uniform(0, height), *rng.uniform(3, 25, 2)
        houses.append(affinity.rotate(box(x - w / 2, y - h / 2, x + w / 2, y + h / 2), rng.uniform(0, 90)))
    return image, np.array(houses, dtype=object)


def naive(image: np.ndarray, houses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = np.indices(image.shape[1:])
    means, pixels = np.full((len(houses), 4), np.nan), np.zeros(len(houses), int)
    for number, house in enumerate(houses):
        inside = contains_xy(house, cols + 0.5, rows + 0.5) & np.isfinite(image).all(axis=0)
        pixels[number] = inside.sum()
        if inside.any():
            means[number] = image[:, inside].mean(axis=1)
    return means, pixels


@given(
    st.integers(20, 90),
    st.integers(20, 90),
    st.sampled_from([(16, 0), (32, 4), (64, 16), (128, 8)]),
    st.integers(0, 99),
)
def test_a_building_has_the_mean_of_its_pixels_however_the_scene_is_tiled(height, width, tiling, seed):
    image, houses = make_place(height, width, seed)
    scene = make_scene(Layer.open(image[:2]), Layer.open(image[2:]))
    pooled = pool_scene(Echo(), scene, in_pixels(houses, scene.shape), INPUTS, Tiling(*tiling))
    means, pixels = naive(image, houses)
    assert pooled.pixels.tolist() == pixels.tolist()
    np.testing.assert_allclose(pooled.mean, means, rtol=1e-6, atol=1e-6)


def test_threads_that_keep_a_gpu_busy_give_the_sums_of_one(monkeypatch, tmp_path):
    image, houses = make_place(90, 85, 5)
    scene = make_scene(Layer.open(image[:2]), Layer.open(image[2:]))
    outlines = in_pixels(houses, scene.shape)
    alone = pool_scene(Echo(), scene, outlines, INPUTS, Tiling(16, 0))
    monkeypatch.setattr("deepnets4eo.damage.network.pooling.readers_for", lambda device, on_cpu, on_gpu: 4)
    threads, work = Counter(), TileWork(Journal(tmp_path))

    class Threaded(Echo):
        def predict_raw(self, batch, *, margin_px=0):
            threads[threading.current_thread().name] += 1
            time.sleep(0.001)
            return super().predict_raw(batch, margin_px=margin_px)

    for _ in range(2):
        together = pool_scene(Threaded(), scene, outlines, INPUTS, Tiling(16, 0), work=work)
        for name in ("sums", "pixels"):
            np.testing.assert_array_equal(getattr(together, name), getattr(alone, name))
    assert len(threads) > 1
    assert threading.current_thread().name not in threads
    assert sum(threads.values()) == len(list(tmp_path.iterdir()))  # the second time all tiles are kept


def test_tiles_without_a_wanted_building_are_not_computed():
    image = np.zeros((4, 64, 64), np.float32)
    scene = make_scene(Layer.open(image[:2]), Layer.open(image[2:]))
    outlines = in_pixels(np.array([box(2, 2, 6, 6), box(40, 40, 44, 44)]), scene.shape)
    echo = Echo()
    assert pool_scene(echo, scene, outlines, INPUTS, Tiling(16, 0)).pixels.tolist() == [16, 16]
    assert echo.tiles == 2
    only_first = pool_scene(echo, scene, outlines, INPUTS, Tiling(16, 0), only=np.array([0]))
    assert only_first.pixels.tolist() == [16, 0]
    assert np.isnan(only_first.mean[1]).all()
    assert echo.tiles == 3


def test_finished_tiles_are_not_computed_again_unless_they_are_damaged(tmp_path):
    image, houses = make_place(70, 80, 3)
    scene = make_scene(Layer.open(image[:2]), Layer.open(image[2:]))
    outlines, echo, work = in_pixels(houses, scene.shape), Echo(), TileWork(Journal(tmp_path))
    whole = pool_scene(echo, scene, outlines, INPUTS, Tiling(32, 4), work=work)
    tiles, files = echo.tiles, sorted(tmp_path.iterdir())
    assert tiles == len(files) > 4
    with np.load(files[1]) as arrays:
        kept = dict(arrays)
    files[0].write_bytes(files[0].read_bytes()[:100])
    np.savez(files[1], **(kept | {"buildings": kept["buildings"] + 12}))
    np.savez(files[2], **(kept | {"pixels": kept["pixels"][:0]}))
    np.savez(files[3], buildings=kept["buildings"], sums=kept["sums"])
    again = pool_scene(echo, scene, outlines, INPUTS, Tiling(32, 4), work=work)
    assert echo.tiles == tiles + 4
    for name in ("sums", "pixels"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))


@pytest.mark.parametrize("seed", range(3))
def test_a_batch_is_pooled_as_a_loop_over_its_buildings_would(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 4, 20, 30, generator=generator)
    building = torch.randint(0, 6, (3, 20, 30), generator=generator)
    building[1] = 0
    buildings = BatchBuildings.of(building)
    means, pixels = buildings.means(logits), buildings.pixels
    assert means.shape == (3, 5, 4)
    assert not buildings.present[1].any()
    assert (means[1] == 0).all()
    for window, number in [(0, 1), (0, 5), (2, 3)]:
        inside = building[window] == number
        torch.testing.assert_close(means[window, number - 1], logits[window, :, inside].mean(dim=1))
        assert pixels[window, number - 1] == inside.sum()
    numbers = buildings.of_each(100 + building)
    assert numbers[buildings.present].tolist() == [101, 102, 103, 104, 105] * 2
    assert BatchBuildings.of(building * 0).means(logits).shape == (3, 0, 4)


def houses_at(xy: np.ndarray, side_px: int) -> Outlines:
    return in_pixels(box(xy[:, 0], xy[:, 1], xy[:, 0] + 25, xy[:, 1] + 25), (side_px, side_px))


def network_pixels(outlines: Outlines, tiling: Tiling) -> int:
    """Of the tiles that hold a building, counted tile by tile."""
    tiles = Lattice(outlines.shape, tiling).tiles
    return sum(len(outlines.touching(tile.core)) > 0 for tile in tiles) * tiling.tile_px**2


@pytest.mark.parametrize("side_px", [500, 1024, 1500, 3000])
def test_tiles_fit_a_built_up_scene(side_px):
    outlines = houses_at(np.random.default_rng(0).uniform(-20, side_px, (side_px, 2)), side_px)
    usual = Tiling(768, 32)
    fitted = fitted_tiling(usual, outlines)
    assert network_pixels(outlines, fitted) <= 1.35 * side_px**2 < network_pixels(outlines, usual)
    assert fitted.tile_px % 32 == 0
    assert fitted.halo_px == 32


def test_few_buildings_get_small_tiles_and_no_other_side_has_less_work():
    outlines = houses_at(np.random.default_rng(1).uniform(0, 2900, (12, 2)), 3000)
    fitted = fitted_tiling(Tiling(768, 32), outlines)
    works = [network_pixels(outlines, Tiling(side, 32)) for side in range(576, 961, 32)]
    assert network_pixels(outlines, fitted) == min(works) < 0.6 * network_pixels(outlines, Tiling(768, 32))
    assert fitted_tiling(Tiling(64, 8), outlines) == Tiling(64, 8)  # as small as networks of tests have them


def test_a_tile_of_another_size_is_not_taken_for_a_finished_one(tmp_path):
    image, houses = make_place(70, 80, 3)
    scene = make_scene(Layer.open(image[:2]), Layer.open(image[2:]))
    outlines, work = in_pixels(houses, scene.shape), TileWork(Journal(tmp_path))
    for tiling in (Tiling(16, 0), Tiling(40, 0)):
        pooled = pool_scene(Echo(), scene, outlines, INPUTS, tiling, work=work)
        assert pooled.pixels.tolist() == naive(image, houses)[1].tolist()
