"""Scores of what a training withheld: those of exactly these pixels, whatever the map shows elsewhere."""

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from geotiff import write_geotiff
from refusals import raises_naming

import deepnets4eo
from deepnets4eo.baselines import BaselineRecipe
from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.evaluation import Protocol, ProtocolChanges, SplitMap, Withheld, evaluate
from deepnets4eo.files import read_json, write_yaml
from deepnets4eo.grid import Grid, whole
from deepnets4eo.metrics import BoundaryScores, ConfusionMatrix, erode_boundaries
from deepnets4eo.prediction import PredictOptions, describe
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import Ensemble, NetworkSegmenter
from deepnets4eo.training.recipe import resolve

LEGEND = {
    "name": "two",
    "void_values": [0],
    "classes": [
        {"value": 1, "name": "left", "color": [255, 0, 0]},
        {"value": 2, "name": "right", "color": [0, 0, 255]},
    ],
}
SIDE = 160
FOREST = {"method": "pixels", "features": ["pixels"]}


def write_scene(folder: Path, seed: int, *, crs: str | None = None) -> Path:
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 3, (10, 10)), np.ones((16, 16), int)).astype(np.uint8)
    image = (60 * labels + rng.integers(0, 120, labels.shape)).astype(np.uint8)
    for name, values in (("image", image), ("labels", labels)):
        write_geotiff(folder / f"{name}.tif", values, crs=crs, origin=(1000.0 * seed, 5000.0))
    return folder


def train(out: Path, *overrides: str, **layers: str) -> Path:
    values = {
        "task": "baseline",
        "legend": LEGEND,
        "data": {"layers": layers, "tile_px": 32, "block_px": 48, "buffer_px": 5, "num_workers": 0},
        "model": FOREST,
        "estimator": {"name": "random_forest", "trees": 3},
    }
    return deepnets4eo.train(resolve(values, overrides, kind=BaselineRecipe), out)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene"), 1)


@pytest.fixture(scope="module")
def run(scene: Path) -> Path:
    return train(scene / "run", image=str(scene / "image.tif"), labels=str(scene / "labels.tif"))


def parts_of(run: Path) -> np.ndarray:
    (path,) = (run / "split").glob("*.tif")
    return Layer.open(path).read()[0][0]


def test_the_map_of_parts_is_the_split_that_was_trained(run: Path) -> None:
    parts = parts_of(run)
    assert set(np.unique(parts)) == {1, 2, 255}
    rows, cols = np.nonzero(parts == 2)
    learnt = np.argwhere(parts == 1)
    nearest = min(np.abs(learnt - point).max(axis=1).min() for point in np.stack([rows, cols], axis=1)[::97])
    assert nearest > 5  # the buffer


def test_the_scores_are_those_of_the_run_and_of_these_pixels_alone(scene: Path, run: Path, tmp_path: Path) -> None:
    deepnets4eo.predict(run, scene / "image.tif", tmp_path / "map.tif")
    legend = deepnets4eo.load_run(run).legend
    rules = Protocol(erode_px=2, boundary_px=2, withheld=Withheld.of_run(run))
    result = evaluate(tmp_path / "map.tif", scene / "labels.tif", legend, rules)
    metrics = read_json(run / "metrics.json")
    assert result.to_dict()["confusion"] == metrics["confusion"]
    assert 0 < metrics["overall_accuracy"] < 1
    labels, predicted = (Layer.open(path).read()[0][0] for path in (scene / "labels.tif", tmp_path / "map.tif"))
    reference = np.where(labels == 0, 255, labels - 1).astype(np.uint8)
    withheld, classes = parts_of(run) == 2, (predicted - 1).astype(np.uint8)
    eroded = np.where(withheld, erode_boundaries(reference, 2), 255).astype(np.uint8)
    np.testing.assert_array_equal(result.eroded.matrix, ConfusionMatrix(2).update(eroded, classes).matrix)
    borders = BoundaryScores(2, 2)
    borders.update(np.where(withheld, reference, 255).astype(np.uint8), classes)
    assert result.boundaries.to_dict(legend.names) == borders.to_dict(legend.names)
    assert result.to_dict()["protocol"]["withheld"]["block_px"] == [48]
    # the rest of the map may show anything
    write_geotiff(tmp_path / "other.tif", np.where(withheld, predicted, 1)[None].astype(np.uint8))
    other = evaluate(tmp_path / "other.tif", scene / "labels.tif", legend, Protocol(withheld=Withheld.of_run(run)))
    np.testing.assert_array_equal(other.matrix.matrix, result.matrix.matrix)


