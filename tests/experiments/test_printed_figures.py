"""Figures of README, pages and cards are those that the scripts stored; what differs by more than rounding is written anew."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import printed_figures
import pytest
from printed_figures import ROOT, differences, figures, write_figures

MARKS = "| <!--nets: a>auc-->{auc}<!----> | <!--nets: a>grades * 100-->83<!----> % | <!--nets: lost-->0.5<!----> |\n"
SEEDS = "OA <!--nets: long>OA, %-->{oa}<!---->, steps <!--nets: steps-->{steps}<!---->, gain <!--nets: gain-->{gain}<!---->\n"


def repository(folder: Path, card: str, results: dict[str, Any]) -> Path:
    """A repository with one card and the results of one script."""
    for name in ("docs", "models/net", "experiments/results"):
        (folder / name).mkdir(parents=True)
    (folder / "README.md").write_text("", encoding="utf-8")
    (folder / "models/net/card.md").write_text(card, encoding="utf-8")
    (folder / "experiments/results/nets.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


@pytest.mark.parametrize(("value", "measured"), [(0.9949, "0.99"), (0.9851, "0.99"), (0.9951, "1.00"), (0.9, "0.90")])
def test_figures_that_differ_by_more_than_rounding_are_reported_and_written(
    tmp_path: Path, value: float, measured: str
) -> None:
    root = repository(tmp_path, MARKS.format(auc="0.99"), {"a": {"auc": value, "grades": 0.834}})
    line = f"models/net/card.md: nets, a>auc: 0.99 is written, {measured} was measured"
    expected = [] if measured == "0.99" else [line]
    assert differences(root) == expected
    assert write_figures(root) == expected
    assert (root / "models/net/card.md").read_text(encoding="utf-8") == MARKS.format(auc=measured)


def test_a_list_of_seeds_is_printed_as_its_mean_with_the_deviation_that_the_page_has(tmp_path: Path) -> None:
    results = {"long": {"OA, %": [60.0, 66.0, 72.0]}, "steps": 1234.4, "gain": -0.25}
    root = repository(tmp_path, SEEDS.format(oa="1.0 ± 0.0", steps="1,000", gain="0.10"), results)
    write_figures(root)
    text = (root / "models/net/card.md").read_text(encoding="utf-8")
    assert text == SEEDS.format(oa="66.0 ± 6.0", steps="1,234", gain="−0.25")
    assert write_figures(root) == []


def test_results_that_are_handed_over_leave_out_the_figures_of_other_scripts(tmp_path: Path) -> None:
    root = repository(tmp_path, MARKS.format(auc="0.99"), {})
    assert [figure.measured for _, figure in figures(root, {"others": {}})] == []
    assert differences(root, {"nets": {"a": {"auc": 0.5}}}) == [
        "models/net/card.md: nets, a>auc: 0.99 is written, 0.50 was measured"
    ]


def test_figures_of_all_pages_are_those_of_the_stored_results() -> None:
    marked = list(figures())
    assert [str(figure) for _, figure in marked if figure.measured is None] == []
    assert differences() == []
    assert Counter(figure.script for _, figure in marked)["real_places"] > 20
    for script in {figure.script for _, figure in marked}:
        assert (ROOT / "experiments" / f"{script}.py").is_file()
        assert printed_figures.read_results(ROOT, script).get("smoke") is not True


def test_every_opened_mark_is_read() -> None:
    for page in printed_figures.pages():
        text = page.read_text(encoding="utf-8")
        assert text.count("<!---->") == len(printed_figures.MARK.findall(text)), page


METRIC = re.compile(r"\b(OA|F1|IoU|AUC|AP|RMSE|MAE|kappa|recall|precision|correlation)\b|R²|κ|accuracy")
RESULT = re.compile(
    r"(?<![\w.–-])(?<!published )\d+\.\d+( ± \d+\.\d+)?(?!\d| ±|\\\*)(?! ?(MB|GB|m|px|s|cm|ha|million)\b)"
)
EXEMPT = {"docs/explanation/words.md", "docs/howto/verbs/layers.md"}  # examples and settings of methods


def unnamed_results(block: str, head: str = "") -> list[str]:
    """Figures of a block of text that look like results, have no mark, and no star.

    head : the block before, which a table belongs to
    """
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", " ", printed_figures.MARK.sub(" ", block))
    of_table = block.startswith("|") and METRIC.search(head + block)

    def is_result(match: re.Match[str]) -> bool:
        before = re.split(r"(?<!\d)\.\s", text[max(0, match.start() - 40) : match.start()])[-1]
        return bool(match[1] or of_table or METRIC.search(before))

    return [match[0] for match in RESULT.finditer(text) if is_result(match)]


PAGES_OF_RESULTS = [
    page
    for page in printed_figures.pages()
    if page.name == "card.md" or page.relative_to(ROOT).parts[:2] in (("docs", "howto"), ("docs", "explanation"))
]


def test_a_result_without_a_mark_is_seen() -> None:
    assert unnamed_results("**Measured**: OA 61.2 % with pixels of 0.5 m.") == ["61.2"]
    assert unnamed_results("| a | 61.2 |", "Overall accuracy:") == ["61.2"]
    assert unnamed_results("OA <!--nets: a>auc-->61.2<!----> %, F1 61.2\\* %, tiles of 0.5 m") == []


@pytest.mark.parametrize("page", PAGES_OF_RESULTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_results_name_their_file_or_the_page_says_that_none_was_kept(page: Path) -> None:
    if page.relative_to(ROOT).as_posix() in EXEMPT:
        return
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
    blocks = [block.strip() for block in text.split("\n\n")]
    for head, block, after in zip(["", *blocks], blocks, [*blocks[1:], ""], strict=False):
        around = head + block + after if block.startswith("|") else block
        said = "not kept as" in around and "Figures with" not in around
        if not said and not block.startswith(("Published", "**Published", "*Published")):
            assert unnamed_results(block, head) == [], block
        assert "Figures with" not in block or "\\*" in (head + block).replace("Figures with \\*", "")
