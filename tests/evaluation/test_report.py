"""Reports: every number in every format, absent classes said to be absent."""

import csv
import io
import json
import re

import numpy as np
import pytest

from deepnets4eo.evaluation import report
from deepnets4eo.files import write_json
from deepnets4eo.metrics import ConfusionMatrix, area_adjusted

NAMES = ["road", "roof", "boat"]


@pytest.fixture
def scored() -> dict:
    counts = ConfusionMatrix(3).update(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 255]))
    result = report.scores(counts, NAMES) | {"legend": "harbour", "protocol": {"erode_px": 3}}
    return result | {"eroded": report.scores(ConfusionMatrix(3).update(np.array([0, 1]), np.array([0, 1])), NAMES)}


def test_scores_have_every_key_by_class_name(scored):
    assert list(scored)[:6] == ["overall_accuracy", "kappa", "average_accuracy", "mean_f1", "mean_iou", "fw_iou"]
    for score in ("f1", "iou", "precision", "recall"):
        assert list(scored[score]) == NAMES
    assert scored["confusion"] == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert scored["unpredicted"] == {"road": 0, "roof": 1, "boat": 0}
    assert scored["absent_classes"] == ["boat"]
    assert scored["overall_accuracy"] == pytest.approx(3 / 5)


def test_an_absent_class_is_null_in_json(scored, tmp_path):
    read = json.loads(write_json(tmp_path / "scores.json", scored).read_text())
    assert read["f1"]["boat"] is None
    assert read["eroded"]["overall_accuracy"] == 1.0


def test_the_text_table_has_percent_and_remarks_on_absent_and_missed_classes(scored):
    text = report.text_table(scored)
    lines = text.splitlines()
    assert lines[0] == "Scores in percent, legend harbour, full reference"
    assert next(line for line in lines if line.startswith("road")).split() == [
        "road",
        "80.00",
        "66.67",
        "100.00",
        "66.67",
        "3",
    ]
    assert next(line for line in lines if line.startswith("boat")).split() == ["boat", "–", "–", "–", "–", "0"]
    assert "left out of means: boat." in text
    assert "1 of 5 reference pixels have no prediction and count as errors." in text
    assert "reference without 3 px along the borders" in text


def test_intervals_and_notes_are_reported(scored):
    text = report.text_table(scored | {"intervals": {"kappa": [0.1, 0.2]}, "notes": ["moved by half a pixel"]})
    assert "(10.00 to 20.00)" in text
    assert text.count("10.00 to 20.00") == 1  # of the full reference, not of the eroded one
    assert text.endswith("Note: moved by half a pixel\n")


def test_the_csv_holds_every_score_as_a_fraction(scored):
    rows = list(csv.DictReader(io.StringIO(report.csv_table(scored))))
    assert len(rows) == 2 * (6 + 4 * 3)
    values = {(row["reference"], row["score"], row["class"]): row["value"] for row in rows}
    assert float(values["full", "f1", "road"]) == scored["f1"]["road"]
    assert values["full", "f1", "boat"] == ""
    assert float(values["eroded", "overall_accuracy", ""]) == 1.0


def test_the_confusion_csv_adds_up_to_the_reference(scored):
    head, *rows = list(csv.reader(io.StringIO(report.confusion_csv(scored))))
    assert head[1:] == [*NAMES, "unpredicted"]
    assert sum(int(value) for row in rows for value in row[1:]) == scored["pixels"]


def test_markdown_has_one_table_a_reference(scored):
    text = report.markdown_table(scored)
    assert text.count("| class | F1 | IoU | precision | recall | reference px |") == 2
    assert "| road | 80.00 | 66.67 | 100.00 | 66.67 | 3 |" in text


def test_the_figure_is_a_png_with_a_row_per_class(scored, tmp_path):
    path = report.confusion_figure(scored, tmp_path / "confusion.png", "harbour")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]


def test_areas_have_plain_values_by_class_name():
    sample = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
    names = ["deforestation", "gain", "forest", "other"]
    estimate = area_adjusted(sample, np.array([200_000, 150_000, 3_200_000, 6_450_000]) * 0.09)
    values = estimate.to_dict(names)
    assert values["area"]["gain"] == pytest.approx(11_686.2, abs=0.05)
    assert values["area_margin"]["deforestation"] == pytest.approx(6_157.5, abs=0.05)
    assert values["producers_accuracy"]["deforestation"] == pytest.approx(0.7487, abs=5e-5)
    assert values["overall_accuracy"] == pytest.approx(0.94651, abs=5e-6)
    assert values["overall_accuracy_margin"] == pytest.approx(0.0185, abs=5e-5)


TEXT = """\
Scores in percent, legend harbour, full reference
class     F1    IoU  precision  recall  reference px
road   80.00  66.67     100.00   66.67             3
roof   50.00  33.33      50.00   50.00             2
boat       –      –          –       –             0

overall accuracy: 60.00
kappa: 33.33
average accuracy: 58.33
mean f1: 65.00
mean iou: 50.00
fw iou: 53.33
Not in the reference nor predicted, left out of means: boat.
1 of 5 reference pixels have no prediction and count as errors.

Scores in percent, legend harbour, reference without 3 px along the borders
class      F1     IoU  precision  recall  reference px
road   100.00  100.00     100.00  100.00             1
roof   100.00  100.00     100.00  100.00             1
boat        –       –          –       –             0

overall accuracy: 100.00
kappa: 100.00
average accuracy: 100.00
mean f1: 100.00
mean iou: 100.00
fw iou: 100.00
Not in the reference nor predicted, left out of means: boat.
"""


