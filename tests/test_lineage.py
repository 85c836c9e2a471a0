"""The lineage is whole: every published row has a script, every recipe builds, every script answers, every figure says what makes it."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from source_trees import ROOT

from deepnets4eo.cards import CardKind, DatasetCard, ShippedModel
from deepnets4eo.segmenters import list_models
from deepnets4eo.segmenters.networks import list_heads
from deepnets4eo.training import load_recipe

sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(ROOT / "experiments"))
import lineage_page
import printed_figures
import smoke_times

pytestmark = pytest.mark.core("a rule on sources, for every change")

EXPERIMENTS = ROOT / "experiments"
LINEAGE = lineage_page.read_lineage()
SYSTEMS = [system for family in LINEAGE["families"] for system in family["systems"]]
NAMED_RECIPES = sorted({name for system in SYSTEMS for name in system.get("recipes", ())})
OF_FIGURES = {one["script"] for one in LINEAGE["figures"]}
SCRIPTS = sorted({system["script"] for system in SYSTEMS} | {one for one in OF_FIGURES if "/" not in one})
WITH_SMOKE = [
    name for name in SCRIPTS if "add_smoke(" in (text := (EXPERIMENTS / name).read_text(encoding="utf-8")) or "contest_options(" in text
]  # fmt: skip
MIN_SYSTEMS, MIN_ROWS = 54, 80
MIN_REAL, MAX_UNRECORDED = 50, 0
MAX_UNRECORDED_FIGURES = 14  # rows and tables of the README and of the methods


def test_no_system_has_left_and_none_is_named_twice() -> None:
    names = [system["system"] for system in SYSTEMS]
    assert len(names) >= MIN_SYSTEMS
    assert len(set(names)) == len(names)
    for system in SYSTEMS:
        assert {"source", "script", "page", "ours", "kind"} <= system.keys(), system["system"]
        assert system["kind"] in lineage_page.KINDS, system["system"]
        assert lineage_page.published_cell(system), f"{system['system']} says nothing of what is published"
        assert (ROOT / "docs" / system["page"]).is_file(), system["page"]


def test_no_row_is_empty_and_those_by_path_say_so() -> None:
    for system in SYSTEMS:
        by_path = system["kind"] == "by path"
        assert system["ours"].startswith("by path: ") == by_path, system["system"]
        if not by_path:
            assert "seeds" in system, f"{system['system']} does not state its number of seeds"
            recorded = bool(lineage_page.FIGURE.search(system["ours"]))
            assert recorded == system.get("recorded", True), f"{system['system']}: figures of ours without results"


def test_every_figure_is_found_in_the_results_of_its_script() -> None:
    checked = 0
    for system in SYSTEMS:
        for path, _ in lineage_page.FIGURE.findall(system["ours"]):
            results = lineage_page.results_of(system)
            assert results["smoke"] is False, f"{system['script']}: results of --smoke"
            values = lineage_page.figure_values(results, path)
            counts = (1, system["seeds"], system.get("folds"), system.get("fewer_seeds"))  # the last as the row states
            assert len(values) in counts, f"{system['system']}: {path} is over {len(values)} seeds"
            checked += 1
        if "{" in system["ours"]:
            plain = lineage_page.FIGURE.sub("", system["ours"])
            assert not re.search(r"\d\.\d", plain), (
                f"{system['system']} has a figure that is not from the results: {plain}"
            )
    assert checked
    assert sum(not system.get("recorded", True) for system in SYSTEMS) <= MAX_UNRECORDED


def test_a_figure_that_the_results_lack_is_refused() -> None:
    results = {"places": {"ign": {"OA": [50.0, 52.0, 54.0], "seconds": 3}}}
    assert lineage_page.figure_values(results, "places>ign>OA") == [50, 52, 54]
    assert lineage_page.figure_values(results, "places>ign>seconds") == [3]
    with pytest.raises(KeyError, match="dubai"):
        lineage_page.figure_values(results, "places>dubai>OA")


WORSE = re.compile(r"learnt nothing|no better than", re.IGNORECASE)


def test_every_row_with_a_figure_names_the_answer_without_training() -> None:
    for system in SYSTEMS:
        if system["kind"] == "by path":
            continue
        zero = system["zero"]
        if isinstance(zero, str):
            assert zero == "nothing is learnt", system["system"]
            continue
        assert zero["beats"], system["system"]
        printed = {path for path, _ in lineage_page.FIGURE.findall(f"{system['ours']} {zero['what']}")}
        of_auc_and_the_like = {path for path in zero["beats"] if path not in printed}
        assert all(
            path.rpartition(">")[0] in {one.rpartition(">")[0] for one in printed} for path in of_auc_and_the_like
        ), f"{system['system']}: {of_auc_and_the_like} is printed nowhere in its row"


@pytest.mark.parametrize("entry", [one for one in [*SYSTEMS, *LINEAGE["figures"]] if isinstance(one.get("zero"), dict)],
                         ids=lambda one: one.get("system") or one.get("begins") or one.get("text"))  # fmt: skip
def test_a_row_that_does_not_beat_the_answer_without_training_says_so(entry: dict[str, Any]) -> None:
    """The comparison is computed here anew: mean over the seeds against the zero, and the spread between them."""
    results, sign = lineage_page.results_of(entry), -1 if entry["zero"].get("less") else 1
    worse = []
    for path, trivial in entry["zero"]["beats"].items():
        try:
            answer = float(trivial)
        except ValueError:
            script, found, rest = trivial.partition(".py:")
            others = json.loads((EXPERIMENTS / "results" / f"{script}.json").read_text("utf-8")) if found else results
            answer = float(np.mean(lineage_page.figure_values(others, rest if found else trivial)))
        for one in lineage_page.named_paths(results, path):
            values = np.array(lineage_page.figure_values(results, one))
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            worse += [one] if sign * (values.mean() - answer) <= spread else []
    if "system" in entry:
        cell = lineage_page.ours_cell(entry)
    else:
        cell = block_of((ROOT / entry["page"]).read_text(encoding="utf-8"), entry.get("begins", entry.get("text")))
    assert bool(WORSE.search(cell)) or not worse, (
        f"{worse} beat no answer without training, and the row does not say so"
    )
    assert worse or not WORSE.search(cell), "the row beats its zero and says that it does not"


def test_a_figure_beats_its_zero_by_more_than_its_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    results = {"a": [50, 52, 54], "b": [0.4], "zero": {"a": 49, "b": 0.5}}
    monkeypatch.setattr(lineage_page, "results_of", lambda _: results)
    entry = {"script": "x.py", "ours": "OA {a}", "zero": {"what": "largest class {zero>a|0}", "beats": {"a": "zero>a"}}}
    assert lineage_page.no_better(entry) == []
    assert lineage_page.zero_cell(entry) == "largest class 49"
    results["zero"]["a"] = 50.5
    assert lineage_page.ours_cell(entry) == "OA 52.0 ± 2.0. **No better than without training**: 52.0 ± 2.0"
    entry["zero"] = {"what": "", "less": True, "beats": {"b": "zero>b", "a": "40"}}
    assert lineage_page.no_better(entry) == ["a"]


def test_a_star_in_a_path_stands_for_every_name() -> None:
    results = {"places": {"ign": {"forest": {"OA": 50}, "field": {"OA": 52}}, "dubai": {"forest": {"OA": 54}}}}
    assert lineage_page.named_paths(results, "places>ign>*>OA") == ["places>ign>forest>OA", "places>ign>field>OA"]
    assert len(lineage_page.named_paths(results, "places>*>*>OA")) == 3
    assert lineage_page.named_paths(results, "places>ign>forest>OA") == ["places>ign>forest>OA"]


def test_most_systems_ran_on_real_data_and_single_seeds_are_stated() -> None:
    kinds = [system["kind"] for system in SYSTEMS]
    assert sum(kind in ("real", "sample") for kind in kinds) >= MIN_REAL
    page = lineage_page.page(LINEAGE)
    rows = [row for row in page.split("\n") if row.startswith("| [")]
    of_one = [system for system in SYSTEMS if system.get("seeds") == 1]
    assert sum(row.endswith(", one seed |") for row in rows) == len(of_one)


def test_every_published_row_of_every_card_stands_once() -> None:
    named = [(card, name) for system in SYSTEMS for card, name, _ in lineage_page.published_rows(system)]
    published = {(card, name) for card in CardKind.DATASET.names for name in DatasetCard.load(card).published}
    assert len(published) >= MIN_ROWS
    assert set(named) == published
    assert len(named) == len(published)


@pytest.mark.parametrize("name", NAMED_RECIPES)
def test_every_recipe_of_the_lineage_builds(name: str) -> None:
    assert name in ShippedModel.names()
    recipe, task = load_recipe(name)
    assert isinstance(recipe, task.recipe)


def test_every_network_and_head_of_the_lineage_is_registered() -> None:
    networks = {one for system in SYSTEMS for one in system.get("networks", ())}
    heads = {one for system in SYSTEMS for one in system.get("heads", ())}
    assert networks <= set(list_models())
    assert heads <= set(list_heads())


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_of_the_lineage_says_how_it_is_called(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    script = importlib.import_module(name.removesuffix(".py"))
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code in (0, None)
    assert "usage" in capsys.readouterr().out


def test_every_figure_of_the_readme_and_of_the_methods_names_its_script() -> None:
    readme, methods = ((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/methods.md"))
    figures = readme.partition("## Is it any good?")[2].partition("\n## ")[0]
    heads = re.findall(r"^\| (.*) \|\n\|-", methods.partition("## Speed")[0], re.MULTILINE)
    rows = [rows_of(figures), heads + rows_of(methods.partition("## Speed")[2])]
    for page, of_page in zip(("README.md", "docs/methods.md"), rows, strict=True):
        begins = [one["begins"] for one in LINEAGE["figures"] if one["page"] == page and "begins" in one]
        assert len(begins) >= 6
        for row in of_page:
            assert sum(row.startswith(one) for one in begins) == 1, f"{page}: {row[:80]}"
        for one in begins:
            assert any(row.startswith(one) for row in of_page), f"{page} has no {one}"


def test_figures_of_the_pages_have_marks_of_their_script_or_are_named() -> None:
    """`tests/experiments/test_printed_figures.py` compares the marks with the results."""
    for one in LINEAGE["figures"]:
        block = block_of((ROOT / one["page"]).read_text(encoding="utf-8"), one.get("begins", one.get("text")))
        marks = {(mark["script"], mark["path"]) for mark in printed_figures.MARK.finditer(block)}
        script, where = one["script"].removesuffix(".py"), f"{one['page']}, {one.get('begins', one.get('text'))}"
        assert script in dict(marks) or not one.get("recorded", True), f"{where}: no figure of {script} is marked"
        results = lineage_page.results_of(one) if marks and "zero" in one else {}
        judged = {
            path for paths in one.get("zero", {}).get("beats", {}) for path in lineage_page.named_paths(results, paths)
        }
        assert not {(script, path) for path in judged} - marks, f"{where} is judged by figures that it does not mark"
    assert sum(not one.get("recorded", True) for one in LINEAGE["figures"]) <= MAX_UNRECORDED_FIGURES


def block_of(page: str, begins: str) -> str:
    """The paragraph or table of a page that a row of `figures` is about; of a table of such rows, only this row."""
    _, _, after = page.partition(begins)
    block = after.partition("\n\n")[0]
    of_table = block.partition("\n")[2].startswith("|-")
    return block if of_table or not block.count("|") else block.partition("\n")[0]


def rows_of(text: str) -> list[str]:
    """Rows of Markdown tables without their head, as they stand between the outer bars."""
    rows = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)
    return [row for row in rows if not row.startswith(("method |", "job |", "question |"))]


def test_figures_in_running_text_stand_there_and_every_script_exists() -> None:
    for one in LINEAGE["figures"]:
        if "text" in one:
            assert one["text"] in (ROOT / one["page"]).read_text(encoding="utf-8"), one["text"]
        path = ROOT / one["script"] if one["script"].startswith("tests/") else EXPERIMENTS / one["script"]
        assert path.is_file(), one["script"]


def test_the_page_is_made_from_the_table() -> None:
    written = lineage_page.PAGE.read_text(encoding="utf-8")
    assert written == lineage_page.page(LINEAGE), "run: python scripts/lineage_page.py"


def test_the_readme_says_what_this_test_proves() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "[Every published table has a script](docs/lineage.md)" in readme


@pytest.mark.real_data
@pytest.mark.nightly
@pytest.mark.parametrize("name", WITH_SMOKE)
def test_every_script_of_the_lineage_answers_to_smoke(name: str, tmp_path: Path, real_data: Path) -> None:
    if name not in lineage_page.smoked():
        pytest.skip("needs files that are no part of the samples")
    call = [sys.executable, *lineage_page.smoke_words(name, real_data, tmp_path)]
    done = subprocess.run(
        call, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]


def test_each_trial_was_timed_on_its_own_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first, *others = sorted(lineage_page.smoke_times())
    rest = {name: {"seconds": 120, "processor": "Usual"} for name in others}
    times = {first: {"seconds": 7, "processor": "Other"}, **rest}
    monkeypatch.setattr(lineage_page, "smoke_times", lambda: times)
    table = lineage_page.script_table(LINEAGE)
    assert "one thread (Usual)" in table
    assert f"`{first}`, trial: 7 s on Other\n" in table
    assert f"`{others[0]}`, trial: 2.0 min\n" in table

    monkeypatch.setattr(lineage_page, "SMOKE_TIMES", tmp_path / "seconds.json")
    monkeypatch.setattr(lineage_page, "smoke_times", lambda: {"a.py": {"seconds": 3, "processor": "Other"}})
    monkeypatch.setattr(smoke_times, "seconds_of", lambda *_: 4.4)
    monkeypatch.setattr(smoke_times, "processor", lambda: "This")
    assert smoke_times.main(tmp_path, "b.py") == 0
    stored = json.loads((tmp_path / "seconds.json").read_text(encoding="utf-8"))
    assert stored == {"a.py": {"seconds": 3, "processor": "Other"}, "b.py": {"seconds": 4, "processor": "This"}}
