"""Predicted tiles of a dataset scored by its protocols: names, the eroded reference, published rows, refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_up_datasets import class_places, make_dataset, tile_path, write
from refusals import raises_naming

from deepnets4eo.cards import DatasetCard, Legend
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.evaluation import dataset_pairs, evaluate_dataset
from deepnets4eo.evaluation.comparison import published_table
from deepnets4eo.metrics import ConfusionMatrix, erode_boundaries

TEST_TILES = ["5", "15", "21", "30"]


def predicted(seed: int) -> np.ndarray:
    """The reference's classes with a fifth of the pixels wrong."""
    places = class_places(seed, 6)
    wrong = np.random.default_rng(100 + seed).random(places.shape) < 0.2
    return np.where(wrong, (places + 1) % 6, places).astype(np.uint8)


def counted(tiles: range, keep: np.ndarray | None = None) -> np.ndarray:
    """The confusion matrix by one loop over pixels."""
    counts = np.zeros((6, 6), int)
    for seed in tiles:
        places, guess = class_places(seed, 6), predicted(seed)
        for true, guessed in (
            zip(places[keep], guess[keep], strict=True)
            if keep is not None
            else zip(places.ravel(), guess.ravel(), strict=True)
        ):
            counts[true, guessed] += 1
    return counts


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_dataset(tmp_path / "data", "isprs_vaihingen", TEST_TILES, ["image", "labels", "labels_eroded"])
    for seed, tile in enumerate(TEST_TILES):
        write(tmp_path / "predicted" / f"{tile}.tif", predicted(seed)[None], east=seed)
    return tmp_path


def test_the_eroded_files_are_the_reference_where_the_protocol_says_so(root: Path) -> None:
    keep = np.zeros((64, 64), bool)
    keep[:, :] = True
    keep[:, ::8] = keep[:, 7::8] = False
    found = evaluate_dataset("isprs_vaihingen", root / "data", root / "predicted", "deepnetsforeo")
    np.testing.assert_array_equal(found["confusion"], counted(range(4), keep))
    assert found["protocol"]["name"] == "isprs_vaihingen/deepnetsforeo"
    assert found["protocol"]["dataset"] == {
        "split": "deepnetsforeo", "part": "test", "reference": "labels_eroded", "tiles": TEST_TILES,
    }  # fmt: skip
    assert list(found["published"]) == [
        "SegNet IRRG (notebook)", "SegNet IRRG (notebook), tiles that do not overlap",
    ]  # fmt: skip
    assert "eroded" not in found


def test_another_order_of_classes_is_scored_on_the_full_labels(root: Path) -> None:
    delta, isprs = Legend.load("isprs-delta"), Legend.load("isprs")
    lookup = isprs.remap_to(delta)
    for seed, tile in enumerate(TEST_TILES):
        write(root / "delta" / f"{tile}.tif", lookup[predicted(seed)][None], east=seed)
    found = evaluate_dataset("isprs_vaihingen", root / "data", root / "delta", "delta")
    order = lookup[:6]
    reordered = np.zeros((6, 6), int)
    reordered[np.ix_(order, order)] = counted(range(4))
    np.testing.assert_array_equal(found["confusion"], reordered)
    assert found["protocol"]["stored_in"] == {"reference": "isprs"}


@pytest.mark.parametrize(
    "name", ["5.tif", "tile_5.tif", "5_class.tif", "top_mosaic_09cm_area5.tif", "top_mosaic_09cm_area5_class.tif",
             "05.tif", "5/labels.tif"],
)  # fmt: skip
def test_a_prediction_is_found_by_its_tile(name: str, root: Path) -> None:
    (root / "predicted" / "5.tif").unlink()
    write(root / "predicted" / name, predicted(0)[None])
    card = DatasetCard.load("isprs_vaihingen")
    found = dataset_pairs(card, root / "data", root / "predicted", card.protocol("deepnetsforeo"))
    assert found.tiles == tuple(TEST_TILES)
    assert found.pairs[0][0] == root / "predicted" / name
    assert found.pairs[0][1] == root / "data" / tile_path(card, "labels_eroded", "5")


def test_tiles_without_prediction_or_with_several_are_named(root: Path) -> None:
    card = DatasetCard.load("isprs_vaihingen")
    arguments = (card, root / "data", root / "predicted", card.protocol("deepnetsforeo"))
    write(root / "predicted" / "30_a.tif", predicted(0)[None])
    assert dataset_pairs(*arguments).pairs[3][0] == root / "predicted" / "30.tif", "the exact name comes first"
    (root / "predicted" / "30.tif").rename(root / "predicted" / "30_b.tif")
    with raises_naming(InputError, "30", "30_a.tif", "30_b.tif"):
        dataset_pairs(*arguments)
    for tile in ("30_a", "30_b", "15"):
        (root / "predicted" / f"{tile}.tif").unlink()
    with raises_naming(InputError, "2", "4", "15", "30", "15.tif"):
        dataset_pairs(*arguments)
    with pytest.raises(InputError, match="is no folder"):
        dataset_pairs(card, root / "data", root / "absent", card.protocol("delta"))


