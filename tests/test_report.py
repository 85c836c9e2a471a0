"""Reports: every number in every format, absent classes said to be absent."""

import csv
import io
import json

import numpy as np
import pytest

from deepnets4eo import report
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


def test_the_text_table_shows_percent_and_says_what_is_absent_and_missed(scored):
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


def test_intervals_and_notes_are_told(scored):
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


def test_areas_are_told_with_their_margins():
    sample = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
    names = ["deforestation", "gain", "forest", "other"]
    estimate = area_adjusted(sample, np.array([200_000, 150_000, 3_200_000, 6_450_000]) * 0.09)
    text = report.area_table(estimate, names, "ha")
    row = [word.strip() for word in text.splitlines()[1].split("  ") if word]
    assert row == ["deforestation", "21,157.8 ± 6,157.5", "88.00 ± 7.40", "74.87 ± 21.33"]
    assert text.endswith("overall accuracy: 94.65 ± 1.85\n")
    found = estimate.to_dict(names)
    assert found["area"]["gain"] == pytest.approx(11_686.2, abs=0.05)
    assert found["overall_accuracy"] == pytest.approx(0.94651, abs=5e-6)
