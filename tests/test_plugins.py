"""Entry points of other packages that cannot be loaded: one line that names the entry point and who mends it, at every door."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from refusals import raises_naming

from deepnets4eo import plugins
from deepnets4eo.cli import main as command_line
from deepnets4eo.damage import Settings
from deepnets4eo.damage.evidences import further
from deepnets4eo.errors import InputError, MissingExtraError
from deepnets4eo.rasters import Layer, readers
from deepnets4eo.segmenters import run as runs

BROKEN = {
    "no_such_name": ("stranger", "", "no_such_name"),
    "no module": ("no_such_module", None, "no_such_module"),
    "syntax": ("stranger", "def broken(:", "SyntaxError"),
    "import": ("stranger", "from pathlib import NoSuchPath", "NoSuchPath"),
    "raises": ("stranger", "raise RuntimeError('out of its depth')", "out of its depth"),
}  # case → module, its text, what the line names besides


def entry_of(group: str, folder: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> EntryPoint:
    """An entry point under the name `odd` whose module is broken."""
    module, text, _ = BROKEN[case]
    if text is not None:
        (folder / f"{module}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, module, raising=False)
    return EntryPoint("odd", f"{module}:no_such_name", f"deepnets4eo.{group}")


@pytest.mark.parametrize("case", BROKEN)
def test_an_entry_point_that_cannot_be_loaded_is_named(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entry_of("segmenters", tmp_path, case, monkeypatch)
    with raises_naming(InputError, f"odd = {entry.value} of deepnets4eo.segmenters", BROKEN[case][2], "authors") as one:
        plugins.load_plugin(entry)
    assert "\n" not in str(one.value)


DOORS: dict[str, tuple[Any, Callable[[Path], Any]]] = {
    "segmenters": (runs, lambda file: runs.segmenter_kind("odd")),
    "evidences": (
        further,
        lambda file: further.open_further_evidences(
            SimpleNamespace(evidence_files={}, paths={}),  # type: ignore[arg-type]
            Settings(evidences="odd"),
        ),
    ),
    "readers": (readers, lambda file: Layer.open(file)),
}


@pytest.mark.parametrize("group", DOORS)
def test_every_door_names_it(group: plugins.Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, use = DOORS[group]
    own, entry = plugins.plugins_of(group), entry_of(group, tmp_path, "no_such_name", monkeypatch)
    monkeypatch.setattr(module, "plugins_of", lambda asked: own | {"odd": entry})
    file = tmp_path / "a.odd"
    file.write_text("x", encoding="utf-8")
    with raises_naming(InputError, f"odd = {entry.value} of deepnets4eo.{group}"):
        use(file)


def test_a_verb_that_cannot_be_loaded_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    entry = entry_of("verbs", tmp_path, "no_such_name", monkeypatch)
    monkeypatch.setattr(command_line, "plugins_of", lambda group: {"odd": entry})
    assert command_line.main(["odd", "image.tif"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: the entry point odd = stranger:no_such_name of deepnets4eo.verbs")
    assert command_line.main(["--help"]) == 0


def test_a_missing_extra_is_named_and_errors_of_the_toolbox_stay_raw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entry_of("heads", tmp_path, "no_such_name", monkeypatch)
    (tmp_path / "stranger.py").write_text("raise ModuleNotFoundError('no torch', name='torch')", encoding="utf-8")
    with raises_naming(MissingExtraError, "torch", "deepnets4eo[deep]"):
        plugins.load_plugin(entry)
    with pytest.raises(AttributeError):
        plugins.load_plugin(EntryPoint("own", "deepnets4eo.plugins:no_such_name", "deepnets4eo.heads"))


def test_the_line_that_a_segmenter_lacks_is_named() -> None:
    with raises_naming(InputError, "odd = MODULE:CLASS", "deepnets4eo.segmenters"):
        runs.segmenter_kind("odd")
