"""Results are only compared under one protocol; what differs is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.cards import DatasetCard
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import Protocol, evaluate
from deepnets4eo.evaluation.comparison import (
    _reference_pixels,
    compare,
    comparison_table,
    differences,
    published_table,
    read_report,
)
from deepnets4eo.files import write_json

GENERATOR = np.random.default_rng(0)
REFERENCE = np.kron(GENERATOR.integers(0, 6, (8, 8)), np.ones((8, 8), int)).astype(np.uint8)


def scored(share: float, protocol: Protocol | None = None, legend: str = "isprs", reference: np.ndarray = REFERENCE):
    wrong = np.random.default_rng(1).random(reference.shape) < share
    prediction = np.where(wrong, (reference + 1) % 6, reference).astype(np.uint8)
    return evaluate(prediction, reference, legend, protocol).to_dict()


def test_results_of_one_protocol_are_compared_in_points(tmp_path: Path) -> None:
    reports = {"first": scored(0.3), "second": scored(0.1)}
    reports["first"] = json.loads(write_json(tmp_path / "a.json", reports["first"]).read_text())
    table = compare(reports)
    assert table["overall_accuracy"]["second"] == reports["second"]["overall_accuracy"]
    assert table["f1 car"]["first"] == reports["first"]["f1"]["car"]
    gain = 100 * (reports["second"]["overall_accuracy"] - reports["first"]["overall_accuracy"])
    line = next(line for line in comparison_table(reports).splitlines() if line.startswith("overall accuracy"))
    assert line.split()[-1] == f"{gain:+.2f}"


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"legend": "isprs-delta"}, "legend isprs and isprs-delta"),
        ({"protocol": Protocol(erode_px=2)}, "protocol.erode_px 0 and 2"),
        ({"protocol": Protocol(ignored=("clutter",))}, "classes impervious"),
        ({"protocol": Protocol(name="isprs_vaihingen/mmseg")}, "protocol.name  and isprs_vaihingen/mmseg"),
        ({"protocol": Protocol(card={"stride_px": 32})}, "protocol.card.stride_px none and 32"),
        ({"protocol": Protocol(unknown="void")}, "protocol.unknown_labels error and void"),
        ({"reference": REFERENCE[:32]}, "references of 4,096 and 2,048 pixels"),
    ],
)
def test_what_was_scored_under_other_rules_is_refused_by_name(other: dict, named: str) -> None:
    first, second = scored(0.2), scored(0.2, **other)
    assert differences(first, second)
    with pytest.raises(InputError, match="a and b cannot be compared") as caught:
        compare({"a": first, "b": second})
    assert named in str(caught.value)


def test_the_source_of_a_rule_does_not_matter() -> None:
    first, second = (scored(0.2, Protocol(card={"stride_px": 32, "source": source})) for source in ("a", "b"))
    assert differences(first, second) == []


def test_what_is_no_report_is_refused() -> None:
    with pytest.raises(InputError, match="b is no report of scores: it has no classes"):
        compare({"a": scored(0.2), "b": {}})
    with pytest.raises(InputError, match="expected two or more"):
        compare({"a": scored(0.2)})


def test_published_rows_stand_below_ones_own() -> None:
    card = DatasetCard.load("dfc2015")
    generator = np.random.default_rng(3)
    reference = generator.integers(0, 8, (40, 40)).astype(np.uint8)
    report = evaluate(reference, reference, "dfc2015").to_dict()
    lines = published_table(report, card.published).splitlines()
    assert lines[1].split()[-1] == "1.00"
    assert len(lines) == 2 + 16
    expert = next(line for line in lines if line.startswith("Expert")).split()
    assert expert[1:] == ["58.97", "63.87", "74.55", "–", "–", "–", "–", "92.39", "–", "–"]


@pytest.mark.parametrize(
    "damage",
    [
        {"confusion": [[1, 2], [3]]},
        {"confusion": {"a": 1}},
        {"confusion": [[-1] * 6] * 6},
        {"classes": 3},
        {"classes": []},
        {"f1": {"car": "much"}},
        {"protocol": []},
        {"overall_accuracy": "x"},
        {"unpredicted": {"car": None}},
    ],
)
def test_a_damaged_report_is_refused_by_name_before_any_work(damage: dict, tmp_path: Path, capsys) -> None:
    path = write_json(tmp_path / "earlier.json", scored(0.1) | damage)
    with raises_naming(InputError, "earlier.json"):
        read_report(path)
    assert main(["evaluate", "absent.tif", "absent.tif", "--set", f"against={path}"]) == 2
    assert "earlier.json is no report of scores" in capsys.readouterr().err


def test_a_report_as_it_was_written_is_read(tmp_path: Path) -> None:
    report = scored(0.1)
    assert differences(report, read_report(write_json(tmp_path / "a.json", report))) == []


def test_a_figure_of_an_unknown_kind_is_refused_before_any_work(tmp_path: Path, capsys) -> None:
    for name in ("a.xyz", "a"):
        assert main(["evaluate", "absent.tif", "absent.tif", "--figure", str(tmp_path / name)]) == 2
        assert "is no kind of figure that can be drawn" in capsys.readouterr().err


def made_up_report(accuracy: float, f1: tuple[float | None, float | None] = (0.5, None), **more: object) -> dict:
    overall = dict.fromkeys(("kappa", "average_accuracy", "mean_f1", "mean_iou", "fw_iou"), accuracy / 2)
    return {
        "overall_accuracy": accuracy, **overall, "legend": "l", "classes": ["a", "b"],
        "f1": dict(zip("ab", f1, strict=True)), "protocol": {"name": "p", "ignored": ()}, "pixels": 5000,
        "confusion": [[3, 1], [0, 0]], "unpredicted": {"a": 0, "b": 2}, **more,
    }  # fmt: skip


def test_the_whole_table_of_two_results_and_of_three() -> None:
    first, second = made_up_report(0.5), made_up_report(0.625, (0.25, 1.0))
    assert comparison_table({"x": first, "longer": second}) == (
        "                      x  longer  difference\n"
        "overall accuracy  50.00   62.50      +12.50\n"
        "kappa             25.00   31.25       +6.25\n"
        "average accuracy  25.00   31.25       +6.25\n"
        "mean f1           25.00   31.25       +6.25\n"
        "mean iou          25.00   31.25       +6.25\n"
        "fw iou            25.00   31.25       +6.25\n"
        "f1 a              50.00   25.00      -25.00\n"
        "f1 b                  –  100.00           –\n"
    )
    three = comparison_table({"x": first, "y": second, "z": first}).splitlines()
    assert three[0].split() == ["x", "y", "z"]
    assert three[1].split() == ["overall", "accuracy", "50.00", "62.50", "50.00"]


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"classes": ["a", "c"]}, "classes a, b and a, c"),
        ({"eroded": {"f1": {}}}, "an eroded reference in one of them only"),
        ({"confusion": [[2, 2], [0, 0]]}, None),
        ({"confusion": [[2, 1], [1, 0]]}, "references of 5,000 and 5,000 pixels, not the same labels"),
        ({"unpredicted": {"a": 1, "b": 1}}, "references of 5,000 and 5,000 pixels"),
        ({"protocol": {"name": "p", "ignored": []}}, None),
        ({"protocol": {"name": "p", "ignored": ["a"]}}, "protocol.ignored none and ['a']"),
        ({"protocol": {"name": "p", "ignored": (), "stored_in": {"prediction": "x"}}}, None),
        ({"protocol": {"name": "p", "ignored": (), "card": {"window": {"px": 3}}}}, "protocol.card.window none and"),
    ],
)
def test_each_difference_alone_is_named(other: dict, named: str | None) -> None:
    found = differences(made_up_report(0.5), made_up_report(0.7, **other))
    assert len(found) == (named is not None)
    assert all(text.startswith(named) for text in found)


def test_the_third_result_is_held_against_the_first_too() -> None:
    with pytest.raises(InputError, match="a and c cannot be compared: they differ in legend l and m. Score both"):
        compare({"a": made_up_report(0.5), "b": made_up_report(0.5), "c": made_up_report(0.5, legend="m")})


def test_where_borders_are_left_out_published_rows_stand_below_the_eroded_scores() -> None:
    eroded = made_up_report(0.9, (0.75, 0.5))
    for reference, first in (("eroded", "75.00"), ("full", "50.00")):
        protocol = {"name": "p", "card": {"reference": reference}}
        lines = published_table(made_up_report(0.5, eroded=eroded, protocol=protocol), {}).splitlines()
        assert lines[0].split() == ["method", "a", "b", "OA", "kappa"]
        assert lines[1].split()[2] == first
    alone = published_table(made_up_report(0.5, protocol={"card": {"reference": "eroded"}}), {}).splitlines()
    assert alone[1].split() == ["this", "result", "50.00", "–", "50.00", "0.25"]


def test_reference_pixels_are_those_of_the_rows_and_the_unpredicted():
    report = {"classes": ["a", "b"], "confusion": [[3, 1], [0, 6]], "unpredicted": {"b": 2}}
    assert _reference_pixels(report) == [4, 8]
