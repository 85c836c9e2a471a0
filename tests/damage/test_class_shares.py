"""A run that labels pixels adds evidence, whatever kind of run it is, and leaves the decision alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from rasterio.features import geometry_mask
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.cards.legend import Legend, LegendClass
from deepnets4eo.damage import Settings, assess
from deepnets4eo.damage.evidence.raster_evidence import open_class_map_source
from deepnets4eo.damage.inputs.journal import JobControl
from deepnets4eo.errors import InputError, LabelError, RunError
from deepnets4eo.grid import whole
from deepnets4eo.prediction import predict
from deepnets4eo.rasters.cog import CogWriter
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.segmenters.segmenter import NetworkSegmenter
from deepnets4eo.synthetic import City

pytestmark = pytest.mark.usefixtures("registered_once")
CITY = City(seed=3, size_px=256)
POST = Layer.open(CITY.post.image, grid=CITY.post.grid)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    legend = Legend.load("minicity")
    scene = Scene({"image": POST, "labels": Layer.open(CITY.post.labels(legend), grid=CITY.post.grid)})
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    classifier = PixelClassifier(pipeline, InputSpec.measure([scene]), legend).fit([scene], max_pixels=2000)
    return save_run(classifier, tmp_path_factory.mktemp("run") / "colours")


@pytest.fixture(scope="module")
def results(run: Path):
    pre = Layer.open(CITY.pre.image, grid=CITY.grid)
    return [assess(pre, POST, CITY.footprints(), settings=Settings(class_shares=one)) for one in (None, str(run))]


def test_each_class_has_its_share_of_the_outline(results, run, tmp_path):
    buildings = results[1].buildings
    columns = [name for name in buildings if name.startswith("ev_class_")]
    assert len(columns) == Legend.load("minicity").num_classes
    predict(run, POST, tmp_path / "labels.tif")
    labels = Layer.open(tmp_path / "labels.tif").read()[0][0]
    assessed = buildings[buildings["status"] == "assessed"]
    assert len(assessed) >= 3
    np.testing.assert_allclose(assessed[columns].sum(axis=1), 1, atol=1e-9)
    for _, row in assessed.iterrows():
        inside = geometry_mask([row.geometry], labels.shape, POST.grid.affine, invert=True)
        share = (labels[inside] == Legend.load("minicity").value("building")).mean()
        assert row["ev_class_building"] == pytest.approx(share, abs=1e-9)


def test_the_decision_does_not_use_it_and_its_meaning_says_so(results):
    plain, labelled = (result.buildings for result in results)
    np.testing.assert_array_equal(plain["damage_prob"], labelled["damage_prob"])
    assert results[1].meaning["ev_class_building"].endswith("labels building, 0–1; not in the decision")


def test_the_products_carry_it(results, tmp_path):
    paths = results[1].save(tmp_path / "damage", pre=None, post=POST)
    assert "ev_class_building" in Path(paths["report.html"]).read_text(encoding="utf-8")


def test_a_killed_job_does_not_label_again(results, run, tmp_path, monkeypatch):
    predicted = []

    def count(*positional, **named):
        predicted.append(1)
        return predict(*positional, **named)

    monkeypatch.setattr("deepnets4eo.damage.evidence.raster_evidence.predict", count)
    pre, settings = Layer.open(CITY.pre.image, grid=CITY.grid), Settings(class_shares=str(run))
    maps = [assess(pre, POST, CITY.footprints(), settings=settings, work=JobControl(tmp_path)) for _ in range(2)]
    assert predicted == [1]
    for made in maps:
        assert made.buildings.equals(results[1].buildings)


def test_a_run_that_does_not_fit_the_post_image_is_refused_before_the_work(run):
    grey = Layer.open(CITY.post.image[:1], grid=CITY.post.grid)
    with pytest.raises(RunError, match="has 1 bands, training had 4"):
        assess(None, grey, CITY.footprints(), settings=Settings(class_shares=str(run)))


def test_labels_made_before_say_the_same_as_the_run_that_made_them(results, run, tmp_path):
    predict(run, POST, tmp_path / "labels.tif")
    settings = Settings(class_shares=str(tmp_path / "labels.tif"))
    again = assess(Layer.open(CITY.pre.image, grid=CITY.grid), POST, CITY.footprints(), settings=settings)
    columns = [name for name in again.buildings if name.startswith("ev_class_")]
    np.testing.assert_array_equal(again.buildings[columns], results[1].buildings[columns])
    assert "the raster 'labels.tif' labels building" in again.meaning["ev_class_building"]


def test_labels_without_a_legend_are_refused(tmp_path):
    with CogWriter(tmp_path / "plain.tif", POST.grid, count=1) as cog:
        cog.write(whole(POST.grid), np.zeros((1, *POST.shape), np.uint8))
    with pytest.raises(LabelError, match="plain.tif does not say what its values mean"):
        assess(None, POST, CITY.footprints(), settings=Settings(class_shares=str(tmp_path / "plain.tif")))


def test_a_run_that_needs_what_the_job_does_not_have_is_refused_with_the_way_out(tmp_path):
    osm = Layer.open(np.zeros((1, *POST.shape), np.uint8), grid=POST.grid)
    scene = Scene({"image": POST, "osm": osm})
    inputs = InputSpec.measure([scene], ["image", "osm"])
    run = save_run(NetworkSegmenter({"name": "osmnet"}, inputs, Legend.load("minicity")), tmp_path / "fused")
    with pytest.raises(
        RunError, match=r"layer 'osm' is missing.*label the post image with `deepnets4eo predict .*fused"
    ):
        assess(None, POST, CITY.footprints(), settings=Settings(class_shares=str(run)))


def test_what_is_not_there_is_explained_for_runs_and_labels_alike(tmp_path):
    with pytest.raises(
        InputError, match=r"labels\.tif does not exist. Give the folder of a run .* or a raster of labels"
    ):
        open_class_map_source(tmp_path / "labels.tif", POST, None)


def test_classes_whose_names_have_no_latin_letters_or_the_same_ones_keep_a_column_each(tmp_path):
    names = ["建物", "道路", "road (paved)", "road paved", "(?)"]
    legend = Legend("local", tuple(LegendClass(value, name, (value + 1, 0, 0)) for value, name in enumerate(names)))
    values = np.random.default_rng(0).integers(0, len(names), POST.shape).astype(np.uint8)
    tags = {"LEGEND": json.dumps(legend.to_dict())}
    with CogWriter(tmp_path / "labels.tif", POST.grid, count=1, tags=tags) as cog:
        cog.write(whole(POST.grid), values[None])
    labels = str(tmp_path / "labels.tif")
    buildings = assess(None, POST, CITY.footprints(), settings=Settings(class_shares=labels)).buildings
    columns = [name.removeprefix("ev_class_") for name in buildings if name.startswith("ev_class_")]
    assert columns == ["建物", "道路", "road_paved_2", "road_paved_3", "4"]
