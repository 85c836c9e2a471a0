"""How a verb ended, in words, and what it said; no process is started."""

from __future__ import annotations

import io
from typing import Any

import pytest

from deepnets4eo.assistant import verb


@pytest.mark.parametrize(
    ("status", "end"),
    [
        (0, "done"),
        (1, "failed"),
        (2, "refused: the input is wrong"),
        (3, "done, but the map is not to be used as it is"),
        (4, "failed"),
        (-9, "failed"),
    ],
)
def test_the_end_of_a_verb_follows_from_its_status(status: int, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    class Process:
        returncode = status

        def __init__(self, command: list[str], **_: Any) -> None:
            started.append(command[1:])
            self.stdout = io.StringIO(" map/report.html\n")
            self.stderr = io.StringIO("reading …\n\n 100 % \nError: no image\n")

        def __enter__(self) -> Process:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def wait(self) -> int:
            return status

    monkeypatch.setattr(verb.subprocess, "Popen", Process)
    assert verb.run_verb("damage", "pre.tif") == {
        "end": end, "output": "map/report.html", "messages": ["reading …", " 100 %", "Error: no image"],
    }  # fmt: skip
    assert started == [["-m", "deepnets4eo.assistant.verb", "damage", "pre.tif"]]
