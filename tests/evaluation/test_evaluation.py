"""Evaluation over files: the same as over whole arrays, whatever the blocks, grids, colours and legends."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from hypothesis import given, strategies as st
from rasterio.enums import ColorInterp
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.errors import GridError, InputError, LabelError
from deepnets4eo.evaluation import Intervals, LabelReader, Protocol, Withheld, evaluate, evaluate_pairs, report
from deepnets4eo.evaluation.pairs import pair_tiles
from deepnets4eo.grid import whole
from deepnets4eo.metrics import BoundaryScores, ConfusionMatrix, bootstrap, erode_boundaries
from deepnets4eo.rasters import Layer

ISPRS = Legend.load("isprs")
VOID = 255
UTM = "EPSG:32632"


def town(seed: int = 0, height: int = 120, width: int = 90, void: float = 0.03) -> np.ndarray:
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 6, (height // 9 + 1, width // 9 + 1))
    labels = np.kron(coarse, np.ones((9, 9), int))[:height, :width].astype(np.uint8)
    labels[generator.random(labels.shape) < void] = VOID
    return labels


def guess(labels: np.ndarray, seed: int = 1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    wrong = generator.random(labels.shape) < 0.2
    return np.where(wrong | (labels == VOID), generator.integers(0, 6, labels.shape), labels).astype(np.uint8)


def save(path, array, *, crs=UTM, gsd=0.5, **options):
    return write_geotiff(path, array, crs=crs, gsd=gsd, **options)


def test_files_give_the_scores_of_the_arrays(tmp_path):
    reference = town()
    prediction = guess(reference)
    files = save(tmp_path / "p.tif", prediction), save(tmp_path / "r.tif", reference)
    found = evaluate(*files, "isprs", Protocol(erode_px=3))
    whole = ConfusionMatrix(6).update(reference, prediction)
    np.testing.assert_array_equal(found.matrix.matrix, whole.matrix)
    eroded = ConfusionMatrix(6).update(erode_boundaries(reference, 3), prediction)
    np.testing.assert_array_equal(found.eroded.matrix, eroded.matrix)
    result = found.to_dict()
    assert result["overall_accuracy"] == whole.overall_accuracy
    assert result["eroded"]["mean_f1"] == eroded.mean_f1
    assert result["legend"] == "isprs"
    assert result["protocol"]["erode_px"] == 3
    assert result["notes"] == []


def test_a_printed_evaluation_is_the_table_of_the_command_line(tmp_path, capsys):
    reference = town()
    files = save(tmp_path / "p.tif", guess(reference)), save(tmp_path / "r.tif", reference)
    assert main(["evaluate", *map(str, files), "--legend", "isprs"]) == 0
    printed = capsys.readouterr().out
    table = str(evaluate(*files, "isprs"))
    assert printed.startswith(table)
    assert "impervious" in table


@given(st.integers(0, 999), st.integers(1, 70), st.integers(1, 70), st.integers(1, 7), st.integers(6, 40))
def test_erosion_is_seamless_over_block_edges(seed, height, width, erode_px, block_px):
    reference = town(seed, height, width)
    reference[0, 0] = 0
    prediction = guess(reference, seed)
    found = evaluate_pairs([(prediction, reference)], ISPRS, Protocol(erode_px=erode_px), block_px=block_px)
    whole = ConfusionMatrix(6).update(erode_boundaries(reference, erode_px), prediction)
    np.testing.assert_array_equal(found.eroded.matrix, whole.matrix)
    np.testing.assert_array_equal(found.matrix.matrix, ConfusionMatrix(6).update(reference, prediction).matrix)


@pytest.mark.parametrize("block_px", [17, 64])
def test_class_borders_are_scored_seamlessly_and_reported(tmp_path, block_px):
    reference = town(void=0.002)
    prediction = np.roll(reference, 3, axis=0)
    files = save(tmp_path / "p.tif", prediction), save(tmp_path / "r.tif", reference)
    rules = Protocol(boundary_px=2, ignored=("clutter",))
    result = evaluate_pairs([files], "isprs", rules, block_px=block_px).to_dict()
    clutter = ISPRS.index("clutter")
    whole = BoundaryScores(6, 2)
    whole.update(np.where(reference == clutter, VOID, reference).astype(np.uint8), prediction)
    whole.leave_out([clutter])
    expected = whole.to_dict(ISPRS.names)
    assert result["boundaries"]["f1"] == pytest.approx(expected["f1"], nan_ok=True)
    assert result["boundaries"]["mean_f1"] == pytest.approx(expected["mean_f1"])
    assert np.isnan(result["boundaries"]["f1"]["clutter"])
    assert 0.2 < result["boundaries"]["mean_f1"] < 0.95
    assert "right within 2 px" in report.text_table(result)
    assert "\nboundary,f1,building," in report.csv_table(result)


def test_colours_are_encoded_by_the_legend(tmp_path):
    reference = town()
    prediction = guess(reference)
    files = save(tmp_path / "p.tif", prediction), save(tmp_path / "r.tif", ISPRS.decode(reference))
    found = evaluate(*files, "isprs")
    np.testing.assert_array_equal(found.matrix.matrix, ConfusionMatrix(6).update(reference, prediction).matrix)


def test_colours_are_read_in_the_order_that_the_file_declares(tmp_path):
    reference = town()
    files = save(tmp_path / "p.tif", guess(reference)), save(tmp_path / "r.tif", ISPRS.decode(reference)[::-1])
    with rasterio.open(files[1], "r+") as file:
        file.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    expected = ConfusionMatrix(6).update(reference, guess(reference)).matrix
    np.testing.assert_array_equal(evaluate(*files, "isprs").matrix.matrix, expected)


def test_an_unknown_colour_names_the_file_and_may_be_made_void(tmp_path):
    reference = town()
    image = ISPRS.decode(reference)
    image[:, 5, 5] = 77
    files = save(tmp_path / "p.tif", guess(reference)), save(tmp_path / "r.tif", image)
    with raises_naming(LabelError, "r.tif", "77", "1"):
        evaluate(*files, "isprs")
    assert evaluate(*files, "isprs", Protocol(unknown="void")).matrix.total == (reference != VOID).sum() - 1


def test_an_unknown_value_names_the_file(tmp_path):
    reference = town()
    files = save(tmp_path / "p.tif", guess(reference)), save(tmp_path / "r.tif", np.where(reference == 5, 9, reference))
    with raises_naming(LabelError, "r.tif", "9"):
        evaluate(*files, "isprs")


def test_another_label_order_is_mapped_by_name(tmp_path):
    reference = town()
    prediction = guess(reference)
    stored = ISPRS.remap_to(Legend.load("isprs-delta"))[reference]
    files = save(tmp_path / "p.tif", prediction), save(tmp_path / "r.tif", stored)
    found = evaluate(*files, "isprs", Protocol(reference_legend=Legend.load("isprs-delta")))
    np.testing.assert_array_equal(found.matrix.matrix, ConfusionMatrix(6).update(reference, prediction).matrix)


def test_classes_in_another_order_are_named():
    reference = town()
    order = np.array([0, 5, 1, 2, 4, 3])
    moved = np.where(reference == VOID, 0, order[np.minimum(reference, 5)]).astype(np.uint8)
    result = evaluate(guess(moved), reference, ISPRS)
    scored = reference != VOID
    right = (guess(moved) == order[np.minimum(reference, 5)])[scored].mean()
    (note,) = (note for note in result.notes if "another order" in note)
    assert f"{ISPRS.names[1]} is called {ISPRS.names[5]}" in note
    assert f"by that order {right:.1%} would agree, not {result.matrix.overall_accuracy:.1%}" in note
    for good in (guess(reference), np.random.default_rng(0).integers(0, 6, reference.shape).astype(np.uint8)):
        assert not any("another order" in note for note in evaluate(good, reference, ISPRS).notes)


def test_the_legend_in_a_raster_s_tags_is_believed(tmp_path):
    import json

    reference = town()
    prediction = guess(reference)
    torchgeo = Legend.load("isprs-torchgeo")
    tags = {"LEGEND": json.dumps(torchgeo.to_dict())}
    stored = ISPRS.remap_to(torchgeo)[prediction]
    files = save(tmp_path / "p.tif", stored, tags=tags), save(tmp_path / "r.tif", reference)
    found = evaluate(*files, "isprs")
    np.testing.assert_array_equal(found.matrix.matrix, ConfusionMatrix(6).update(reference, prediction).matrix)


def test_a_prediction_on_another_grid_is_brought_onto_the_reference_s(tmp_path):
    reference = town(void=0)
    shifted = np.full((100, 100), VOID, np.uint8)
    shifted[:90, :80] = reference[30:, 10:]
    reference_file = save(tmp_path / "r.tif", reference)
    prediction_file = save(tmp_path / "p.tif", shifted, origin=(500_005, 4_999_985))
    found = evaluate(prediction_file, reference_file, "isprs")
    assert np.trace(found.matrix.matrix) == 90 * 80
    assert found.matrix.unpredicted.sum() == reference.size - 90 * 80
    assert "nearest neighbour" in found.notes[0]
    assert "counts as missed" in found.notes[0]


def test_rasters_apart_or_of_unknown_relation_are_refused(tmp_path):
    reference = save(tmp_path / "r.tif", town())
    far = save(tmp_path / "far.tif", town(), origin=(600_000, 5_000_000))
    with raises_naming(GridError, "far.tif"):
        evaluate(far, reference, "isprs")
    plain = save(tmp_path / "plain.tif", town(0, 60, 60), crs=None)
    with raises_naming(GridError, "60", "120", "90", "CRS"):
        evaluate(plain, reference, "isprs")
    with raises_naming(GridError, "CRS"):
        evaluate(plain, save(tmp_path / "plain2.tif", town(), crs=None), "isprs")


def test_same_sized_rasters_of_which_one_has_no_crs_are_compared_pixel_for_pixel(tmp_path):
    reference = town()
    files = save(tmp_path / "p.tif", reference), save(tmp_path / "r.tif", reference, crs=None)
    found = evaluate(*files, "isprs")
    assert found.matrix.overall_accuracy == 1
    assert "pixel for pixel" in found.notes[0]


def test_a_class_hidden_by_nodata_is_reported(tmp_path):
    reference = town()
    files = save(tmp_path / "p.tif", guess(reference)), save(tmp_path / "r.tif", reference, nodata=0)
    found = evaluate(*files, "isprs")
    assert found.matrix.matrix[0].sum() == 0
    assert 'nodata, which is its value for "impervious"' in found.notes[0]


def test_ignored_classes_leave_the_reference(tmp_path):
    reference = town()
    prediction = guess(reference)
    found = evaluate(prediction, reference, "isprs", Protocol(ignored=("Clutter",)))
    result = found.to_dict()
    assert "clutter" not in result["f1"]
    assert result["protocol"]["ignored_classes"] == ["clutter"]
    assert result["pixels"] == ((reference != VOID) & (reference != 5)).sum()


def test_a_reference_of_void_alone_is_refused():
    with pytest.raises(InputError, match="no labelled pixel"):
        evaluate(np.zeros((5, 5), np.uint8), np.full((5, 5), VOID, np.uint8), "isprs")


def test_scores_and_floats_are_no_labels():
    with raises_naming(InputError, "6", "float32"):
        evaluate(np.zeros((6, 5, 5), np.float32), np.zeros((5, 5), np.uint8), "isprs")
    with raises_naming(InputError, "float32"):
        evaluate(np.full((5, 5), 0.5, np.float32), np.zeros((5, 5), np.uint8), "isprs")


def test_intervals_come_from_tiles_and_do_not_change_the_scores():
    reference = town(4, 200, 200)
    prediction = guess(reference)
    plain = evaluate(prediction, reference, "isprs")
    found = evaluate(prediction, reference, "isprs", intervals=Intervals(draws=100, tile_px=50))
    np.testing.assert_array_equal(found.matrix.matrix, plain.matrix.matrix)
    low, high = found.to_dict()["intervals"]["overall_accuracy"]
    assert low < plain.matrix.overall_accuracy < high


def test_intervals_are_the_bootstrap_of_the_tiles_with_the_seed_and_level_that_were_given():
    reference = town(4, 100, 150, void=0)
    prediction = guess(reference)
    windows = [np.s_[row : row + 50, col : col + 50] for row in (0, 50) for col in (0, 50, 100)]
    tiles = [ConfusionMatrix(6).update(reference[window], prediction[window]) for window in windows]
    limits = set()
    for seed, level in ((0, 0.95), (5, 0.95), (5, 0.5)):
        asked = Intervals(draws=60, tile_px=50, seed=seed, level=level)
        found = evaluate(prediction, reference, "isprs", intervals=asked).intervals
        assert found == bootstrap(tiles, draws=60, seed=seed, level=level)
        limits.add((found["overall_accuracy"].low, found["overall_accuracy"].high))
    assert len(limits) == 3


def test_tiles_without_a_reference_and_ignored_classes_are_no_evidence_for_the_intervals():
    reference = town(4, 50, 250, void=0)
    reference[:, 150:200], reference[:, 200:] = VOID, 5
    prediction = guess(reference)
    tiles = [
        ConfusionMatrix(6).update(reference[:, col : col + 50], prediction[:, col : col + 50]).ignoring([5])
        for col in (0, 50, 100)
    ]
    found = evaluate(
        prediction, reference, "isprs", Protocol(ignored=("clutter",)), intervals=Intervals(draws=40, tile_px=50)
    )
    assert found.intervals == bootstrap(tiles, draws=40)


def test_tiles_of_two_folders_are_paired_by_name_and_counted_as_one(tmp_path):
    total = ConfusionMatrix(6)
    for folder in ("p", "r"):
        (tmp_path / folder).mkdir()
    for number in (1, 11, 2):
        reference = town(number)
        prediction = guess(reference)
        total += ConfusionMatrix(6).update(reference, prediction)
        save(tmp_path / "p" / f"top_area{number}.tif", prediction, crs=None)
        save(tmp_path / "r" / f"top_area{number}_noBoundary.tif", reference, crs=None)
    pairs = pair_tiles(tmp_path / "p", tmp_path / "r")
    assert [prediction.stem for prediction, _ in pairs] == ["top_area11", "top_area1", "top_area2"]
    np.testing.assert_array_equal(evaluate_pairs(pairs, "isprs").matrix.matrix, total.matrix)


def test_a_reference_without_its_prediction_is_an_error(tmp_path):
    for folder in ("p", "r"):
        (tmp_path / folder).mkdir()
    save(tmp_path / "p" / "area1.tif", town())
    save(tmp_path / "r" / "area7.tif", town())
    with raises_naming(InputError, "area7.tif"):
        pair_tiles(tmp_path / "p", tmp_path / "r")
    with pytest.raises(InputError, match="holds no rasters"):
        pair_tiles(tmp_path / "p", tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        pair_tiles(tmp_path / "p" / "area1.tif", tmp_path / "r")


def test_a_made_up_place_is_called_synthetic(tmp_path):
    reference = town()
    files = (
        save(tmp_path / "p.tif", reference),
        save(tmp_path / "r.tif", reference, tags={"SYNTHETIC": "miniature city"}),
    )
    result = evaluate(*files, "isprs").to_dict()
    assert result["synthetic"] is True
    assert result["notes"][0].startswith("Synthetic")


def test_negative_and_large_values_become_void_with_unknown_void():
    reference = np.array([[0, 1, 2, -1, 300, 70000]])
    with raises_naming(LabelError, "isprs", "-1 (1 px)"):
        evaluate(np.zeros((1, 6), np.uint8), reference, "isprs")
    found = evaluate(np.zeros((1, 6), np.uint8), reference, "isprs", Protocol(unknown="void"))
    assert found.matrix.matrix[:, 0].tolist() == [1, 1, 1, 0, 0, 0]
    assert found.matrix.total == 3


@pytest.mark.parametrize("value", [-256, -255, 256, 258, 65_536, 2**31 - 255])
def test_a_label_that_no_byte_holds_is_void_and_never_wrapped_to_a_class(value):
    reference = np.array([[0, value]])
    found = evaluate(np.zeros((1, 2), np.uint8), reference, "isprs", Protocol(unknown="void"))
    assert found.matrix.total == 1
    assert found.matrix.matrix[0, 0] == 1


@pytest.mark.real_data
@pytest.mark.parametrize("city", ["isprs_vaihingen_crop", "isprs_potsdam_crop"])
def test_a_real_reference_whose_borders_are_gone_loses_nothing_more_to_a_small_disc(real_data, city):
    reference = next((real_data / city / "ann_dir").glob("*.png"))
    mmseg = Legend.load("isprs-mmseg")
    for erode_px, loses in ((3, False), (9, True)):
        rules = Protocol(erode_px=erode_px, prediction_legend=mmseg, reference_legend=mmseg)
        found = evaluate(reference, reference, "isprs", rules)
        assert found.matrix.overall_accuracy == found.eroded.overall_accuracy == 1
        assert (found.eroded.total < found.matrix.total) is loses


@pytest.mark.parametrize("changed", [field.name for field in fields(Protocol)])
def test_the_report_tells_every_rule_of_the_protocol(changed):
    others = {
        "name": "another", "erode_px": 2, "boundary_px": 2, "ignored": ("clutter",), "unknown": "void",
        "reference_nodata": 0.0,
        "prediction_legend": ISPRS, "reference_legend": ISPRS, "card": {"stride_px": 32},
        "withheld": Withheld(Path("run"), {}, split={"kind": "blocks"}),
    }  # fmt: skip
    assert Protocol(**{changed: others[changed]}).to_dict() != Protocol().to_dict()


def test_white_of_a_mask_is_a_class_where_its_legend_says_so():
    from deepnets4eo.evaluation import LabelReader
    from deepnets4eo.rasters import Layer

    mask = np.array([[0, 255], [255, 0]], np.uint8)
    change, stored = Legend.load("change"), Legend.load("change-mask")
    from deepnets4eo.grid import Window

    whole = Window(0, 0, 2, 2)
    for values in (mask, mask > 0, np.stack([mask] * 3)):
        read = LabelReader(Layer.open(values.astype(np.uint8)), change, stored).read(whole)
        np.testing.assert_array_equal(read, mask > 0)
    np.testing.assert_array_equal(LabelReader(Layer.open(mask), change).read(whole) == 255, mask == 255)
    note = LabelReader(Layer.open(mask), change).mask_note or ""
    assert "255 is void" in note
    assert "give --set reference_legend=change-mask, or write 1 for 255, e.g. with gdal_translate" in note
    assert LabelReader(Layer.open(mask), change, stored).mask_note is None
    hidden = LabelReader(Layer.open(mask, nodata=0), change, stored).read(whole)
    np.testing.assert_array_equal(hidden, np.where(mask, 1, 255))
    assert Legend.from_dict(stored.to_dict()).file_values == {255: 1}


def test_rules_that_no_protocol_has_are_refused() -> None:
    with raises_naming(InputError, "'viod'", "'void'"):
        Protocol(unknown="viod")
    with raises_naming(InputError, "erode_px", "-3"):
        Protocol(erode_px=-3)
    with raises_naming(InputError, "boundary_px", "-1"):
        Protocol(boundary_px=-1)


def test_pairs_may_come_from_a_generator() -> None:
    truth, shares = np.array([[0, 0, 1, 255]], np.uint8), list[float]()
    result = evaluate_pairs(((truth, truth) for _ in range(2)), "isprs", progress=shares.append)
    assert (result.matrix.total, shares) == (6, [0.5, 1.0])
    with raises_naming(InputError, "block_px", "-5"):
        evaluate_pairs([(truth, truth)], "isprs", block_px=-5)


def test_pixels_that_a_masked_reference_hides_are_not_scored() -> None:
    truth = np.array([[0, 0, 1, 1]], np.uint8)
    assert evaluate(truth, np.ma.array(truth, mask=[[0, 1, 0, 0]]), "isprs").matrix.total == 3


def test_masks_whose_palette_has_the_classes_at_other_numbers_are_read_by_colour(tmp_path: Path) -> None:
    """Six of the masks of a real set are delivered so, beside others in three bands."""
    legend, rng = Legend.load("isprs"), np.random.default_rng(0)
    labels = rng.integers(0, 6, (9, 11)).astype(np.uint8)
    order = rng.permutation(6)
    for name, numbers, colours in (
        ("palette", order[labels].astype(np.uint8), {int(order[value]): legend.decode(np.array([[value]], np.uint8))[:, 0, 0] for value in range(6)}),
        ("values", labels, {value: legend.decode(np.array([[value]], np.uint8))[:, 0, 0] for value in range(6)}),
        ("other colours", labels, {value: (10 * value, 3, 5) for value in range(6)}),
    ):  # fmt: skip
        path = write_geotiff(tmp_path / f"{name}.png", numbers, driver="PNG", crs=None)
        with rasterio.open(path, "r+") as file:
            file.write_colormap(1, {number: (*map(int, colour), 255) for number, colour in colours.items()})
        reader = LabelReader(Layer.open(path, labels=True), legend)
        np.testing.assert_array_equal(reader.read(whole(reader.layer.grid)), labels, err_msg=name)


def test_a_value_of_the_reference_may_be_no_data() -> None:
    truth = np.array([[0, 0, 1, 1]], np.uint8)
    prediction = np.array([[1, 1, 1, 0]], np.uint8)
    whole = evaluate(prediction, truth, "isprs")
    void = evaluate(prediction, truth, "isprs", Protocol(reference_nodata=0))
    assert (whole.matrix.total, void.matrix.total) == (4, 2)
    assert void.matrix.overall_accuracy == 0.5
    assert void.to_dict()["protocol"]["reference_nodata"] == 0
