"""The rules of an evaluation one at a time: whose legend counts, what nodata hides, what is said of the grids."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import scipy.io
from affine import Affine
from geotiff import write_geotiff
from rasterio.env import get_gdal_config
from refusals import raises_naming

from deepnets4eo.cards import DatasetCard, Legend
from deepnets4eo.errors import GridError, InputError, LabelError
from deepnets4eo.evaluation import (
    Intervals,
    Protocol,
    ProtocolChanges,
    ScoredFiles,
    dataset_pairs,
    evaluate,
    evaluate_files,
    evaluate_pairs,
)
from deepnets4eo.evaluation.pairs import pair_tiles
from deepnets4eo.evaluation.scoring import order_note
from deepnets4eo.files import write_yaml
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters import Layer
from deepnets4eo.rasters.gdal_memory import CACHE_BYTES

ISPRS = Legend.load("isprs")
DELTA = Legend.load("isprs-delta")


CLASSES = np.arange(6, dtype=np.uint8).reshape(2, 3)


def test_a_legend_that_is_named_counts_more_than_the_one_in_the_tags(tmp_path):
    tags = {"LEGEND": json.dumps(DELTA.to_dict())}
    path = write_geotiff(tmp_path / "a.tif", CLASSES, tags=tags)
    by_tag = evaluate(path, CLASSES, ISPRS).matrix
    assert by_tag.overall_accuracy < 1
    for protocol in (Protocol(prediction_legend=ISPRS), Protocol(prediction_legend=ISPRS, reference_legend=ISPRS)):
        assert evaluate(path, CLASSES, ISPRS, protocol).matrix.overall_accuracy == 1
    stored = ISPRS.remap_to(DELTA)[CLASSES]
    assert evaluate(CLASSES, write_geotiff(tmp_path / "b.tif", stored, tags=tags), ISPRS).matrix.overall_accuracy == 1


def test_a_tag_that_holds_no_legend_names_the_file(tmp_path):
    with raises_naming(InputError, "LEGEND", "a.tif", "JSON"):
        evaluate(write_geotiff(tmp_path / "a.tif", CLASSES, tags={"LEGEND": "{"}), CLASSES, ISPRS)


@pytest.mark.parametrize("unknown", ["error", "void"])
def test_colours_under_nodata_are_void_whatever_colour_they_have(tmp_path, unknown):
    image = ISPRS.decode(CLASSES)
    image[:, 0, 0] = 9  # no colour of the legend
    path = write_geotiff(tmp_path / "r.tif", image, nodata=9)
    found = evaluate(CLASSES, path, ISPRS, Protocol(unknown=unknown))
    assert found.matrix.total == 5
    assert found.matrix.matrix[0, 0] == 0
    with raises_naming(LabelError, "r.tif", "0", "1", "--unknown"):
        evaluate(CLASSES, write_geotiff(tmp_path / "r.tif", image), ISPRS)


def test_unknown_values_and_lost_classes_are_void_only_with_unknown_void():
    reference = np.array([[0, 7, 5]], np.uint8)
    with raises_naming(LabelError, '"isprs"', "7", "1", "--unknown"):
        evaluate(np.zeros((1, 3), np.uint8), reference, ISPRS)
    assert evaluate(np.zeros((1, 3), np.uint8), reference, ISPRS, Protocol(unknown="void")).matrix.total == 2
    water = np.array([[7, 1]], np.uint8)  # dfc2015's water has no counterpart in isprs-delta
    own = Protocol(reference_legend=Legend.load("dfc2015"))
    with raises_naming(LabelError, '"void"', "--unknown"):
        evaluate(np.zeros((1, 2), np.uint8), water, DELTA, own)
    asked = Protocol(reference_legend=Legend.load("dfc2015"), unknown="void")
    assert evaluate(np.zeros((1, 2), np.uint8), water, DELTA, asked).matrix.total == 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 4, 4), np.uint8), "2 bands of uint8, expected label values in one band or colours in three"),
        (np.zeros((3, 4, 4), np.int16), "3 bands of int16"),
        (np.zeros((4, 4, 4), np.uint8), "4 bands of uint8"),
        (np.full((4, 4), 0.5), "is float64, expected integer labels"),
    ],
)
def test_rasters_that_are_no_labels_are_refused(array, message):
    with pytest.raises(InputError, match=message):
        evaluate(array, np.zeros((4, 4), np.uint8), ISPRS)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
def test_labels_of_any_integer_type_are_read_alike(dtype):
    assert evaluate(CLASSES.astype(dtype), CLASSES, ISPRS).matrix.overall_accuracy == 1


def test_a_prediction_that_covers_a_part_is_reported_with_its_share(tmp_path):
    reference = write_geotiff(tmp_path / "r.tif", np.zeros((20, 20), np.uint8))
    half = evaluate(write_geotiff(tmp_path / "half.tif", np.zeros((20, 10), np.uint8)), reference, ISPRS)
    assert half.notes == [
        f"{tmp_path / 'half.tif'} was brought onto the reference's grid by nearest neighbour; "
        "it covers 50.0% of the reference, the rest counts as missed."
    ]
    assert half.matrix.total == 400
    assert half.matrix.overall_accuracy == 0.5
    finer = evaluate(write_geotiff(tmp_path / "finer.tif", np.zeros((40, 40), np.uint8), gsd=0.5), reference, ISPRS)
    assert finer.notes == [f"{tmp_path / 'finer.tif'} was brought onto the reference's grid by nearest neighbour."]
    assert finer.matrix.overall_accuracy == 1


def test_plain_pixels_of_one_size_are_compared_without_a_word(tmp_path):
    plain = write_geotiff(tmp_path / "a.tif", CLASSES, crs=None)
    assert evaluate(plain, CLASSES, ISPRS).notes == []
    with raises_naming(GridError, "a.tif", "2", "3", "4", "CRS"):
        evaluate(plain, np.vstack([CLASSES, CLASSES]), ISPRS)


def test_many_made_up_tiles_are_reported_to_be_synthetic_once(tmp_path):
    tags = {"SYNTHETIC": "miniature city"}
    pairs = [(write_geotiff(tmp_path / f"{number}.tif", CLASSES, tags=tags), CLASSES) for number in range(3)]
    found = evaluate_pairs(pairs, ISPRS)
    assert sum(note.startswith("Synthetic:") for note in found.notes) == 1
    assert found.inputs == [{"prediction": str(path), "reference": "array"} for path, _ in pairs]
    assert evaluate(CLASSES, CLASSES, ISPRS).synthetic is False


def test_gdals_cache_is_bounded_while_counting_and_as_before_afterwards():
    seen = []

    class Watched(Layer):
        def read(self, window=None):
            seen.append(get_gdal_config("GDAL_CACHEMAX"))
            return super().read(window)

    layer = Watched(Layer.open(CLASSES)._source, [1])
    with rasterio.Env():
        before = get_gdal_config("GDAL_CACHEMAX")
        evaluate(CLASSES, layer, ISPRS)
        assert set(seen) == {CACHE_BYTES}
        assert get_gdal_config("GDAL_CACHEMAX") == before


def test_progress_goes_up_to_one_over_all_tiles():
    shares = []
    pairs = [(np.zeros((40, 20), np.uint8), np.zeros((40, 20), np.uint8))] * 2
    evaluate_pairs(pairs, ISPRS, intervals=Intervals(draws=2, tile_px=20), progress=shares.append)
    assert shares == [0.25, 0.5, 0.75, 1.0]


def test_without_draws_there_are_no_intervals_and_one_tile_is_not_enough_for_them():
    assert "intervals" not in evaluate(CLASSES, CLASSES, ISPRS).to_dict()
    with raises_naming(InputError, "1 tile", "needs 2"):
        evaluate(CLASSES, CLASSES, ISPRS, intervals=Intervals(draws=5))


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (["area1_a.tif", "area1_b.tif"], r"area1\.tif needs one prediction .* found area1_a\.tif, area1_b\.tif\. Give"),
        (["area11.tif"], r"found none"),
        ([], r"found none"),
    ],
)
def test_tiles_whose_names_fit_none_or_several_are_refused(tmp_path, predictions, message):
    (tmp_path / "p").mkdir()
    (tmp_path / "r").mkdir()
    write_geotiff(tmp_path / "r" / "area1.tif", CLASSES)
    for name in predictions:
        write_geotiff(tmp_path / "p" / name, CLASSES)
    with pytest.raises(InputError, match=message):
        pair_tiles(tmp_path / "p", tmp_path / "r")


def test_the_name_that_agrees_farthest_is_paired_and_other_files_are_none(tmp_path):
    for folder, names in (("p", ["a_1.tif", "a_1_x.tif", "a_1.txt"]), ("r", ["a_1_x_full.TIF", "notes.md"])):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_text("")
    assert pair_tiles(tmp_path / "p", tmp_path / "r") == [(tmp_path / "p/a_1_x.tif", tmp_path / "r/a_1_x_full.TIF")]


def save_tiles(folder, places, crs="EPSG:32631"):
    """Files of CLASSES (2 x 3 px of 1 m), by name, each with its corner (x, y) from (500,000, 5,000,000)."""
    folder.mkdir()
    for name, (x, y) in places.items():
        write_geotiff(
            folder / f"{name}.tif", CLASSES, transform=Affine(1, 0, 500_000 + x, 0, -1, 5_000_000 + y), crs=crs
        )


@pytest.mark.parametrize("names", [["a", "a_noBoundary"], ["a_1", "a_2"]])
def test_a_prediction_that_fits_several_references_is_refused(tmp_path, names):
    for crs in (None, "EPSG:32631"):
        root = tmp_path / str(bool(crs))
        root.mkdir()
        save_tiles(root / "p", {"a": (0, 2)}, crs)
        save_tiles(root / "r", dict.fromkeys(names, (0, 2)), crs)
        message = (
            rf"a\.tif fits several references in .*: {names[0]}\.tif, {names[1]}\.tif; .* Keep one reference of each"
        )
        with pytest.raises(InputError, match=message):
            pair_tiles(root / "p", root / "r")


def test_references_that_are_parts_of_one_map_are_all_scored_against_it(tmp_path):
    corners = {"a_1": (0, 2), "a_2": (3, 2), "a_3": (0, 0)}
    save_tiles(tmp_path / "r", corners)
    (tmp_path / "p").mkdir()
    whole = np.zeros((4, 6), np.uint8)
    whole[:2] = np.hstack([CLASSES, CLASSES])
    whole[2:, :3] = CLASSES
    write_geotiff(tmp_path / "p" / "a.tif", whole, transform=Affine(1, 0, 500_000, 0, -1, 5_000_002), crs="EPSG:32631")
    matrix = evaluate_pairs(pair_tiles(tmp_path / "p", tmp_path / "r"), ISPRS).matrix
    assert (matrix.total, matrix.overall_accuracy) == (18, 1)
    write_geotiff(
        tmp_path / "r" / "a_4.tif", CLASSES, transform=Affine(1, 0, 500_002, 0, -1, 5_000_001), crs="EPSG:32631"
    )
    with raises_naming(InputError, "a.tif", "a_1.tif", "a_2.tif", "a_3.tif", "a_4.tif"):
        pair_tiles(tmp_path / "p", tmp_path / "r")


def test_a_card_without_the_layer_of_its_protocol_is_an_error_with_its_remedy(tmp_path):
    card = DatasetCard.load("isprs_vaihingen")
    layout = {name: one for name, one in card.layout.items() if name != "labels_eroded"}
    bare = card.model_copy(update={"layout": layout})
    message = r"isprs_vaihingen has no layer labels_eroded, .* Say where it lies: --layer labels_eroded=PATTERN\."
    with pytest.raises(InputError, match=message):
        dataset_pairs(bare, tmp_path, tmp_path, card.protocol("deepnetsforeo"))


def test_labels_stored_as_whole_floats_are_labels():
    values = np.array([[0, 1], [5, 2]])
    expected = evaluate(values.astype(np.uint8), CLASSES[:2, :2], ISPRS).matrix.matrix
    assert np.array_equal(evaluate(values.astype(np.float32), CLASSES[:2, :2], ISPRS).matrix.matrix, expected)


def test_floats_far_from_the_middle_that_are_no_labels_are_refused_when_they_are_read():
    values = np.zeros((2000, 3), np.float32)
    values[3, 1] = 0.25
    with raises_naming(LabelError, "float32"):
        evaluate(values, np.zeros((2000, 3), np.uint8), ISPRS)


def test_values_that_change_places_in_files_are_not_mapped_twice():
    turned = Legend.from_dict(ISPRS.to_dict() | {"file_values": {0: 1, 1: 2, 2: 0}})
    stored = np.array([[2, 0, 1], [3, 4, 5]])
    for dtype in (np.uint8, np.int16):
        found = evaluate(stored.astype(dtype), CLASSES, ISPRS, Protocol(prediction_legend=turned))
        assert found.matrix.overall_accuracy == 1


def test_of_a_file_with_a_cube_and_labels_the_labels_are_scored(tmp_path):
    scipy.io.savemat(tmp_path / "both.mat", {"cube": np.zeros((2, 3, 9), np.int16), "gt": CLASSES})
    assert evaluate(CLASSES, tmp_path / "both.mat", ISPRS).matrix.overall_accuracy == 1
    assert evaluate(str(tmp_path / "both.mat"), CLASSES, ISPRS).matrix.overall_accuracy == 1


def test_another_order_names_the_classes_that_are_called_otherwise_and_no_others() -> None:
    legend = Legend.load("isprs")
    matrix = np.diag([50, 50, 50, 50, 50, 50])
    matrix[[0, 1]] = matrix[[1, 0]]
    matrix[4, 5] = 2
    note = order_note(ConfusionMatrix.from_matrix(matrix), legend)
    first, second, *others = legend.names
    assert (
        f": {first} is called {second}, {second} is called {first}; by that order 99.3% would agree, not 66.2%." in note
    )
    assert not any(name in note for name in others)


@pytest.mark.parametrize("right_px", [0, 9])
def test_a_map_of_one_class_is_in_no_other_order(right_px: int) -> None:
    matrix = np.zeros((6, 6), int)
    matrix[:, 2] = [5, 900, right_px, 5, 5, 5]
    matrix[3, 4] = 2
    assert order_note(ConfusionMatrix.from_matrix(matrix), Legend.load("isprs")) == ""


def test_a_map_with_classes_of_its_own_is_not_scored_by_others(tmp_path: Path) -> None:
    mine = Legend.from_dict(
        {"name": "mine", "classes": [{"value": k, "name": f"class-{k}", "color": [k, 9, 9]} for k in range(3)]}, "mine"
    )
    labels = write_geotiff(
        tmp_path / "labels.tif", CLASSES.astype(np.uint8) % 3, tags={"LEGEND": json.dumps(mine.to_dict())}
    )
    reference = write_geotiff(tmp_path / "reference.tif", CLASSES.astype(np.uint8) % 3)
    with raises_naming(LabelError, labels, "mine", "leave out --legend isprs", "class-0"):
        evaluate_files(labels, reference, ScoredFiles(legend="isprs"), ProtocolChanges(), intervals=Intervals())
    write_yaml(tmp_path / "mine.yaml", mine.to_dict())
    for legend in (str(tmp_path / "mine.yaml"), None):
        scores = evaluate_files(labels, reference, ScoredFiles(legend=legend), ProtocolChanges(), intervals=Intervals())
        assert (scores["legend"], scores["overall_accuracy"]) == ("mine", 1.0)


def test_values_of_a_reference_without_a_legend_are_named_as_they_were_taken(tmp_path: Path) -> None:
    cover = Legend.load("dynamic_world")
    tags = {"LEGEND": json.dumps(cover.to_dict())}
    trees, water, built = (cover.values[cover.index(name)] for name in ("trees", "water", "built"))
    predicted = np.array([[trees, water, trees, built]], np.uint8)
    labels = write_geotiff(tmp_path / "world.tif", predicted, tags=tags)
    reference = write_geotiff(tmp_path / "labels.tif", np.array([[1, 2, 3, 1]], np.uint8))  # land, water, cloud
    scored, none = ScoredFiles(), ProtocolChanges()
    notes = evaluate_files(labels, reference, scored, none, intervals=Intervals())["notes"]
    assert f"{reference} states no legend" in notes[0]
    assert "dynamic_world: 1 as 'trees', 2 as 'grass', 3 as 'flooded vegetation'" in notes[0]

    card = tmp_path / "land_water.yaml"
    others = [name for name in cover.names if name != "water"]
    classes = [
        {"value": 1, "name": "land", "color": [9, 9, 9], "aliases": others},
        {"value": 2, "name": "water", "color": [0, 0, 9]},
    ]
    write_yaml(card, {"name": "land-and-water", "void_values": [0, 3], "classes": classes})
    scores = evaluate_files(labels, reference, ScoredFiles(legend=str(card)), none, intervals=Intervals())
    assert (scores["notes"], scores["overall_accuracy"]) == ([], 1.0)  # the advice of the note, followed

    stated = write_geotiff(tmp_path / "stated.tif", predicted, tags=tags)
    assert evaluate_files(labels, stated, scored, none, intervals=Intervals())["notes"] == []