def test_all_pixels_without_a_prediction_are_counted_together():
    counts = ConfusionMatrix(3).update(np.array([0, 0, 0, 1, 1, 2]), np.array([0, 255, 255, 1, 255, 2]))
    text = report.text_table(report.scores(counts, NAMES))
    assert "3 of 6 reference pixels have no prediction and count as errors." in text
    assert "absent" not in text
    assert "left out of means" not in text


def test_the_whole_text_table_is_as_a_reader_sees_it(scored):
    assert report.text_table(scored) == TEXT


def test_borders_stand_in_every_format_with_their_radius_and_mean(scored):
    borders = {"radius_px": 2, "f1": {"road": 0.5, "roof": float("nan")}, "mean_f1": 0.25}
    with_borders = scored | {"boundaries": borders, "eroded": None}
    lines = ["F1 of class borders in percent, right within 2 px", "road: 50.00", "roof: –", "mean: 25.00"]
    assert report.text_table(with_borders).endswith("\n\n" + "\n".join(lines) + "\n")
    title, *rest = lines
    assert report.markdown_table(with_borders).endswith(
        f"\n\n### {title}\n\n" + "\n".join(f"- {one}" for one in rest) + "\n"
    )
    rows = list(csv.reader(io.StringIO(report.csv_table(with_borders))))
    assert [row for row in rows if row[0] == "boundary"] == [
        ["boundary", "f1", "road", "0.5"],
        ["boundary", "f1", "roof", ""],
    ]
    assert {row[0] for row in rows[1:]} == {"full", "boundary"}


def test_the_whole_markdown_table(scored):
    title, _, head, rule, *rest = report.markdown_table(scored | {"eroded": None, "notes": ["n"]}).splitlines()
    assert title == "### Scores in percent, legend harbour, full reference"
    assert head == "| class | F1 | IoU | precision | recall | reference px |"
    assert rule == "| --- | ---: | ---: | ---: | ---: | ---: |"
    assert rest[:4] == [
        "| road | 80.00 | 66.67 | 100.00 | 66.67 | 3 |",
        "| roof | 50.00 | 33.33 | 50.00 | 50.00 | 2 |",
        "| boat | – | – | – | – | 0 |",
        "",
    ]
    assert rest[4:10] == [f"- {line}" for line in TEXT.splitlines()[6:12]]
    assert rest[-2:] == ["", "Note: n"]


def test_names_are_no_marks_of_markdown_and_no_html():
    names = ["a|b", "<img src=x onerror=alert(1)>", "[x](http://y)\nz"]
    made = report.scores(ConfusionMatrix(3).update(np.array([0, 0, 1]), np.array([0, 1, 1])), names) | {
        "legend": names[1],
        "notes": [f"of {names[1]}"],
    }
    text = report.markdown_table(made)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", row) for row in rows]
    assert {len(row) for row in cells} == {8}  # six columns, and what is before and behind them
    first = [row[1].strip() for row in cells[2:]]
    assert first == ["a\\|b", "&lt;img src=x onerror=alert(1)&gt;", "\\[x\\](http://y) z"]
    assert "<" not in text
    assert text.endswith("Note: of &lt;img src=x onerror=alert(1)&gt;\n")


def test_the_confusion_matrix_in_a_file_has_the_reference_in_its_rows(scored):
    assert report.confusion_csv(scored) == (
        "reference \\ prediction,road,roof,boat,unpredicted\nroad,2,1,0,0\nroof,0,1,0,1\nboat,0,0,0,0\n"
    )


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (float("nan"), "–"), (0, "0.00"), (0.12345, "12.35"), (1, "100.00")]
)
def test_shares_in_percent(value, text):
    assert report.percent(value) == text


def test_the_figure_has_shares_of_the_reference(scored, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: (drawn.append(figure), path.write_bytes(b"")))
    report.confusion_figure(scored, tmp_path / "a.png", "harbour")
    axes = drawn[0].axes[0]
    texts = {(round(text.get_position()[1]), round(text.get_position()[0])): text for text in axes.texts}
    assert {place: text.get_text() for place, text in texts.items()} == {
        (0, 0): "66.7", (0, 1): "33.3", (0, 2): "0.0", (1, 0): "0.0", (1, 1): "50.0", (1, 2): "0.0",
    }  # fmt: skip
    assert texts[0, 0].get_color() == "white"
    assert texts[1, 1].get_color() == "black"
    assert axes.get_title() == "harbour\nOA 60.00 %, mean F1 65.00 %"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("prediction", "reference")
    assert [label.get_text() for label in axes.get_yticklabels()] == NAMES
    report.confusion_figure(scored, tmp_path / "b.png")
    assert drawn[1].axes[0].get_title() == "OA 60.00 %, mean F1 65.00 %"


def test_the_last_line_names_the_reference_of_each_score_if_there_are_two(scored) -> None:
    full = report.headline(scored | {"eroded": None})
    assert full.startswith("overall accuracy ")
    assert report.headline(scored) == (
        f"full reference: {full}; reference without 3 px along the borders: {report.headline(scored['eroded'])}"
    )