def test_labels_where_the_image_has_no_data_are_left_out_as_in_training(tmp_path: Path) -> None:
    write_scene(tmp_path, 3)
    image = Layer.open(tmp_path / "image.tif").read()[0][0] + 1
    image[:, 20:70] = 0  # all blocks have some
    write_geotiff(tmp_path / "image.tif", image, origin=(3000.0, 5000.0), nodata=0)
    run = train(tmp_path / "run", image=str(tmp_path / "image.tif"), labels=str(tmp_path / "labels.tif"))
    deepnets4eo.predict(run, tmp_path / "image.tif", tmp_path / "map.tif")
    legend, metrics = deepnets4eo.load_run(run).legend, read_json(run / "metrics.json")
    result = evaluate(tmp_path / "map.tif", tmp_path / "labels.tif", legend, Protocol(withheld=Withheld.of_run(run)))
    assert result.to_dict()["confusion"] == metrics["confusion"]
    labels, predicted = (Layer.open(tmp_path / f"{name}.tif").read()[0][0] for name in ("labels", "map"))
    whole_map = evaluate(tmp_path / "map.tif", tmp_path / "labels.tif", legend, Protocol(boundary_px=2))
    seen = (labels != 0) & (image != 0)
    assert whole_map.matrix.total == seen.sum()
    assert whole_map.matrix.overall_accuracy == pytest.approx((labels == predicted)[seen].mean())
    assert whole_map.to_dict()["no_data_pixels"] == ((labels != 0) & (image == 0)).sum()
    assert f"{whole_map.no_data_pixels:,} labelled pixels are left out" in " ".join(whole_map.notes)
    borders = BoundaryScores(2, 2)
    borders.update(
        np.where(seen, labels - 1, 255).astype(np.uint8), np.where(image != 0, predicted - 1, 255).astype(np.uint8)
    )
    assert whole_map.boundaries.to_dict(legend.names) == borders.to_dict(legend.names)
    # what another program leaves void, or a run's map does not reach, is an error
    write_geotiff(tmp_path / "other.tif", predicted, origin=(3000.0, 5000.0), nodata=255)
    assert evaluate(tmp_path / "other.tif", tmp_path / "labels.tif", legend).matrix.total == (labels != 0).sum()


def test_the_command_line_scores_withheld_pixels(scene: Path, run: Path, tmp_path: Path, capsys) -> None:
    deepnets4eo.predict(run, scene / "image.tif", tmp_path / "map.tif")
    files = [str(tmp_path / "map.tif"), str(scene / "labels.tif")]
    main(["evaluate", *files, "--withheld", str(run), "--json", str(tmp_path / "scores.json")])
    assert read_json(tmp_path / "scores.json")["confusion"] == read_json(run / "metrics.json")["confusion"]
    assert "Only pixels are scored that the training of" in capsys.readouterr().err


