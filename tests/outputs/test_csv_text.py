"""No cell of a table is a formula for a spreadsheet, and every number stays one."""

import csv
import io

import pytest

from deepnets4eo.evaluation import confusion_csv
from deepnets4eo.evaluation.report import csv_table
from deepnets4eo.outputs import csv_text
from deepnets4eo.segmenters.history import write_log

FORMULA = '=cmd|" /C calc"!A0'


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    "text",
    [
        FORMULA,
        "+1+1",
        "-1+1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\uff1d1",
        "+",
        "-inf+1",
        "-inf",
        "-nan",
        "+infinity",
        "+1_0",
        "-1e",
        "-٣",
    ],
)
def test_text_that_would_be_a_formula_gets_an_apostrophe(text):
    shown = text.replace("\r", "\n")
    assert read(csv_text([[text, "b"]])) == [[f"'{shown}", "b"]]


def test_no_cell_begins_another_row(tmp_path):
    assert read(csv_text([["a\r=1", "b\r\n=2", "c\n=3"]])) == [["a\n=1", "b\n=2", "c\n=3"]]


@pytest.mark.parametrize(
    "cell", [-1.5, "-1.5", "+2", "-1e-09", "-.5", "+3.", "-1E9", "roof", "a=b", "", "3", "–", "nan"]
)
def test_numbers_and_other_text_stay_as_they_are(cell):
    assert read(csv_text([[cell, 1]])) == [[str(cell), "1"]]


def test_class_names_and_columns_of_others_are_made_harmless_wherever_csv_is_written(tmp_path):
    scores = dict.fromkeys(
        ["overall_accuracy", "kappa", "average_accuracy", "mean_f1", "mean_iou", "fw_iou", "fw_iou"], 0.5
    )
    by_class = dict.fromkeys(["f1", "iou", "precision", "recall"], {FORMULA: 0.25})
    found = {"classes": [FORMULA], "confusion": [[3]], "unpredicted": {FORMULA: 1}, **scores, **by_class}
    written = [csv_table(found), confusion_csv(found)]
    written.append(write_log(tmp_path / "log.csv", [{"epoch": 1, FORMULA: -2.0}]).read_text())
    cells = [cell for text in written for row in read(text) for cell in row]
    assert sum(cell == f"'{FORMULA}" for cell in cells) >= 7
    assert FORMULA not in cells
    assert "-2.0" in cells
