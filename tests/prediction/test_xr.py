"""The accessor `.d4eo` of xarray, with rioxarray around it."""

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox
from sklearn.linear_model import LogisticRegression

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import evaluate
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.run import save_run

xarray = pytest.importorskip("xarray")
pytest.importorskip("rioxarray")
import deepnets4eo.prediction.xr  # noqa: E402, F401, which adds .d4eo

GRID = GeoBox((40, 48), Affine(0.5, 0, 5e5, 0, -0.5, 4.1e6), "EPSG:32616")
LEGEND = Legend.load("isprs")
RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(3, dtype=np.uint8), 16)[None].repeat(40, 0)
IMAGE = (60 * LABELS[None] + RNG.integers(1, 90, (3, 40, 48))).astype(np.uint8)
IMAGE[:, 3, 5:9] = 0  # nodata


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, an image and a reference on disk."""
    folder = tmp_path_factory.mktemp("place")
    files = {
        "image": write_geotiff(folder / "image.tif", IMAGE, transform=GRID.affine, crs="EPSG:32616", nodata=0),
        "labels": write_geotiff(folder / "labels.tif", LABELS, transform=GRID.affine, crs="EPSG:32616"),
    }
    scene = Scene.open(**files)
    classifier = PixelClassifier(LogisticRegression(max_iter=500), InputSpec.measure([scene]), LEGEND).fit([scene])
    save_run(classifier, folder / "run")
    return folder


def test_an_image_of_rioxarray_is_predicted_as_the_file_is_and_goes_back_to_rioxarray(place: Path) -> None:
    import rioxarray

    photo = rioxarray.open_rasterio(place / "image.tif", masked=True).to_dataset(name="image")
    result = photo.d4eo.predict(place / "run", ["probabilities", "entropy"], PredictOptions(tile_px=32))
    files = {name: place / f"{name}_of_file.tif" for name in ("probabilities", "entropy")}
    predict(place / "run", place / "image.tif", place / "file.tif", PredictOptions(tile_px=32, **files))
    result.labels.rio.to_raster(place / "back.tif")
    expected, _ = Layer.open(place / "file.tif").read()
    back = Layer.open(place / "back.tif")
    assert np.array_equal(back.read()[0], expected)
    assert (back.grid, back.legend) == (GRID, LEGEND)
    packed, valid = Layer.open(files["probabilities"]).read()
    np.testing.assert_allclose(result.probabilities.values[:, valid], packed[:, valid] / 254, atol=1e-6)
    assert list(result.probabilities.probabilities_band.values) == list(LEGEND.names)
    assert 0 < float(result.entropy.max()) <= 1
    assert np.isnan(result.entropy.values).sum() == (~valid).sum()
    assert result.odc.geobox == photo.odc.geobox == GRID


def test_labels_are_scored_as_files_are(place: Path) -> None:
    dataset = Scene.open(image=place / "image.tif", labels=place / "labels.tif").to_xarray()
    result = dataset.d4eo.predict(place / "run")
    scored = result.d4eo.evaluate(dataset)
    assert scored.to_dict()["overall_accuracy"] > 0.5
    predict(place / "run", place / "image.tif", place / "scored.tif")
    of_files = evaluate(place / "scored.tif", place / "labels.tif", "isprs")
    assert np.array_equal(scored.matrix.matrix, of_files.matrix.matrix)
    assert np.array_equal(result.d4eo.evaluate(place / "labels.tif").matrix.matrix, of_files.matrix.matrix)
    with pytest.raises(InputError, match="do not name their legend"):
        dataset.d4eo.evaluate(dataset)
    with pytest.raises(InputError, match="none of them called 'labels'"):
        dataset[["image"]].d4eo.evaluate(dataset)
    with pytest.raises(InputError, match="Did you mean 'entropy'"):
        dataset.d4eo.predict(place / "run", ["entrop"])
