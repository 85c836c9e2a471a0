"""The queue of figures: every script of the lineage has a stage, a stage that is stopped goes on, and each result names its commit."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import figures
import pytest
import yaml
from refusals import raises_naming

from deepnets4eo.errors import InputError

SCRIPT = """
import json, sys, time
from pathlib import Path
out = Path(sys.argv[-1].removeprefix("--out="))
rows = json.loads((out / "results.json").read_text())["rows"] if (out / "results.json").exists() else []
for number in range(len(rows), 3):
    rows.append(number)
    (out / "results.json").write_text(json.dumps({"smoke": False, "rows": rows, "words": sys.argv[1]}))
    time.sleep(0 if (out / "quick").exists() else 60)
"""


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> figures.Stage:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "three_rows.py").write_text(SCRIPT, encoding="utf-8")
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    monkeypatch.setattr(figures, "STORED", tmp_path)
    monkeypatch.setattr(figures, "POLL_S", 0.02)
    return figures.Stage("rows", "three_rows.py", 0.1, "'{data}/a b'")


def test_a_stage_that_is_stopped_stores_what_it_has_and_goes_on(stage: figures.Stage, tmp_path: Path) -> None:
    out, stored = tmp_path / "out", tmp_path / "three_rows.json"
    assert stage.state(out) == "open"
    assert not figures.run_stage(stage, Path("data"), out, "1" * 40, 1.0)
    assert json.loads(stored.read_text())["rows"] == [0]
    assert stage.state(out).startswith("stopped at 11111111 after 0.0 h, stored of 11111111")
    (out / "rows" / "quick").touch()
    assert figures.run_stage(stage, Path("data"), out, "2" * 40, 60.0)
    results = json.loads(stored.read_text())
    assert results == {"smoke": False, "rows": [0, 1, 2], "words": "data/a b", "commits": {"rows": "2" * 40}}
    assert stage.state(out).startswith("finished at 22222222")
    assert figures.run_stage(stage, Path("data"), out, "3" * 40, 60.0)
    assert json.loads(stored.read_text())["commits"] == {"rows": "2" * 40}, (
        "results that are as before keep their commit"
    )


def test_a_queue_that_is_interrupted_stores_what_its_stage_has(
    stage: figures.Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(process: subprocess.Popen[bytes], seconds: float) -> None:
        results = tmp_path / "out" / "rows" / "results.json"
        while not (results.exists() and results.read_bytes()):  # created, and then written
            time.sleep(0.02)
        raise KeyboardInterrupt

    monkeypatch.setattr(figures, "_wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        figures.run_stage(stage, Path("data"), tmp_path / "out", "1" * 40, 60.0)
    assert json.loads((tmp_path / "three_rows.json").read_text())["commits"] == {"rows": "1" * 40}
    assert stage.state(tmp_path / "out").startswith("stopped at 11111111")


def test_results_of_earlier_stages_are_there_for_a_stage_that_adds_to_them(
    stage: figures.Stage, tmp_path: Path
) -> None:
    (tmp_path / "three_rows.json").write_text(json.dumps({"rows": [7, 8], "commits": {"earlier": "0" * 40}}))
    (tmp_path / "out" / "shared").mkdir(parents=True)
    (tmp_path / "out" / "shared" / "quick").touch()
    adding = figures.Stage("rows", "three_rows.py", 0.1, "words", adds=True, folder="shared")
    assert adding.state(tmp_path / "out") == "open", "another stage's folder is no beginning of this one"
    assert figures.run_stage(adding, Path("data"), tmp_path / "out", "1" * 40, 60.0)
    results = json.loads((tmp_path / "three_rows.json").read_text())
    assert results["rows"] == [7, 8, 2]
    assert results["commits"] == {"earlier": "0" * 40, "rows": "1" * 40}


def test_a_failure_is_named(stage: figures.Stage, tmp_path: Path) -> None:
    (tmp_path / "experiments" / "three_rows.py").write_text("raise SystemExit(3)", encoding="utf-8")
    started = time.monotonic()
    assert not figures.run_stage(stage, Path("data"), tmp_path / "out", "1" * 40, 60.0)
    assert time.monotonic() - started < 30
    assert stage.state(tmp_path / "out").startswith("failed (3), see log.txt at 11111111")
    assert not (tmp_path / "three_rows.json").exists()


def test_every_row_of_the_lineage_with_a_figure_has_a_stage(tmp_path: Path) -> None:
    lineage = yaml.safe_load(figures.LINEAGE.read_text(encoding="utf-8"))
    systems = [one for family in lineage["families"] for one in family["systems"]]
    scripts = {stage.script for stage in figures.stages()}
    assert {one["script"] for one in systems if one["kind"] != "by path"} <= scripts
    assert all((figures.ROOT / "experiments" / script).is_file() for script in scripts)
    listed = figures.table(tmp_path)
    assert all(f"| {one['system']} |" in listed for one in systems)
    names = [stage.name for stage in figures.stages()]
    assert len(set(names)) == len(names)
    assert [stage.name for stage in figures.choose([names[5], names[2]])] == [names[2], names[5]]
    with raises_naming(InputError, "nothing-like-it"):
        figures.choose(["nothing-like-it"])


def test_a_checkout_that_differs_from_its_commit_makes_no_figures(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)

    (tmp_path / "experiments" / "results").mkdir(parents=True)
    for name in ("code.py", "experiments/results/a.json"):
        (tmp_path / name).write_text("1", encoding="utf-8")
    git("init", "-q")
    git("add", "-A")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a")
    (tmp_path / "experiments" / "results" / "a.json").write_text("2", encoding="utf-8")
    assert len(figures.commit_of(tmp_path)) == 40
    (tmp_path / "code.py").write_text("2", encoding="utf-8")
    with raises_naming(InputError, "code.py"):
        figures.commit_of(tmp_path)


def options_of(script: Path) -> set[str]:
    """Options that a script, or a module of experiments/ that the script imports, adds to its parser."""
    text = script.read_text(encoding="utf-8")
    modules = re.findall(r"^from (\w+) import", text, re.MULTILINE)
    sources = [
        text,
        *(one.read_text(encoding="utf-8") for name in modules if (one := script.with_name(f"{name}.py")).is_file()),
    ]
    return {name for source in sources for name in re.findall(r"""add_argument\(\s*"(--[\w-]+)""", source)}


@pytest.mark.parametrize("stage", figures.stages(), ids=lambda one: one.name)
def test_the_script_of_a_stage_has_its_options(stage: figures.Stage) -> None:
    """An option that the script lacks would only be met after the hours of the stages before it."""
    words = {word for word in shlex.split(stage.words) if word.startswith("--")}
    assert words <= options_of(figures.ROOT / "experiments" / stage.script)


CHOICES = re.compile(r"--(ways|parts|methods|rows|sites|tiles|networks|encoder-weights)\b")


@pytest.mark.beyond_core
@pytest.mark.parametrize(
    "stage", [one for one in figures.stages() if CHOICES.search(one.words)], ids=lambda one: one.name
)
def test_the_script_of_a_stage_knows_what_the_stage_chooses(stage: figures.Stage) -> None:
    """A choice that the script lacks would only be met after the hours of the stages before it; --help stops behind the words."""
    words = [word.format(data="data", repo=figures.ROOT) for word in shlex.split(stage.words)]
    command = [sys.executable, str(figures.ROOT / "experiments" / stage.script), *words, "--out", "out", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=figures.ROOT / "experiments", check=False)
    assert (done.returncode, done.stderr.rpartition("error:")[2]) == (0, "")