def test_folders_in_a_tile_id_become_part_of_the_name(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data", "loveda", ["Train/Rural/0", "Val/Rural/7", "Val/Urban/12"])
    labels = {7: 1, 12: 2}
    for number, seed in labels.items():
        name = "Val-Rural-7" if number == 7 else str(number)
        write(tmp_path / "predicted" / f"{name}.png", class_places(seed, 7)[None] + np.uint8(1))
    found = evaluate_dataset("loveda", tmp_path / "data", tmp_path / "predicted")
    assert found["overall_accuracy"] == 1
    assert found["pixels"] == 2 * 64 * 64
    assert found["published"] == {}


def test_one_reference_of_many_tiles_is_scored_once(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data", "dfc2018", ["273844_3289689"])
    values = class_places(0, 20) + np.uint8(1)
    write(tmp_path / "predicted" / "273844_3289689.tif", values[None])
    found = evaluate_dataset("dfc2018", tmp_path / "data", tmp_path / "predicted", "tiles")
    assert found["overall_accuracy"] == 1


def test_labels_of_other_bands_than_the_cards_are_refused_until_their_legend_is_named(root: Path) -> None:
    card = DatasetCard.load("isprs_vaihingen")
    for seed, tile in enumerate(TEST_TILES):
        path = root / "data" / tile_path(card, "labels_eroded", tile)
        write(path, class_places(seed, 6)[None] + np.uint8(1), east=seed)
    with raises_naming(InputError, "1", "labels_eroded", "isprs_vaihingen", "3"):
        evaluate_dataset(card, root / "data", root / "predicted", "deepnetsforeo")
    words = ["evaluate", str(root / "predicted"), str(root / "data"), "--dataset", "isprs_vaihingen"]
    words += ["--protocol", "deepnetsforeo", "--json", str(root / "scores.json")]
    assert main([*words, "--set", "reference_legend=isprs-mmseg"]) == 0
    np.testing.assert_array_equal(json.loads((root / "scores.json").read_text())["confusion"], counted(range(4)))


def test_the_verb_prints_published_rows_and_differences(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(root / "predicted"), str(root / "data"), "--dataset", "isprs_vaihingen"]
    first = str(root / "first.json")
    assert main([*words, "--protocol", "deepnetsforeo", "--json", first]) == 0
    text = capsys.readouterr().err
    assert "Published on isprs_vaihingen/deepnetsforeo" in text
    line = next(line for line in text.splitlines() if line.startswith("SegNet IRRG (notebook)  "))
    assert line.split()[-2:] == ["90.47", "0.87"]
    write(root / "predicted" / "5.tif", class_places(0, 6)[None])
    assert main([*words, "--protocol", "isprs_vaihingen/deepnetsforeo", "--set", f"against={first}"]) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("overall accuracy  "))
    assert row.split()[-1].startswith("+")
    assert main([*words, "--protocol", "delta", "--set", f"against={first}"]) == 2
    assert "cannot be compared: they differ in legend isprs and isprs-delta" in capsys.readouterr().err
    assert main([*words, "--legend", "isprs"]) == 2
    assert main([*words[:3], "--layer", "labels=gt/{id}.tif"]) == 2
    assert main([*words, "--protocol", "deepnetsforoe"]) == 2
    assert "Did you mean 'deepnetsforeo'" in capsys.readouterr().err


def test_a_value_outside_the_legend_names_the_file(root: Path) -> None:
    write(root / "predicted" / "21.tif", np.full((1, 64, 64), 9, np.uint8), east=2)
    with raises_naming(LabelError, "21.tif"):
        evaluate_dataset("isprs_vaihingen", root / "data", root / "predicted", "deepnetsforeo")


def test_a_radius_of_the_protocols_own_is_cut_from_the_full_labels(tmp_path: Path) -> None:
    card = DatasetCard.load("isprs_potsdam")
    tiles = list(card.split("deepnetsforeo-fold1")[1]["test"])
    make_dataset(tmp_path / "data", "isprs_potsdam", tiles, ["image", "labels"])
    legend = Legend.load("isprs")
    for seed, tile in enumerate(tiles):
        write(tmp_path / "predicted" / f"{tile}.tif", predicted(seed)[None], east=seed)
    found = evaluate_dataset(card, tmp_path / "data", tmp_path / "predicted", "cross-validation")
    np.testing.assert_array_equal(found["confusion"], counted(range(5)))
    counts = ConfusionMatrix(6)
    for seed in range(5):
        counts.update(erode_boundaries(class_places(seed, 6), 3), predicted(seed))
    np.testing.assert_array_equal(found["eroded"]["confusion"], counts.matrix)
    shown = published_table(found, {}).splitlines()[1].split()
    assert shown[2] == f"{100 * found['eroded']['f1'][legend.names[0]]:.2f}", "published figures leave out borders too"


def test_a_protocol_whose_split_the_card_lacks_is_refused_with_the_splits_there_are(root: Path) -> None:
    card = DatasetCard.load("isprs_vaihingen")
    other = card.protocol("deepnetsforeo").model_copy(update={"split": "standard"})
    card = card.model_copy(update={"protocols": {"standard": other}})
    with raises_naming(InputError, ", ".join(card.splits)):
        evaluate_dataset(card, root / "data", root / "predicted", "standard")


def test_the_splits_of_bright_are_not_taken_for_its_standard_split(tmp_path: Path) -> None:
    with raises_naming(InputError, "dfc2025"):
        evaluate_dataset("bright", tmp_path, tmp_path, "standard")
