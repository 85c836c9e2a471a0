"""A benchmark trains on some scenes, scores others, and puts the published figures beside its own."""

import csv
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from refusals import raises_naming
from score_table import (
    BenchmarkScenes,
    Outcome,
    Row,
    contact_sheet,
    markdown,
    run_possible,
    run_row,
    write_table,
)

from deepnets4eo.cards import Legend, LegendClass, PublishedScores
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json, write_text
from deepnets4eo.grid import Grid, whole
from deepnets4eo.rasters import CogWriter
from deepnets4eo.segmenters import seal

LEGEND = Legend("two", (LegendClass(0, "dark", (10, 10, 10)), LegendClass(1, "bright", (250, 250, 250))))
CLASSIFIER = """
task: baseline
data: {tile_px: 32, num_workers: 0}
legend: {name: two, classes: [{value: 0, name: dark, color: [10, 10, 10]}, {value: 1, name: bright, color: [250, 250, 250]}]}
model: {features: [pixels], max_samples: 500}
estimator: {name: logistic}
"""


@pytest.fixture
def scenes(tmp_path: Path) -> BenchmarkScenes:
    found = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        labels = np.kron(rng.integers(0, 2, (8, 8)), np.ones((16, 16), int)).astype(np.uint8)
        image = (labels * 100 + rng.integers(50, 100, labels.shape)).astype(np.uint8)
        grid = Grid(labels.shape, (1, 0, 0, 0, -1, 128), "EPSG:32631")
        sources = {}
        for name, data in (("image", image), ("labels", labels)):
            sources[name] = str(tmp_path / f"{seed}-{name}.tif")
            with CogWriter(
                sources[name], grid, count=1, dtype="uint8", nodata=255 if name == "labels" else None
            ) as cog:
                cog.write(whole(grid), data[None])
        found.append({f"scene {seed}": sources})
    return BenchmarkScenes(*found)


@pytest.fixture
def outcome(scenes: BenchmarkScenes, tmp_path: Path) -> Outcome:
    (tmp_path / "recipe.yaml").write_text(CLASSIFIER)
    row = Row("Bright + dark", tmp_path / "recipe.yaml", overrides=("legend=" + _inline(),))
    return run_row(row, scenes, LEGEND, tmp_path / "out")


def _inline() -> str:
    return (
        "{name: two, classes: [{value: 0, name: dark, color: [10, 10, 10]}, "
        "{value: 1, name: bright, color: [250, 250, 250]}]}"
    )


def test_a_row_is_scored_on_scenes_it_was_not_trained_on(outcome: Outcome, scenes: BenchmarkScenes) -> None:
    assert outcome.scores["overall_accuracy"] > 0.99
    assert outcome.scores["pixels"] == 128 * 128
    assert outcome.train_seconds > 0
    assert list(outcome.maps) == ["scene 1"]
    assert outcome.scores["inputs"][0]["reference"] == scenes.test["scene 1"]["labels"]


def test_a_finished_row_is_not_run_again(outcome: Outcome, scenes: BenchmarkScenes, tmp_path: Path) -> None:
    row = Row("Bright + dark", tmp_path / "recipe.yaml", overrides=("legend=" + _inline(),))
    before = (tmp_path / "out" / "bright-plus-dark" / "run" / "card.json").stat().st_mtime_ns
    assert run_row(row, scenes, LEGEND, tmp_path / "out").scores == read_json(
        tmp_path / "out" / "bright-plus-dark" / "outcome.json"
    )["scores"]  # fmt: skip
    assert (tmp_path / "out" / "bright-plus-dark" / "run" / "card.json").stat().st_mtime_ns == before
    again = Row("Bright + dark", tmp_path / "recipe.yaml", overrides=("legend=" + _inline(), "train.seed=4"))
    run_row(again, scenes, LEGEND, tmp_path / "out")
    assert (tmp_path / "out" / "bright-plus-dark" / "run" / "card.json").stat().st_mtime_ns != before


