"""Scores at points are those of scikit-learn, for the classes of the legend, without void and ignored ones."""

from pathlib import Path

import laspy
import numpy as np
import pytest
from made_up_clouds import LEGEND, NeighbourCount, scattered, write_las
from refusals import raises_naming
from sklearn.metrics import f1_score, jaccard_score

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.points import LabelOptions, PointCloud, evaluate_cloud, label_cloud, legend_codes


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A reference with the codes 2, 5, 6 and the same points labelled 2, 5 and 64."""
    reference = write_las(tmp_path / "reference.laz", scattered(900))
    label_cloud(reference, NeighbourCount(), tmp_path / "labelled.laz")
    return tmp_path / "labelled.laz", reference


def test_scores_are_those_of_scikit_learn(files: tuple[Path, Path]) -> None:
    result = evaluate_cloud(*files, unknown_is_void=True)
    predicted = np.asarray(laspy.read(files[0]).pred_class)
    truth = np.asarray(laspy.read(files[1]).classification)
    scored = truth != 6  # not in the legend
    labels = list(LEGEND.values)
    options = {"labels": labels, "average": None, "zero_division": 0}
    np.testing.assert_allclose(list(result["f1"].values()), f1_score(truth[scored], predicted[scored], **options))
    np.testing.assert_allclose(list(result["iou"].values()), jaccard_score(truth[scored], predicted[scored], **options))
    assert result["overall_accuracy"] == (truth == predicted)[scored].mean()
    assert result["pixels"] == scored.sum()
    assert result["unit"] == "points"


def test_the_classification_of_the_labelled_file_itself_is_a_reference(files: tuple[Path, Path]) -> None:
    ours, theirs = (
        evaluate_cloud(files[0], files[0], unknown_is_void=True),
        evaluate_cloud(*files, unknown_is_void=True),
    )
    assert ours["confusion"] == theirs["confusion"]


def test_ignored_classes_are_left_out_of_the_reference(files: tuple[Path, Path]) -> None:
    result = evaluate_cloud(*files, ignored=["Some"], unknown_is_void=True)  # in any case, as for rasters
    assert result["classes"] == ["few", "many"]
    assert result["pixels"] == (np.asarray(laspy.read(files[1]).classification) == 2).sum()


def test_codes_beyond_the_legend_are_listed_with_their_counts(files: tuple[Path, Path]) -> None:
    with raises_naming(LabelError, "reference.laz", '"three"', "6", "300"):
        evaluate_cloud(*files)


def test_other_points_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    fewer = write_las(tmp_path / "fewer.laz", scattered(899))
    with raises_naming(InputError, "900", "899"):
        evaluate_cloud(files[0], fewer, unknown_is_void=True)
    other = write_las(tmp_path / "other.laz", scattered(900, seed=1))
    with raises_naming(InputError, "labelled.laz", "from point 0"):
        evaluate_cloud(files[0], other, unknown_is_void=True)
    with pytest.raises(InputError, match="holds no legend and none was given"):
        evaluate_cloud(files[1], files[1])


def rounded(path: Path, out: Path, scale: float) -> Path:
    las = laspy.read(path)
    las.change_scaling(scales=[scale] * 3)
    las.write(out)
    return out


@pytest.mark.parametrize("scale", [0.01, 0.05])
def test_coarser_coordinates_of_the_same_points_are_the_same(
    files: tuple[Path, Path], tmp_path: Path, scale: float
) -> None:
    expected = evaluate_cloud(*files, unknown_is_void=True)["confusion"]
    coarse = rounded(files[1], tmp_path / "coarse.laz", scale)
    assert evaluate_cloud(files[0], coarse, unknown_is_void=True)["confusion"] == expected
    assert (
        evaluate_cloud(rounded(files[0], tmp_path / "ours.laz", scale), files[1], unknown_is_void=True)["confusion"]
        == expected
    )
    moved = laspy.read(coarse)
    moved.x = np.asarray(moved.x) + 2 * scale
    moved.write(tmp_path / "moved.laz")
    with raises_naming(InputError, "labelled.laz", "from point 0"):
        evaluate_cloud(files[0], tmp_path / "moved.laz", unknown_is_void=True)


def test_text_with_centimetres_is_a_reference_of_millimetres(files: tuple[Path, Path], tmp_path: Path) -> None:
    las = laspy.read(files[1])
    table = np.column_stack([np.round(las.xyz, 2), las.classification])
    np.savetxt(tmp_path / "a.xyz", table, fmt=["%.2f"] * 3 + ["%d"], header="x y z classification", comments="")
    scores = (evaluate_cloud(files[0], reference, unknown_is_void=True) for reference in (tmp_path / "a.xyz", files[1]))
    assert next(scores)["confusion"] == next(scores)["confusion"]


def test_a_classification_that_was_overwritten_with_a_prediction_is_no_reference(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    replaced, again = tmp_path / "replaced.laz", tmp_path / "again.laz"
    label_cloud(files[1], NeighbourCount(), replaced, LabelOptions(replace=True))
    label_cloud(replaced, NeighbourCount(5.0), again)
    label_cloud(again, NeighbourCount(), tmp_path / "twice.laz", LabelOptions(replace=True))
    for reference in (replaced, again, tmp_path / "twice.laz"):
        with pytest.raises(
            InputError, match=rf"{reference.name} was overwritten with a prediction .label-points --replace"
        ):
            evaluate_cloud(reference, reference)
    assert evaluate_cloud(replaced, files[1], unknown_is_void=True)["unit"] == "points"
    marks = [vlr for vlr in laspy.read(tmp_path / "twice.laz").header.vlrs if vlr.user_id == "deepnets4eo"]
    assert sorted(vlr.record_id for vlr in marks) == [1, 2, 3]  # the last says which job wrote it


def test_a_reference_without_classified_point_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    stored = laspy.read(files[1])
    stored.classification = np.zeros(900, np.uint8)
    stored.write(tmp_path / "unclassified.laz")
    with raises_naming(InputError, "unclassified.laz"):
        evaluate_cloud(files[0], tmp_path / "unclassified.laz", unknown_is_void=True)
    with pytest.raises(InputError, match="has no classified point"):
        evaluate_cloud(*files, ignored=["few", "some"], unknown_is_void=True)


@pytest.mark.parametrize(
    ("name", "codes", "values"),
    [
        (
            "ign_lidar_hd",
            [1, 2, 3, 4, 5, 6, 9, 17, 64, 65, 66, 160, 162],
            [1, 2, 5, 5, 5, 6, 9, 17, 64, 255, 255, 64, 64],
        ),
        ("semantic3d", [0, 1, 8], [255, 1, 8]),
        ("dales", [0, 1, 8], [255, 1, 8]),
        ("us3d", [2, 5, 6, 9, 17, 65], [2, 5, 6, 9, 17, 255]),
        ("vaihingen3d", [0, 8], [0, 8]),
        ("h3d", [0, 10], [0, 10]),
        ("asprs_las", list(range(23)), list(range(23))),
    ],
)
def test_codes_of_files_become_values_of_their_legend(name: str, codes: list[int], values: list[int]) -> None:
    cloud = PointCloud(np.zeros((len(codes), 3)), classification=np.array(codes, np.uint8))
    assert legend_codes(cloud, Legend.load(name)).tolist() == values


@pytest.mark.parametrize("name", ["ign_lidar_hd", "semantic3d", "dales", "vaihingen3d", "h3d"])
def test_classes_of_datasets_have_an_asprs_code_where_there_is_one(name: str) -> None:
    legend, asprs = Legend.load(name), Legend.load("asprs_las")
    table = legend.remap_to(asprs, missing="void")
    for word, code in (("tree", 5), ("roof", 6), ("building", 6), ("buildings", 6), ("ground", 2)):
        if word in legend.names:
            assert table[legend.value(word)] == code
