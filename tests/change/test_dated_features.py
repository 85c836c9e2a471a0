"""Series and rasters of embeddings by a file of Galileo: the month is that of each date, and cells are means of patches."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from encoder_tensors import galileo
from geotiff import write_geotiff
from refusals import raises_naming
from safetensors.torch import save_file

from deepnets4eo.change import NoveltyOptions
from deepnets4eo.change.series import EmbeddingMap, SeriesInputs
from deepnets4eo.change.series.dates import DatedImage
from deepnets4eo.change.series.features import CellGrid, measure_cells
from deepnets4eo.change.series.job import make_features
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import DatedMaps

BANDS = ["B02", "B03", "B04", "B08"]


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    path = tmp_path / "galileo.safetensors"
    save_file({name: value.contiguous() for name, value in galileo().items()}, path)
    return path


def image(seed: int = 0, dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(seed).integers(100, 4000, (4, 20, 36)).astype(dtype)


@pytest.mark.core("the only raster of embeddings")
def test_a_raster_of_embeddings_has_the_vectors_of_patches_of_the_month_in_its_name(
    encoder: Path, tmp_path: Path
) -> None:
    source = image()
    source[:, :8, :8] = 0
    write_geotiff(tmp_path / "S2_20240612.tif", source, gsd=10, nodata=0)
    embedded = EmbeddingMap.open(str(tmp_path / "S2_20240612.tif"), encoder, SeriesInputs(bands=",".join(BANDS)))
    headline = embedded.write(tmp_path / "vectors.tif")
    assert "month 6" in headline
    layer = Layer.open(tmp_path / "vectors.tif")
    assert layer.embedding is not None
    assert layer.embedding.name == "galileo"
    assert (layer.count, layer.shape, layer.gsd_m) == (32, (2, 4), pytest.approx(80))
    maps = DatedMaps(encoder, BANDS, np.full(4, 4000.0))
    expected = maps.compute(source.astype(np.float32), source.any(axis=0), 6)
    values, valid = layer.read()
    assert valid.tolist() == [[False, True, True, True], [True] * 4]
    np.testing.assert_allclose(values[:, valid], expected[:, valid], atol=1e-5)
    december = EmbeddingMap.open(
        str(tmp_path / "S2_20240612.tif"), encoder, SeriesInputs(dates="2024-12-12", bands=",".join(BANDS))
    )
    december.write(tmp_path / "december.tif")
    assert not np.allclose(Layer.open(tmp_path / "december.tif").read()[0][:, valid], values[:, valid], atol=1e-3)


def test_cells_of_a_series_are_means_of_the_patches_of_each_date(encoder: Path) -> None:
    days = [date(2024, 6, 1), date(2024, 9, 1)]
    arrays = [image(number) for number in (0, 1)]
    series = ImageSeries([DatedImage(day, (array,)) for day, array in zip(days, arrays, strict=True)], bands=BANDS)
    options = NoveltyOptions(cell_px=16, encoder=str(encoder))
    measured = measure_cells(series, CellGrid(series.grid, 16, 16), make_features(series, options), workers=1)
    maps = DatedMaps(encoder, BANDS, np.full(4, 4000.0))
    for index, (day, array) in enumerate(zip(days, arrays, strict=True)):
        vectors = maps.compute(array.astype(np.float32), np.ones((20, 36), bool), day.month)
        expected = vectors.reshape(32, 1, 2, 2, 2).mean(axis=(2, 4))[:, 0]
        np.testing.assert_allclose(measured.values[index], expected.T, atol=1e-5)


def test_bytes_cells_of_no_whole_patches_and_further_weights_are_refused(encoder: Path) -> None:
    series = ImageSeries([DatedImage(date(2024, 6, 1), (image(),))], bands=BANDS)
    with raises_naming(InputError, "12", "8", "cell_px=16"):
        make_features(series, NoveltyOptions(cell_px=12, encoder=str(encoder)))
    with raises_naming(InputError, str(encoder), "other.safetensors"):
        make_features(series, NoveltyOptions(encoder=str(encoder), weights="other.safetensors"))
    dull = np.random.default_rng(0).integers(0, 255, (4, 20, 36)).astype(np.uint8)
    pictures = ImageSeries([DatedImage(date(2024, 6, 1), (dull,))], bands=BANDS)
    with raises_naming(InputError, "reflectance", "images/frozen"):
        make_features(pictures, NoveltyOptions(cell_px=16, encoder=str(encoder)))
