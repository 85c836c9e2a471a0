"""Tables of a benchmark word for word, folders of rows, and sheets of maps pixel by pixel."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff
from matplotlib.figure import Figure
from score_table import folds, rows, sheet
from score_table.folds import missing_layers, run_folds
from score_table.rows import BenchmarkScenes, Outcome, Row, run_row, scored_names
from score_table.sheet import contact_sheet
from score_table.table import markdown, write_table

from deepnets4eo.cards import Legend, PublishedScores
from deepnets4eo.rasters import Layer
from deepnets4eo.training import TrainOptions

CLASSES = ("road", "roof", "car")


def outcome(name: str, scored: tuple[str, ...] = (), **f1: float | None) -> Outcome:
    scores = {"f1": {"road": 0.5, "roof": 0.25, "car": None, **f1}, "overall_accuracy": 0.125, "kappa": 0.0625}
    return Outcome(name, scores, scored, 12.4, 0.6)


PUBLISHED = {
    "ours too": PublishedScores(protocol="p", source="s", f1={"road": 90.0, "roof": 80.0, "car": 70.0}, overall_accuracy=85.0, kappa=0.8),
    "theirs": PublishedScores(protocol="p", source="s", f1={"road": 91.0}),
}  # fmt: skip


def test_the_whole_table_for_people() -> None:
    text = markdown(
        [outcome("ours too"), outcome("cars", ("car",), car=0.75)], CLASSES, PUBLISHED, "Harbour", rest=True
    )
    assert text == "\n".join([
        "## Harbour",
        "",
        "| method | whose | road | roof | car | mean F1 | OA | kappa | train s | predict s |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| ours too | published | 90.00 | 80.00 | 70.00 | 80.00 | 85.00 | 0.80 | – | – |",
        "| ours too | ours | 50.00 | 25.00 | – | 37.50 | 12.50 | 0.06 | 12 | 1 |",
        "| cars | ours | – | – | 75.00 | – | – | – | 12 | 1 |",
        "| theirs | published | 91.00 | – | – | – | – | – | – | – |",
        "",
    ])  # fmt: skip
    assert "theirs" not in markdown([outcome("ours too")], CLASSES, PUBLISHED, "Harbour")


def test_the_files_of_a_table_agree(tmp_path: Path) -> None:
    text = write_table([outcome("ours too")], CLASSES, PUBLISHED, tmp_path, title="T", notes={"seed": 3}, rest=True)
    assert (tmp_path / "table.md").read_text() == text
    assert text.endswith("\n- seed: 3\n")
    with (tmp_path / "table.csv").open(newline="") as file:
        head, theirs, ours, rest = csv.reader(file)
    assert head == ["method", "whose", "f1.road", "f1.roof", "f1.car", "overall_accuracy", "kappa", "train_seconds", "predict_seconds"]  # fmt: skip
    assert theirs == ["ours too", "published", "90.0", "80.0", "70.0", "85.0", "0.8", "", ""]
    assert ours == ["ours too", "ours", "50.0", "25.0", "", "12.5", "0.0625", "12.4", "0.6"]
    assert rest == ["theirs", "published", "91.0", "", "", "", "", "", ""]
    kept = json.loads((tmp_path / "table.json").read_text())
    assert (kept["title"], kept["notes"]) == ("T", {"seed": 3})
    assert kept["ours"] == {"ours too": {"scores": outcome("").scores, "scored": []}}
    assert kept["published"]["theirs"]["f1"] == {"road": 91.0}


def test_an_outcome_speaks_of_all_classes_or_of_those_it_scores() -> None:
    assert scored_names(outcome("a"), CLASSES) == set(CLASSES)
    assert scored_names(outcome("a", ("car",)), CLASSES) == {"car"}
    assert math.isnan(Outcome("a", {}).train_seconds)


@pytest.mark.parametrize(
    ("name", "folder"),
    [("Bright + dark", "bright-plus-dark"), ("SVM (RBF), 3×3", "svm-rbf-3-3"), ("--a--b--", "a-b"), ("Größe", "größe")],
)
def test_rows_have_folders_of_their_own(name: str, folder: str) -> None:
    assert rows._folder_name(name) == folder


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Training, prediction and scoring that only say what they were given."""
    calls: dict[str, list] = {"train": [], "predict": [], "pairs": []}

    def train(recipe, folder, *, options):
        calls["train"].append((recipe, folder, options))
        return folder

    def predict(run, scene, path, options):
        calls["predict"].append((run, sorted(scene.layers), path, options))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("map")

    class Scored:
        def to_dict(self) -> dict:
            return {"overall_accuracy": 0.5}

    def evaluate_pairs(pairs, legend, protocol):
        calls["pairs"].append((pairs, legend.name, protocol))
        return Scored()

    for module in (rows, folds):
        monkeypatch.setattr(module, "evaluate_pairs", evaluate_pairs)
    monkeypatch.setattr(rows, "train", train)
    monkeypatch.setattr(rows, "predict", predict)
    monkeypatch.setattr(rows, "load_run", lambda folder: folder)
    return calls


