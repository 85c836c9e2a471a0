"""`.eo` on arrays and datasets of xarray: the same values as the files' verbs give, lazily where the arrays are."""

from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path
from types import ModuleType

import made_up_town as town
import numpy as np
import pytest

from deepnets4eo import evaluate, predict
from deepnets4eo.cards import Legend
from deepnets4eo.change import ChangeOptions, map_change
from deepnets4eo.display import progress
from deepnets4eo.display.progress import in_notebook
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer, Scene

xarray = pytest.importorskip("xarray")

from small_segmenters import LEGEND, SCENE, named_estimator, pixels  # noqa: E402

import deepnets4eo.xarray  # noqa: E402, F401


@pytest.fixture(scope="module")
def dataset():
    """The small scene on a grid, without its labels."""
    grid = town.GRID[:192, :192]
    scene = Scene.open(**{name: Layer.open(SCENE.layers[name].read()[0], grid=grid) for name in ("image", "dsm")})
    return scene.to_xarray()


@pytest.fixture(scope="module")
def segmenter():
    return pixels(named_estimator("random_forest", trees=5), "pixels", "neighbourhood")


@pytest.fixture(scope="module")
def expected(dataset, segmenter, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    out = tmp_path_factory.mktemp("files") / "labels.tif"
    predict(segmenter, Scene.from_xarray(dataset), out)
    return Layer.open(out).read()[0][0]


def test_predict_gives_the_file_s_labels_with_crs_and_names(dataset, segmenter, expected, tmp_path: Path) -> None:
    labels = dataset.eo.predict(segmenter)
    assert np.array_equal(labels.values, expected)
    assert labels.dims == ("y", "x")
    assert labels.odc.geobox == dataset.odc.geobox
    pytest.importorskip("rioxarray")
    labels.rio.to_raster(tmp_path / "labels.tif")
    written = Layer.open(tmp_path / "labels.tif", nodata=255)
    assert np.array_equal(written.read()[0][0], expected)
    assert written.grid == labels.odc.geobox
    assert (labels.attrs["flag_meanings"], list(labels.attrs["flag_values"])) == ("low middle high", [2, 5, 9])


def test_blocks_of_dask_are_predicted_when_they_are_asked_for(
    dataset, segmenter, expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the halo of the run, so that no border shows."""
    pytest.importorskip("dask")
    monkeypatch.setattr(progress, "in_notebook", lambda: True)  # where two bars at once would be an error
    labels = dataset.chunk(y=80, x=100).eo.predict(segmenter)
    assert labels.chunks == ((80, 80, 32), (100, 92))
    assert type(labels.data).__module__.startswith("dask")
    assert np.array_equal(labels.isel(y=slice(70, 90)).values, expected[70:90])
    assert np.array_equal(labels.values, expected)


def test_evaluate_knows_the_legend_of_predicted_labels(dataset, segmenter, expected) -> None:
    labels = dataset.eo.predict(segmenter)
    truth = labels.copy(data=SCENE.layers["labels"].read()[0][0])
    scores = labels.eo.evaluate(truth)
    assert scores.matrix.matrix.tolist() == evaluate(expected, truth.values, LEGEND).matrix.matrix.tolist()
    with pytest.raises(InputError, match="these labels name no legend"):
        labels.drop_attrs().eo.evaluate(truth)


@pytest.fixture(scope="module")
def pair():
    def image(*, after: bool):
        photo = town.photo(after=after)
        moved = np.roll(photo, (-4, 3), axis=(1, 2)) if after else photo
        return Scene.open(image=town.layer(np.ascontiguousarray(moved))).to_xarray().image

    return image(after=False), image(after=True)


OPTIONS = ChangeOptions(method="cva", refine=False, assume_registered=True)


@pytest.mark.parametrize("lazy", [False, True])
def test_change_gives_the_files_of_the_job(pair, lazy: bool, tmp_path: Path) -> None:
    pre, post = pair
    made = map_change(Layer.open(pre), Layer.open(post), tmp_path / "map", OPTIONS)
    truth = Layer.open(tmp_path / "map" / "change.tif").read()[0][0]
    if lazy:
        pytest.importorskip("dask")
        pre, post = pre.chunk(y=256), post.chunk(y=256)
    found = pre.eo.change(post, OPTIONS)
    assert bool(found.change.chunks) == lazy
    assert np.array_equal(found.change.values, truth)
    assert 0 < (truth == 1).mean() < 0.5
    assert found.change.odc.geobox == post.odc.geobox
    assert found.change.attrs["flag_meanings"].split()[0] == Legend.load("change").classes[0].name.replace(" ", "_")
    assert found.score.dtype == np.float32
    limits = [finding.whole for finding in made.findings]
    assert found.attrs["findings"] == limits  # of the lazy one, once it was computed
    assert limits


@pytest.mark.parametrize("legend", ["", "{}", "[1]", 1, b"x", None, [1, 2]])
def test_an_attribute_that_is_no_legend_is_refused(dataset, legend: object) -> None:
    labels = dataset.dsm.assign_attrs(legend=legend)
    with pytest.raises(InputError):
        labels.eo.evaluate(labels)


def test_a_dataset_of_several_images_is_no_image(dataset) -> None:
    with pytest.raises(InputError, match="expected one image, got a dataset of image, dsm"):
        dataset.eo.change(dataset)


def test_flood_gives_what_radar_shows() -> None:
    from small_segmenters import make_flood

    scene = make_flood()
    grid = town.GRID[:192, :192]
    dates = []
    for name in ("pre_1", "post"):
        plain = Scene.open(date=Layer.open(scene.layers[name].read()[0], grid=grid)).to_xarray().date
        dates.append(xarray.concat([plain, plain - 6], dim="band").assign_coords(band=["VV", "VH"]))
    found = dates[1].eo.flood(dates[0])
    level = np.kron(np.random.default_rng(0).random((24, 24)), np.ones((8, 8)))
    flooded = (level >= 0.2) & (level < 0.4)
    agree = ((found.flood.values == 2) == flooded)[found.flood.values != 255].mean()
    assert agree > 0.9
    assert found.flood.attrs["flag_meanings"] == "dry permanent_water flood"
    assert isinstance(found.attrs["findings"], list)


def test_bars_are_shown_in_notebooks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = ModuleType("IPython")
    kernel.get_ipython = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    assert not in_notebook()
    kernel.get_ipython = type("ZMQInteractiveShell", (), {})  # type: ignore[attr-defined]
    assert in_notebook()
    kernel.get_ipython = type("TerminalInteractiveShell", (), {})  # type: ignore[attr-defined]
    assert not in_notebook()


def test_a_bar_in_a_notebook_is_displayed_there(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = pytest.importorskip("IPython.display")
    drawn: list[object] = []
    monkeypatch.setattr(notebook, "display", lambda *shown, **_: drawn.extend(shown))
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    with progress.watched_progress("predict") as advance:
        assert advance is not None
        advance(0.5)
    assert drawn
    monkeypatch.setattr(progress, "in_notebook", lambda: False)
    monkeypatch.setattr("sys.stderr", StringIO())
    with progress.watched_progress("predict") as advance:
        assert advance is None