@pytest.mark.parametrize("named", ["stream", "stream/card.json"])
def test_a_row_is_run_again_where_another_run_lies_behind_the_path_that_it_starts_from(
    named: str, scenes: BenchmarkScenes, tmp_path: Path
) -> None:
    stream, card = tmp_path / "stream", tmp_path / "out" / "late" / "run" / "card.json"
    (tmp_path / "recipe.yaml").write_text(CLASSIFIER)
    row = Row("Late", tmp_path / "recipe.yaml", (f"model.encoder_weights={tmp_path / named},imagenet",))
    times = []
    for weights in ("first", "first", "second"):
        seal(stream, {}, [write_text(stream / "weights.safetensors", weights).name])
        run_row(row, scenes, LEGEND, tmp_path / "out")
        times.append(card.stat().st_mtime_ns)
    assert times[0] == times[1] < times[2]


def test_no_place_is_trained_and_tested_on() -> None:
    with pytest.raises(InputError, match="a would be trained and tested on"):
        BenchmarkScenes({"a": {}}, {"a": {}, "b": {}})
    with raises_naming(InputError, "0 scenes"):
        BenchmarkScenes({}, {"b": {}})


def test_published_figures_stand_above_ours(outcome: Outcome, tmp_path: Path) -> None:
    published = {"Bright + dark": PublishedScores(f1={"dark": 50.0}, overall_accuracy=61.5, kappa=0.4)}
    text = write_table([outcome], LEGEND.names, published, tmp_path / "table", title="Two", notes={"seed": 0})
    lines = [line for line in text.splitlines() if line.startswith("| Bright")]
    assert lines[0] == "| Bright + dark | published | 50.00 | – | – | 61.50 | 0.40 | – | – |"
    assert "| ours |" in lines[1]
    assert "- seed: 0" in text
    with open(tmp_path / "table" / "table.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["f1.dark"], rows[0]["f1.bright"], rows[0]["overall_accuracy"]) == ("50.0", "", "61.5")
    assert float(rows[1]["overall_accuracy"]) == pytest.approx(100 * outcome.scores["overall_accuracy"], abs=1e-3)
    assert read_json(tmp_path / "table" / "table.json")["published"]["Bright + dark"]["kappa"] == 0.4


def test_the_mean_leaves_out_classes_that_are_nowhere(outcome: Outcome) -> None:
    outcome.scores["f1"] = {"dark": 0.5, "bright": None}
    cells = [
        cell.strip() for cell in markdown([outcome], LEGEND.names, {}, "Two").splitlines()[4].strip("|").split("|")
    ]
    assert cells[2:5] == ["50.00", "–", "50.00"]


def test_folds_are_scored_as_one(scenes: BenchmarkScenes, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(CLASSIFIER)
    swapped = BenchmarkScenes(scenes.test, scenes.train)
    absent = Row("Heights", tmp_path / "recipe.yaml", ("model.layers=[image, dsm]",))
    table = [
        absent,
        Row("Bright + dark", tmp_path / "recipe.yaml"),
        Row("Bad", tmp_path / "recipe.yaml", ("model.features=[none]",)),
    ]
    outcomes, left_out = run_possible(table, [scenes, swapped], LEGEND, tmp_path / "out")
    assert [one.name for one in outcomes] == ["Bright + dark"]
    assert outcomes[0].scores["pixels"] == 2 * 128 * 128
    assert sorted(outcomes[0].maps) == ["scene 0", "scene 1"]
    assert left_out["Heights"] == "there is no dsm"
    assert "'none' is unknown" in left_out["Bad"]


def test_a_method_for_one_class_says_nothing_of_others(outcome: Outcome) -> None:
    outcome.scored = ("bright",)
    line = markdown([outcome], LEGEND.names, {}, "Two").splitlines()[4]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[2] == "–"
    assert float(cells[3]) > 99
    assert cells[4:7] == ["–", "–", "–"]


def test_the_sheet_shows_image_reference_and_maps(outcome: Outcome, scenes: BenchmarkScenes, tmp_path: Path) -> None:
    path = contact_sheet([outcome], scenes.test, LEGEND, tmp_path / "maps.png", title="Two")
    picture = imread(path)
    assert picture.shape[0] > 200
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 10


def test_long_names_of_classes_stay_on_the_sheet(
    outcome: Outcome, scenes: BenchmarkScenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = []
    save = Figure.savefig

    def record(figure: Figure, *arguments: object, **options: object) -> None:
        figures.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", record)
    classes = [LegendClass(value, f"corn senesced green weeds {value}", (value + 1, 0, 0)) for value in range(7)]
    contact_sheet([outcome], scenes.test, Legend("long", tuple(classes)), tmp_path / "maps.png")
    (figure,) = figures
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