def write_scene(tmp_path: Path, name: str) -> dict[str, str]:
    return {
        layer: str(write_geotiff(tmp_path / f"{name}-{layer}.tif", np.zeros((4, 4), np.uint8)))
        for layer in ("image", "labels")
    }


def test_a_row_trains_on_the_training_scenes_and_maps_the_others(stubs, tmp_path: Path) -> None:
    scenes = BenchmarkScenes({"A": write_scene(tmp_path, "a")}, {"B 1": write_scene(tmp_path, "b")})
    row = Row("Forest", "unet-mobilenet", ("train.seed=4",), ("car",))
    legend = Legend.load("isprs")
    found = run_row(row, scenes, legend, tmp_path / "out", options=TrainOptions(device="cpu"))
    ((recipe, folder, options),) = stubs["train"]
    assert folder == tmp_path / "out" / "forest" / "run"
    assert (recipe.legend, recipe.train.seed, options.device) == ("isprs", 4, "cpu")
    assert [dict(one) for one in recipe.data.scenes] == [scenes.train["A"]]
    ((run, layers, path, predicted),) = stubs["predict"]
    assert (run, path) == (folder, tmp_path / "out" / "forest" / "b-1.tif")
    assert layers == ["image"]
    assert (predicted.overwrite, predicted.device) == (True, "cpu")
    assert stubs["pairs"] == [([(path, scenes.test["B 1"]["labels"])], "isprs", None)]
    assert (found.name, found.scored, found.maps) == ("Forest", ("car",), {"B 1": path})
    kept = json.loads((tmp_path / "out" / "forest" / "outcome.json").read_text())
    assert kept["recipe_sha256"] == recipe.hash
    assert kept["test"] == {"B 1": scenes.test["B 1"]}
    assert (kept["train_seconds"], kept["predict_seconds"]) == (found.train_seconds, found.predict_seconds)

    run_row(row, scenes, legend, tmp_path / "out")
    assert len(stubs["train"]) == 1
    path.unlink()  # a map that is gone is made again
    run_row(row, scenes, legend, tmp_path / "out")
    assert len(stubs["train"]) == 2
    assert stubs["train"][1][2].overwrite
    moved = BenchmarkScenes(scenes.train, {"B 1": write_scene(tmp_path, "c")})
    run_row(row, moved, legend, tmp_path / "out")
    assert len(stubs["train"]) == 3


def test_seconds_of_folds_are_summed_and_their_maps_joined(tmp_path: Path, stubs, monkeypatch) -> None:
    first, second = write_scene(tmp_path, "a"), write_scene(tmp_path, "b")
    both = [BenchmarkScenes({"A": first}, {"B": second}), BenchmarkScenes({"B": second}, {"A": first})]
    row = Row("Two", "unet-mobilenet", scored=("car",))
    found = run_folds(row, both, Legend.load("isprs"), tmp_path / "out")
    folders = [tmp_path / "out" / f"fold-{number}" / "two" for number in (1, 2)]
    assert [folder for _, folder, _ in stubs["train"]] == [one / "run" for one in folders]
    assert found.maps == {"B": folders[0] / "b.tif", "A": folders[1] / "a.tif"}
    assert stubs["pairs"][-1][0] == [(folders[0] / "b.tif", second["labels"]), (folders[1] / "a.tif", first["labels"])]
    assert found.scored == ("car",)
    parts = [json.loads((one / "outcome.json").read_text()) for one in folders]
    assert found.train_seconds == pytest.approx(sum(one["train_seconds"] for one in parts))
    assert found.predict_seconds == pytest.approx(sum(one["predict_seconds"] for one in parts))
    alone = run_folds(row, both[:1], Legend.load("isprs"), tmp_path / "one")
    assert alone.maps == {"B": tmp_path / "one" / "two" / "b.tif"}


