"""Panels: the whole scene within a budget, detail where the damage is, the pre image moved onto the post image."""

import io

import numpy as np
import pytest
from made_up_map import make_grid
from PIL import Image

from deepnets4eo.grid import Window
from deepnets4eo.outputs.map_page import panels
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.registration import on_post_grid


def decode(tile):
    return np.asarray(Image.open(io.BytesIO(tile.webp)))


def test_the_tiles_cover_the_scene_without_gap_or_overlap():
    grid = make_grid(1500)
    layer = Layer.open(np.random.default_rng(0).integers(0, 255, (3, 1500, 1500), np.uint8), grid=grid)
    panel = panels.render({"post": layer}, (np.zeros((0, 2)), np.zeros(0)), 10_000_000)[0]
    covered = np.zeros((1500, 1500), int)
    for tile in panel.tiles:
        covered[int(tile.row) : int(tile.row + tile.height), int(tile.col) : int(tile.col + tile.width)] += 1
    assert (covered == 1).all()
    assert panel.details == []


def test_a_scene_of_several_tiles_has_a_small_preview_of_the_same_ground():
    values = np.zeros((3, 1500, 1300), np.float32)
    values[:] = np.linspace(0, 250, 1300)
    values[:, :1000] = 0
    layer = Layer.open(np.round(values).astype(np.uint8), grid=make_grid(1500)[:, :1300])
    nothing = np.zeros((0, 2)), np.zeros(0)
    panel = panels.render({"post": layer}, nothing, 10_000_000)[0]
    preview = panel.preview
    assert (preview.col, preview.row, preview.width, preview.height) == (0, 0, 1302, 1500)
    shown = decode(preview).astype(int)
    assert shown.shape == (500, 434, 3)
    assert shown[:330].max() < 12
    assert np.abs(shown[340:, 5:-5].mean(axis=(0, 2)) - np.linspace(0, 255, 434)[5:-5]).max() < 12
    assert panel.size_bytes == sum(len(tile.webp) for tile in (*panel.tiles, preview))
    small = Layer.open(np.zeros((3, 64, 64), np.uint8), grid=make_grid(64))
    assert panels.render({"post": small}, nothing, 0)[0].preview is None


def test_detail_goes_to_the_most_damaged_places_and_keeps_the_budget():
    values = np.random.default_rng(0).integers(0, 255, (3, 2048, 2048), np.uint8)
    layer = Layer.open(values, grid=make_grid(2048))
    places = np.array([[100.0, 100.0], [1900.0, 1000.0], [700.0, 300.0], [5000.0, 9.0]])
    prob = np.array([0.1, 0.9, 0.6, 1.0])
    base = panels.render({"post": layer}, (places, prob * 0), 0, longest_px=512)[0].size_bytes
    panel = panels.render({"post": layer}, (places, prob), base + 300_000, longest_px=512)[0]
    assert panel.size_bytes < base + 300_000
    where = [(tile.col // 256, tile.row // 256) for tile in panel.details]
    assert where[:2] == [(7, 3), (2, 1)]
    assert panel.coarse == 4
    shown = decode(panel.details[0]).astype(float)
    truth = values[:, 768:1024, 1792:2048].transpose(1, 2, 0)
    assert shown.shape == truth.shape
    assert (
        np.corrcoef(shown.mean(axis=2).ravel(), truth.mean(axis=2).ravel())[0, 1] > 0.7
    )  # noise is what WebP keeps worst


def test_widespread_damage_gets_coarser_detail_so_that_more_of_it_is_shown():
    grid = make_grid(4096, gsd_m=0.25)
    layer = Layer.open(np.random.default_rng(0).integers(0, 255, (1, 4096, 4096), np.uint8), grid=grid)
    places = np.random.default_rng(1).uniform(0, 4096, (4000, 2))
    base = panels.render({"post": layer}, (places, np.zeros(4000)), 0, longest_px=512)[0].size_bytes
    panel = panels.render({"post": layer}, (places, np.full(4000, 0.9)), base * 2, longest_px=512)[0]
    assert {tile.width for tile in panel.details} == {1024}, "1 m a pixel, and not coarser"
    assert decode(panel.details[0]).shape[:2] == (256, 256)


def test_the_pre_image_is_shown_where_the_registration_puts_it():
    grid = make_grid(200)
    post = np.random.default_rng(0).integers(1, 255, (1, 200, 200), np.uint8)
    pre = np.roll(post, (5, -3), axis=(1, 2))  # a thing at (row, col) of post is at (row + 5, col − 3) of pre
    matrix = [[1, 0, -3], [0, 1, 5]]
    shown, valid = on_post_grid(Layer.open(pre, grid=grid), grid, matrix).read()
    inner = slice(20, 180)
    assert np.abs(shown[0, inner, inner].astype(int) - post[0, inner, inner]).max() <= 1
    assert valid[inner, inner].all()


def test_pixels_without_data_are_transparent_and_do_not_enter_the_stretch():
    values = np.full((3, 64, 64), 100, np.uint8)
    values[:, :, 32:] += np.arange(32, dtype=np.uint8)
    values[:, :10] = 0
    layer = Layer.open(values, grid=make_grid(64), nodata=0)
    tile = panels.render({"post": layer}, (np.zeros((0, 2)), np.zeros(0)), 0)[0].tiles[0]
    image = decode(tile)
    assert (image[:9, :, 3] == 0).all()
    assert (image[11:, :, 3] == 255).all()
    assert image[40, 5, 0] == pytest.approx(0, abs=8)
    assert image[40, 62, 0] == pytest.approx(255, abs=12)


def test_named_bands_are_found_and_one_band_is_grey(tmp_path):
    gradient = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    bands = np.stack([gradient, np.zeros_like(gradient), np.zeros_like(gradient)])
    path = tmp_path / "image.tif"
    with CogWriter(path, make_grid(64), count=3, dtype="uint8", band_names=("blue", "green", "red")) as file:
        file.write(Window(0, 0, 64, 64), bands)
    nothing = np.zeros((0, 2)), np.zeros(0)
    colour, grey = (
        decode(panels.render({"post": layer}, nothing, 0)[0].tiles[0]).astype(int)
        for layer in (Layer.open(path), Layer.open(path).subset([1]))
    )
    assert colour[32, 60, 2] > colour[32, 60, 0] + 100
    assert np.abs(grey[32, 60] - grey[32, 60, 0]).max() < 10
    assert grey[32, 60, 0] > grey[32, 5, 0] + 100


@pytest.mark.parametrize("hidden", [0, 40])
def test_one_band_is_encoded_as_three_equal_ones_are(hidden):
    band = np.random.default_rng(0).integers(1, 255, (1, 96, 96)).astype(np.float32)
    band[:, :hidden] = np.nan
    grid, nothing = make_grid(96), (np.zeros((0, 2)), np.zeros(0))
    one, three = (
        panels.render({"post": Layer.open(values, grid=grid)}, nothing, 10_000_000)[0].tiles[0]
        for values in (band, np.repeat(band, 3, axis=0))
    )
    np.testing.assert_array_equal(decode(one), decode(three))
