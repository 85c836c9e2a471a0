"""An autoencoder trained on the series itself: it restores what it has seen, describes cells, and finds changes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up_series import BANDS, CELL, Change, make_series

from deepnets4eo.change import NoveltyOptions, rank_novelty
from deepnets4eo.change.series import autoencoder
from deepnets4eo.change.series.autoencoder import AutoencoderFeatures
from deepnets4eo.change.series.features import CellGrid, measure_cells
from deepnets4eo.change.series.job import make_features
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window

CHANGES = (Change(1, 4, 7), Change(4, 2, 9))


@pytest.fixture(scope="module")
def series() -> ImageSeries:
    return ImageSeries(make_series(size=96, changes=CHANGES), bands=BANDS)


@pytest.fixture(scope="module")
def features(series) -> AutoencoderFeatures:
    return AutoencoderFeatures(series, side_px=CELL, steps=40)


def test_training_restores_the_images_better_and_depends_on_the_seed_alone(series, features) -> None:
    assert len(features.losses) == 40
    assert np.mean(features.losses[-10:]) < features.losses[0] / 2
    short, again, other = (AutoencoderFeatures(series, side_px=CELL, steps=3, seed=seed).losses for seed in (0, 0, 1))
    assert short == again
    assert short != other


def test_features_are_means_and_spreads_of_the_maps_over_each_cell(series, features) -> None:
    cells = CellGrid(series.grid, CELL, CELL)
    image, valid = series.read(3, Window(0, 0, 64, 48))
    measured = features.measure(image, valid, cells)
    assert measured.shape == (len(features.names), 4, 3)
    low, high = features._low, features._high
    scaled = np.clip(2 * (image - low) / (high - low) - 1, -2, 2).astype(np.float32)
    with torch.no_grad():
        maps = features._network.encoder(torch.from_numpy(scaled)[None])[0].numpy()
    for row, col in ((0, 0), (3, 2)):
        part = maps[:, 4 * row : 4 * row + 4, 4 * col : 4 * col + 4].astype(np.float64)
        np.testing.assert_allclose(measured[::2, row, col], part.mean(axis=(1, 2)), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(measured[1::2, row, col], part.std(axis=(1, 2)), rtol=1e-2, atol=1e-3)


def test_values_under_clouds_do_not_count(series, features) -> None:
    cells = CellGrid(series.grid, CELL, CELL)
    image, valid = series.read(3, Window(0, 0, 64, 64))
    hidden = valid.copy()
    hidden[:16, :16] = False
    first, second = (features.measure(np.where(hidden, image, value), hidden, cells) for value in (0, np.nan))
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(first).all()


def test_the_true_changes_lead_the_ranking(series, features) -> None:
    cells = CellGrid(series.grid, CELL, CELL)
    table = rank_novelty(measure_cells(series, cells, features, workers=1)).table
    found = {(int(one.centroid.y // CELL), int(one.centroid.x // CELL)) for one in table.geometry[:2]}
    assert found == {(one.row, one.col) for one in CHANGES}


def test_the_option_chooses_it_and_not_beside_another_encoder(series, monkeypatch) -> None:
    monkeypatch.setattr(autoencoder.AutoencoderFeatures.__init__, "__kwdefaults__", {"steps": 2, "seed": 0})
    options = NoveltyOptions(cell_px=CELL, features="autoencoder")
    assert isinstance(make_features(series, options), AutoencoderFeatures)
    with pytest.raises(InputError, match="--set features=autoencoder and --set encoder=resnet18 were given"):
        make_features(series, replace(options, encoder="resnet18"))
    for one in ({"encoder": "resnet18"}, {"weights": "encoder.safetensors"}):
        with pytest.raises(InputError, match="an encoder needs weights"):
            make_features(series, NoveltyOptions(cell_px=CELL, **one))


def test_cells_and_series_that_do_not_fit_are_refused(series) -> None:
    with pytest.raises(InputError, match="cells of 18 px .* Take a multiple of 4"):
        AutoencoderFeatures(series, side_px=18)
    nothing = make_series(size=64, count=3)
    clouds = np.ones((64, 64), np.uint8)
    masked = ImageSeries([replace(image, masks=(clouds,)) for image in nothing], bands=BANDS)
    with pytest.raises(InputError, match="valid"):
        AutoencoderFeatures(masked, side_px=16)