def test_layers_that_one_place_lacks_are_named_once(tmp_path: Path) -> None:
    whole, bare = {"image": "a", "labels": "b", "dsm": "c"}, {"image": "a"}
    row = Row("R", "unet-resnet18-dsm")
    assert missing_layers(row, [BenchmarkScenes({"A": whole}, {"B": whole})]) == []
    assert missing_layers(
        row, [BenchmarkScenes({"A": whole}, {"B": bare}), BenchmarkScenes({"C": bare}, {"D": whole})]
    ) == [
        "dsm",
        "labels",
    ]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: (figures.append(figure), path.write_bytes(b"")))
    return figures


def test_a_sheet_has_a_panel_for_image_reference_and_each_map(drawn, tmp_path: Path, monkeypatch) -> None:
    legend = Legend.load("isprs")
    labels = np.repeat(np.arange(6, dtype=np.uint8), 10)[None].repeat(20, axis=0)
    image = np.tile(np.arange(60, dtype=np.float32), (3, 20, 1)) * 10
    sources = {name: {"labels": "labels", "image": "image", "dsm": "dsm"} for name in ("A", "B")}
    arrays = {"labels": labels, "image": image, "dsm": image[:1], "map": labels[:, ::-1].copy()}
    monkeypatch.setattr(
        sheet, "Layer", type("Opened", (), {"open": staticmethod(lambda name: Layer.open(arrays[name]))})
    )
    found = [
        Outcome("first", {}, maps={"A": "map", "B": "map"}),
        Outcome("second", {}, maps={"A": "map", "B": "labels"}),
    ]
    contact_sheet(found, sources, legend, tmp_path / "s.png", title="Sheet", columns=3)
    (figure,) = drawn
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in panels] == [
        "A: image", "A: reference", "first", "second", "B: image", "B: reference", "first", "second",
    ]  # fmt: skip
    assert len(figure.axes) == 12  # four panels a scene in rows of three
    np.testing.assert_array_equal(panels[1].images[0].get_array(), legend.decode(labels).transpose(1, 2, 0))
    np.testing.assert_array_equal(panels[2].images[0].get_array(), legend.decode(labels[:, ::-1]).transpose(1, 2, 0))
    stretched = panels[0].images[0].get_array()
    low, high = np.percentile(image, (2, 98))
    expected = (np.clip((image - low) / (high - low), 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    np.testing.assert_allclose(stretched, expected, atol=1)
    assert figure.get_suptitle() == "Sheet"
    (key,) = figure.legends
    assert [text.get_text() for text in key.get_texts()] == list(legend.names)
    assert key.get_patches()[1].get_facecolor()[:3] == (0, 0, 1)


def test_large_rasters_are_shown_small_and_scenes_without_an_image_by_what_they_have(
    drawn, tmp_path: Path, monkeypatch
) -> None:
    labels, heights = np.zeros((40, 20), np.uint8), np.arange(800, dtype=np.float32).reshape(1, 40, 20)
    arrays = {"labels": labels, "dsm": heights}
    monkeypatch.setattr(
        sheet, "Layer", type("Opened", (), {"open": staticmethod(lambda name: Layer.open(arrays[name]))})
    )
    contact_sheet([], {"A": {"labels": "labels", "dsm": "dsm"}}, Legend.load("isprs"), tmp_path / "s.png", side_px=10)
    panels = [axes for axes in drawn[0].axes if axes.images]
    assert [axes.get_title() for axes in panels] == ["A: dsm", "A: reference"]
    assert [axes.images[0].get_array().shape for axes in panels] == [(10, 5, 3), (10, 5, 3)]
