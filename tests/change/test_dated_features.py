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


class Halves:
    """In place of an encoder: the mean of the first band of each patch of 4 pixels, and the month."""

    kind, width, patch_px = "presto", 2, 4

    def __init__(self) -> None:
        self.seen: list[tuple[tuple[int, ...], int | None]] = []

    def compute(self, image: np.ndarray, valid: np.ndarray, month: int | None) -> np.ndarray:
        self.seen.append((image.shape, month))
        rows, cols = (side // 4 for side in valid.shape)
        cut = np.where(valid, image[0], 0).reshape(rows, 4, cols, 4)
        known = valid.reshape(rows, 4, cols, 4).all(axis=(1, 3))
        return np.stack([np.where(known, cut.mean(axis=(1, 3)), 0), np.where(known, float(month or 13), 0)]).astype(
            "f4"
        )


@pytest.mark.parametrize("day", [date(2024, 6, 12), None])
def test_vectors_lie_on_whole_patches_with_day_size_and_share_of_data(
    day: date | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepnets4eo.change.series.embedding_map.BLOCK_PATCHES", 2)
    source = image()
    source[:, 4:8, :4] = 0
    path = write_geotiff(tmp_path / "a.tif", source, gsd=10, nodata=0, tags={"SYNTHETIC": "yes"})
    series = ImageSeries(
        [DatedImage(day or date.min, (str(path),))], bands={name: 1 + at for at, name in enumerate(BANDS)}
    )
    maps, shares = Halves(), list[float]()
    embedded = EmbeddingMap(series, maps, Path("weights.safetensors"), day)  # type: ignore[arg-type]
    assert embedded.grid.shape == (5, 9)
    headline = embedded.write(tmp_path / "vectors.tif", shares.append)
    assert headline == f"2 components per patch of 4 px, 98% with data, {'month 6' if day else 'unknown month'}"
    assert shares == pytest.approx(np.arange(1, 16) / 15)
    assert {month for _, month in maps.seen} == {6 if day else None}
    assert {shape for shape, _ in maps.seen} == {(4, 8, 8), (4, 4, 8), (4, 8, 4), (4, 4, 4)}
    layer = Layer.open(tmp_path / "vectors.tif")
    values, valid = layer.read()
    expected = source[0, :, :36].reshape(5, 4, 9, 4).mean(axis=(1, 3))
    assert np.argwhere(~valid).tolist() == [[1, 0]]
    np.testing.assert_allclose(values[0][valid], expected[valid], rtol=1e-6)
    assert layer.gsd_m == pytest.approx(40)
    assert layer.band_names == ["presto_1", "presto_2"]
    assert layer.synthetic
    assert layer.acquired == (None if day is None else ("ACQUISITION_DATE", day))
    card = layer.embedding
    assert card is not None
    assert (card.components, card.scale, card.power, card.gsd_m) == (2, 1.0, 1.0, pytest.approx(40))
    assert "weights.safetensors, an encoder of Presto" in card.title


def test_the_day_of_an_image_is_given_or_in_its_name_or_tags_and_small_images_are_refused(
    encoder: Path, tmp_path: Path
) -> None:
    inputs = SeriesInputs(bands=",".join(BANDS))
    named = write_geotiff(tmp_path / "S2_20240612.tif", image(), tags={"ACQUISITION_DATE": "2024-07-01"})
    tagged = write_geotiff(tmp_path / "a.tif", image(), tags={"ACQUISITION_DATE": "2024-07-01"})
    assert EmbeddingMap.open(str(named), encoder, inputs).day == date(2024, 6, 12)
    assert EmbeddingMap.open(str(tagged), encoder, inputs).day == date(2024, 7, 1)
    small = write_geotiff(tmp_path / "b.tif", image()[:, :7])
    with raises_naming(InputError, "7 × 36 pixels", "a patch of 8"):
        EmbeddingMap.open(str(small), encoder, inputs)
    assert EmbeddingMap.open(str(write_geotiff(tmp_path / "c.tif", image()[:, :8])), encoder, inputs).day is None