def test_of_several_scenes_the_one_of_the_reference_is_scored(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_scene(tmp_path / f"{seed}", seed)
    run = train(tmp_path / "run", f"data.folders=[{tmp_path}]", image="*/image.tif", labels="*/labels.tif")
    withheld = Withheld.of_run(run)
    assert sorted(withheld.maps) == ["1", "2"]
    for name in ("1", "2"):
        reference = Layer.open(tmp_path / name / "labels.tif")
        window = whole(reference.grid)
        expected = Layer.open(run / "split" / f"{name}.tif").read()[0][0] == 2
        np.testing.assert_array_equal(withheld.on(reference)(window), expected)
    (tmp_path / "elsewhere.tif").write_bytes((tmp_path / "1" / "labels.tif").read_bytes())
    with raises_naming(InputError, "CRS"):
        withheld.on(Layer.open(tmp_path / "elsewhere.tif"))


def test_what_was_not_withheld_or_not_seen_is_refused(scene: Path, run: Path, tmp_path: Path) -> None:
    layers = {"image": str(scene / "image.tif"), "labels": str(scene / "labels.tif")}
    with pytest.raises(InputError, match="learnt from all of its scenes"):
        Withheld.of_run(train(tmp_path / "all", "data.val_share=0", **layers))
    for seed in (1, 2):
        write_scene(tmp_path / "scenes" / f"{seed}", seed, crs="EPSG:32632")
    options = [f"data.folders=[{tmp_path / 'scenes'}]", "data.split=scenes", "data.val_scenes=['2']"]
    whole = train(tmp_path / "whole", *options, image="*/image.tif", labels="*/labels.tif")
    assert not (whole / "split").exists()
    with raises_naming(InputError, "whole scenes (2)"):
        Withheld.of_run(whole)
    with pytest.raises(InputError, match="is no run of a training"):
        Protocol().apply_changes(ProtocolChanges(withheld=scene))
    placed = train(tmp_path / "placed", **{name: str(tmp_path / "scenes" / "1" / f"{name}.tif") for name in layers})
    with pytest.raises(GridError, match="all of it is new to that run"):
        Withheld.of_run(placed).on(Layer.open(tmp_path / "scenes" / "2" / "labels.tif"))


@pytest.mark.parametrize("crs", [None, "EPSG:32632"])
def test_a_scene_elsewhere_is_new_to_the_run_and_a_part_of_its_scene_is_not(tmp_path: Path, crs: str | None) -> None:
    def layer(col: int, values: np.ndarray, crs: str | None = crs) -> Layer:
        return Layer.open(values, grid=Grid(values.shape[1:], Affine(2, 0, 500_000 + 2 * col, 0, -2, 5_000), crs))

    parts = np.where(np.arange(40)[None, None] < 20, SplitMap.withheld, 1) * np.ones((1, 10, 1), int)
    withheld = Withheld(tmp_path, {"only": layer(0, parts.astype(np.uint8))})
    part, beside = layer(15, np.zeros((1, 10, 10), np.uint8)), layer(40, np.zeros((1, 10, 10), np.uint8))
    expected = np.tile(np.arange(15, 25) < 20, (10, 1))
    np.testing.assert_array_equal(withheld.on(part)(whole(part.grid)), expected)
    with pytest.raises(GridError, match="shows nothing of the scenes of .*: all of it is new to that run"):
        withheld.on(beside)
    other = layer(15, np.zeros((1, 10, 10), np.uint8), "EPSG:32632" if crs is None else None)
    with raises_naming(GridError, "CRS"):
        withheld.on(other)(whole(other.grid))


def test_a_run_that_learnt_from_all_in_the_end_withheld_nothing(scene: Path, tmp_path: Path) -> None:
    files = {name: str(scene / f"{name}.tif") for name in ("image", "labels")}
    run = train(tmp_path / "run", "train.refit=true", **files)
    with raises_naming(InputError, "train.refit"):
        Withheld.of_run(run)


def test_labels_are_read_as_the_training_read_them(scene: Path, tmp_path: Path) -> None:
    """Values without a class, a stored legend and a value without data, all of the recipe, need not be said again."""
    labels = Layer.open(scene / "labels.tif").read()[0][0].astype(int)
    stored = np.array([7, 11, 12])[labels]  # 7: no data, 11 and 12: the classes
    stored[::9] = 99  # no class
    write_geotiff(tmp_path / "stored.tif", stored[None].astype(np.uint8))
    card = LEGEND | {"name": "stored", "void_values": [3]}
    card["classes"] = [one | {"value": one["value"] + 10} for one in LEGEND["classes"]]
    write_yaml(tmp_path / "stored.yaml", card)
    told = (f"data.labels_legend={tmp_path / 'stored.yaml'}", "data.unknown_labels=void", "data.nodata={labels: 7}")
    run = train(tmp_path / "run", *told, image=str(scene / "image.tif"), labels=str(tmp_path / "stored.tif"))
    deepnets4eo.predict(run, scene / "image.tif", tmp_path / "map.tif")
    command = ["evaluate", str(tmp_path / "map.tif"), str(tmp_path / "stored.tif"), "--withheld", str(run)]
    assert main([*command, "--json", str(tmp_path / "scores.json")]) == 0
    predicted = Layer.open(tmp_path / "map.tif").read()[0][0]
    counted = (parts_of(run) == 2) & np.isin(stored, (11, 12))
    expected = [[int((counted & (stored == 10 + row) & (predicted == col)).sum()) for col in (1, 2)] for row in (1, 2)]
    scores = read_json(tmp_path / "scores.json")
    assert np.asarray(scores["confusion"])[:, :2].tolist() == expected
    assert scores["confusion"] == read_json(run / "metrics.json")["confusion"]
    assert scores["protocol"]["unknown_labels"] == "void"
    assert main([*command, "--unknown", "error"]) == 2  # the option goes before the run


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_the_map_of_a_forest_says_float32_on_a_processor_with_bfloat16(scene, run, tmp_path, monkeypatch, precision):
    monkeypatch.setattr("deepnets4eo.device.fastest_precision", lambda: "bfloat16")
    votes = [Ensemble([deepnets4eo.load_run(run).segmenter] * 2), run]
    for number, segmenter in enumerate(votes):
        out = tmp_path / f"{number}.tif"
        deepnets4eo.predict(segmenter, scene / "image.tif", out, PredictOptions(precision=precision))
        assert Layer.open(out).tags["PRECISION"] == "float32"
    assert "in float32" in describe(deepnets4eo.load_run(run), Scene.open(image=scene / "image.tif"), PredictOptions())
    network = NetworkSegmenter(
        {"name": "segnet", "width": 2}, deepnets4eo.load_run(run).inputs, Legend.from_dict(LEGEND)
    )
    deepnets4eo.predict(network, scene / "image.tif", tmp_path / "n.tif", PredictOptions(precision=precision))
    assert Layer.open(tmp_path / "n.tif").tags["PRECISION"] == "bfloat16"
