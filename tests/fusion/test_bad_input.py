"""What dense networks and fusion do with input that nobody hopes for: each case is defined, warned of, or refused."""

import logging

import numpy as np
import pytest
import torch
import yaml
from affine import Affine
from geotiff import write_geotiff
from rasterio.transform import from_origin
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.errors import GridError, InputError, RunError
from deepnets4eo.grid import Grid
from deepnets4eo.inspection import inspect
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters import Layer, Scene, find_outliers
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter, create_model
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.training import Recipe, SegmentationCriterion, TrainSection, prepare
from deepnets4eo.training.recipe import resolve
from deepnets4eo.training.statistics import warn_of_lacking

LEGEND = {
    "name": "three",
    "classes": [{"value": v, "name": n, "color": [v, 80 * v, 9]} for v, n in enumerate(("low", "middle", "high"))],
}
SIDE = 96
GRID = Grid((SIDE, SIDE), Affine(0.5, 0, 5e5, 0, -0.5, 5e6), "EPSG:32631")


def write(path, array, **profile):
    return write_geotiff(path, array, gsd=0.5, alpha="NO", **profile)


def make(folder, *, shown=(0, 1, 2), scenes=2):
    """Scenes of an image, heights and labels in squares; all three tell the classes."""
    for number in range(scenes):
        rng = np.random.default_rng(number)
        labels = np.kron(
            rng.permutation(np.resize(shown, (SIDE // 16) ** 2)).reshape(SIDE // 16, -1), np.ones((16, 16), int)
        )
        write(
            folder / f"p{number}" / "image.tif", (60 + 60 * labels + rng.integers(0, 30, (3, SIDE, SIDE))).astype("u1")
        )
        write(folder / f"p{number}" / "dsm.tif", heights(labels, rng))
        write(folder / f"p{number}" / "labels.tif", labels[None].astype("u1"))
    return folder


def heights(labels, rng):
    return (30 + 5 * labels + rng.normal(0, 0.5, (1, SIDE, SIDE))).astype("f4")


def prepared(folder, *overrides, layers=("image", "dsm")):
    values = {
        "legend": LEGEND,
        "data": {
            "folders": [str(folder)], "layers": {name: f"*/{name}.tif" for name in (*layers, "labels")},
            "tile_px": 32, "num_workers": 0,
        },
        "model": {"network": "fusenet", "layers": list(layers), "options": {"streams": [3, 1], "width": 2}},
    }  # fmt: skip
    return prepare(resolve(values, overrides, kind=Recipe))


def train(folder, recipe, *overrides):
    """The verb; what it refuses here it refuses before it learns."""
    legend = folder.parent / "legend.yaml"
    legend.write_text(yaml.safe_dump(LEGEND))
    words = [f"legend={legend}", "data.tile_px=32", "data.num_workers=0", "train.epochs=1", *overrides]
    sets = [word for value in words for word in ("--set", value)]
    return main(["train", recipe, "--data", str(folder), "--out", str(folder.parent / "run"), *sets])


@pytest.fixture
def data(tmp_path):
    return make(tmp_path / "data")


# bands and layers


def test_an_image_of_other_bands_than_the_runs_is_refused_with_what_would_do():
    inputs = InputSpec.measure([Scene.open(image=np.arange(192, dtype="u1").reshape(3, 8, 8))])
    with raises_naming(RunError, "4", "3", "gdal_translate"):
        inputs.check(Scene.open(image=np.arange(256, dtype="u1").reshape(4, 8, 8)))


@pytest.mark.parametrize("recipe", ["residual-correction", "unet-fusion"])
def test_streams_that_are_not_the_layers_are_refused_naming_their_bands(recipe, data, capsys):
    for number in range(2):
        image = Layer.open(data / f"p{number}" / "image.tif").read()[0]
        write(data / f"p{number}" / "image.tif", image[[0, 1, 2, 0]])
    assert train(data, recipe) == 2
    error = capsys.readouterr().err
    assert "streams=[3, 1], but the bands of the layers are: image 4, dsm 1. Choose bands with data.bands" in error
    assert "set streams to [4, 1]" in error
    assert train(data, recipe, "model.layers=[dsm, image]", "data.bands={image: [1, 2, 3]}") == 2
    assert "dsm 1, image 3" in capsys.readouterr().err


def made_run(folder, legend, layer, bands):
    inputs = InputSpec.measure([Scene.open(**{layer: np.arange(64 * bands, dtype="f4").reshape(bands, 8, 8)})], [layer])
    segmenter = NetworkSegmenter({"name": "segnet", "width": 2}, inputs, Legend.from_dict(legend, folder.name))
    return str(save_run(segmenter, folder))


def test_runs_of_other_classes_or_in_another_order_are_not_started_from(data, tmp_path, capsys):
    turned = {**LEGEND, "classes": [{**one, "value": 2 - one["value"]} for one in reversed(LEGEND["classes"])]}
    image, high = made_run(tmp_path / "a", LEGEND, "image", 3), made_run(tmp_path / "b", LEGEND, "dsm", 1)
    other = made_run(tmp_path / "c", turned, "dsm", 1)
    words = ["model.options={streams: [3, 1], network: segnet, options: {width: 2}}"]
    assert train(data, "residual-correction", *words, f"model.encoder_weights={image},{other}") == 2
    assert f"the run {other} has the classes high, middle, low, this one low, middle, high" in capsys.readouterr().err
    assert train(data, "residual-correction", *words, f"model.encoder_weights={high},{image}") == 2
    assert (
        "the runs have the layers dsm, image, this one has image, dsm. Name the runs in the order"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("dropout", ["{}", "{dsm: 0.4}"])
def test_training_needs_every_layer_of_every_scene_also_those_it_leaves_out_at_times(dropout, data, capsys):
    (data / "p1" / "dsm.tif").unlink()
    assert train(data, "fusenet", f"train.modality_dropout={dropout}") == 2
    assert "scene 'p1' has the layers ['image', 'labels'], not ['dsm']" in capsys.readouterr().err


# surface models on other grids


def plane(grid):
    """10 m a kilometre to the east and 20 m to the north, (1, h, w), wherever the grid lies in UTM 31."""
    rows, cols = np.mgrid[: grid.shape[0], : grid.shape[1]] + 0.5
    east, north = grid.affine * (cols, rows)
    return (0.01 * (east - 5e5) + 0.02 * (north - 5e6))[None].astype("f4")


@pytest.mark.parametrize(
    ("shape", "step", "east"), [((48, 48), 1.0, 0), ((400, 400), 0.25, -10), ((120, 120), 0.5, -5.2)]
)
def test_heights_of_another_pixel_size_or_place_are_those_of_the_ground(shape, step, east, caplog):
    grid = Grid(shape, Affine(step, 0, 5e5 + east, 0, -step, 5e6 - east), "EPSG:32631")
    layers = {"image": Layer.open(np.ones((3, SIDE, SIDE), "u1"), grid=GRID), "dsm": Layer.open(plane(grid), grid=grid)}
    sample = Scene(layers).read()
    inner = sample["valid"].copy()
    inner[[0, -1]] = inner[:, [0, -1]] = False
    assert inner.mean() > 0.9
    np.testing.assert_allclose(sample["dsm"][0][inner], plane(GRID)[0][inner], atol=2e-3)
    assert not caplog.text


def test_where_heights_do_not_reach_nothing_is_valid_and_the_share_is_said(caplog):
    grid = Grid((SIDE, SIDE), Affine(0.5, 0, 5e5 + 24, 0, -0.5, 5e6), "EPSG:32631")
    layers = {"image": Layer.open(np.ones((3, SIDE, SIDE), "u1"), grid=GRID), "dsm": Layer.open(plane(grid), grid=grid)}
    valid = Scene(layers).read()["valid"]
    assert valid[:, 49:].all()
    assert not valid[:, :48].any()
    assert "Layer 'dsm' (array) covers 50 % of the scene; no pixel is valid where it does not reach" in caplog.text


@pytest.mark.parametrize("place", [{"transform": from_origin(6e5, 5e6, 0.5, 0.5)}, {"crs": "EPSG:32632"}])
def test_heights_of_another_place_are_refused_in_training_and_prediction(place, data):
    path = data / "p0" / "dsm.tif"
    write(path, Layer.open(path).read()[0], **place)
    message = r"layer 'dsm' \(.*p0/dsm.tif\) does not overlap the scene's grid"
    with pytest.raises(GridError, match=message):
        prepared(data)
    with pytest.raises(GridError, match=message):
        Scene.open(image=data / "p0" / "image.tif", dsm=path)


def test_a_layer_of_the_whole_earth_covers_any_scene(caplog):
    earth = Grid((180, 360), Affine(1, 0, -180, 0, -1, 90), "EPSG:4326")
    whole = Layer.open(np.full((1, 180, 360), 7, "f4"), grid=earth)
    sample = Scene({"image": Layer.open(np.ones((3, SIDE, SIDE), "u1"), grid=GRID), "dsm": whole}).read()
    assert (sample["dsm"] == 7).all()
    assert not caplog.text


# values of surface models


def spoilt(folder, value, *, nodata=None, sparse=False):
    """The heights of all scenes with a corner, or a few pixels, of one value."""
    for path in sorted(folder.glob("*/dsm.tif")):
        dsm = Layer.open(path).read()[0].copy()
        dsm[(0, slice(None, None, 31), slice(None, None, 31)) if sparse else (0, slice(20), slice(20))] = value
        write(path, dsm, nodata=nodata)
    return folder


@pytest.mark.parametrize(("value", "nodata"), [(-9999, -9999), (np.nan, None), (np.inf, None)])
def test_heights_that_are_known_to_be_none_do_not_count(value, nodata, data, caplog):
    layer = prepared(spoilt(data, value, nodata=nodata)).inputs.layers["dsm"]
    assert 30 < layer.mean[0] < 40
    assert layer.std[0] < 6
    assert not caplog.text


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (-1.2e4, "Set them to a declared nodata value"),
        (1e4, "Set them to a declared nodata value"),
    ],
)
def test_spikes_are_said_with_layer_file_values_and_remedy(value, remedy, data, caplog):
    prepared(spoilt(data, value, sparse=True))
    (record,) = [record.getMessage() for record in caplog.records if "far from" in record.getMessage()]
    assert f"Layer 'dsm' ({data / 'p0' / 'dsm.tif'} and 1 more) holds {value:g}, far from all others (2" in record
    assert remedy in record
    problems = inspect(str(data / "p0" / "dsm.tif")).problems
    assert any(f"band_1 holds {value:g}, far from all others" in problem for problem in problems)


@pytest.mark.parametrize("value", [-9999.0, float(np.finfo("f4").min)])
def test_a_usual_value_without_data_that_is_not_declared_is_left_out_and_said_once(value, data, caplog):
    inputs = prepared(spoilt(data, value)).inputs
    assert inputs.layers["dsm"].std[0] < 6
    (record,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"dsm.tif contains {value:g} in every band" in record
    assert f"rio edit-info --nodata {value:.17g}" in record
    assert "Likewise in 1 more" in record


def test_nodata_in_one_band_alone_has_a_remedy_that_helps_there(data, caplog):
    for path in sorted(data.glob("*/image.tif")):
        image = Layer.open(path).read()[0].astype(np.int16)
        image[1, ::31, ::31] = -9999
        write(path, image, nodata=-9999)
    prepared(data)
    (record,) = [record.getMessage() for record in caplog.records if "far from" in record.getMessage()]
    assert "holds -9999, far from all others" in record
    assert "set these pixels to nodata in all bands, or leave the band out with data.bands" in record
    assert "data.nodata=" not in record


def test_the_remedy_helps(data, caplog):
    inputs = prepared(spoilt(data, float(np.finfo("f4").min)), "data.nodata={dsm: -3.4028234663852886e+38}").inputs
    assert inputs.layers["dsm"].std[0] < 6
    assert not caplog.text


def test_what_is_merely_wide_or_one_sided_is_not_called_far():
    rng = np.random.default_rng(0)
    town = np.where(rng.random(50_000) < 0.01, rng.uniform(0, 80, 50_000), rng.normal(0, 0.5, 50_000))
    for values in (town, rng.lognormal(0, 1, 50_000), np.append(np.full(9000, -20.0), rng.uniform(-20, 20, 1000)),
                   np.repeat([-1.0, 1.0], [999, 1]), np.array([0, 255], "u1"), np.full(9, 7.0), np.zeros(0)):  # fmt: skip
        far = find_outliers(values)
        assert far is None or not far.dominates_std(values.std(), values)


def test_a_layer_without_any_valid_pixel_is_named(data):
    with raises_naming(InputError, "'dsm'", "p0/dsm.tif"):
        spoilt(data, np.nan)
        for path in data.glob("*/dsm.tif"):
            write(path, np.full((1, SIDE, SIDE), np.nan, "f4"))
        prepared(data)


# classes that are absent, and windows without any label


def test_classes_without_a_training_pixel_are_named(tmp_path, caplog):
    found = prepared(make(tmp_path / "data", shown=(0, 2)))
    warn_of_lacking(found.split, found.pixels)
    assert "No training pixel shows middle: never learnt" in caplog.text
    assert "validation" not in caplog.text


def test_a_validation_part_without_labels_is_said(data, caplog):
    write(data / "p1" / "labels.tif", np.full((1, SIDE, SIDE), 255, "u1"))
    found = prepared(data, "data.split=scenes", "data.val_scenes=[p1]")
    with caplog.at_level(logging.WARNING):
        warn_of_lacking(found.split, found.pixels)
    assert "No pixel of the validation part is labelled: all scores are NaN" in caplog.text


@pytest.mark.parametrize("head", [None, "distance"])
@pytest.mark.parametrize("weighting", ["none", "median_frequency"])
@pytest.mark.parametrize("shown", [(0, 2), (255,)])
def test_losses_and_gradients_are_finite_whatever_a_batch_lacks(head, weighting, shown):
    train = TrainSection(
        losses=dict.fromkeys(("cross_entropy", "dice", "focal", "lovasz"), 1.0), class_weighting=weighting
    )
    torch.manual_seed(0)
    network = create_model("segnet", in_channels=3, num_classes=3, width=2, head=head).train()
    criterion = SegmentationCriterion(train, Legend.from_dict(LEGEND), ["image"], [500, 0, 300])
    mask = torch.tensor(shown)[torch.randint(0, len(shown), (2, 32, 32))]
    loss = criterion.step(network, {"image": torch.randn(2, 3, 32, 32), "mask": mask, "valid": mask < 300})
    loss.backward()
    assert loss.isfinite()
    assert all(value.grad is None or value.grad.isfinite().all() for value in network.parameters())
    if shown == (255,):
        assert float(loss.detach()) == 0


def test_an_absent_class_has_no_f1_and_the_mean_is_of_the_others():
    matrix = ConfusionMatrix(3)
    matrix.update(np.array([0, 0, 2, 2, 255]), np.array([0, 0, 2, 2, 1]))
    assert matrix.mean_f1 == 1
    assert np.isnan(matrix.f1[1])
