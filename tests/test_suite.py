"""The levels of the suite: what is core, what the core suite takes, and which tests a change reaches."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import suite
from suite import MAX_SUITE_S, Costs, file_of

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import changed_tests as changes  # noqa: E402


def test_the_core_suite_takes_at_most_six_minutes_of_processor_time(request: pytest.FixtureRequest) -> None:
    level = suite.Suite()
    items = [item for item in request.session.items if level.is_core(item)]
    files = {file_of(item.nodeid) for item in items}
    if len(files) < 400:
        pytest.skip("only a part of the suite was collected")
    costs = level.stored
    shared = {key for item in items for key in costs.fixtures_of(item.nodeid, list(getattr(item, "fixturenames", ())))}
    seconds = sum(costs.tests.get(item.nodeid, 0.0) for item in items)
    seconds += sum(costs.shared[key] for key in shared) + sum(
        costs.short[file] for file in files if file in costs.short
    )
    assert seconds <= MAX_SUITE_S, f"the core suite takes {seconds:.0f} s"


def test_costs_are_read_as_they_were_written_and_short_tests_are_summed_up(tmp_path: Path) -> None:
    costs = Costs(
        {"a.py::long": 1.5, "a.py::short": 0.01, "a.py::other": 0.02}, {("a.py", "job"): 2.0, ("a.py", "x"): 0.0}
    )
    costs.write(tmp_path / "costs.tsv")
    found = Costs.read(tmp_path / "costs.tsv")
    assert found.tests == {"a.py::long": 1.5}
    assert found.shared == {("a.py", "job"): 2.0}
    assert found.short == {"a.py": pytest.approx(0.03)}
    assert found.of("a.py::long", ["job", "tmp_path"]) == 3.5
    assert found.of("a.py::unknown", ["tmp_path"]) == 0.0


PROJECT = {
    "setup.cfg": "[options.entry_points]\ndeepnets4eo.networks =\n    wide-net = deepnets4eo.nets:WideNet\n",
    "deepnets4eo/__init__.py": "",
    "deepnets4eo/face/__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from deepnets4eo.face.inner import measure\n",
    "deepnets4eo/plain/__init__.py": "from deepnets4eo.face.inner import measure\n__all__ = ['measure']\n",
    "deepnets4eo/face/inner.py": "def measure(image):\n    return Meter().read(image)\nclass Meter:\n    def read(self, image):\n        return _sum(image)\n    def write(self):\n        return _unused()\ndef _sum(image):\n    return 1\ndef _unused():\n    return 2\n",
    "deepnets4eo/nets.py": "class WideNet:\n    def __init__(self):\n        self.width = 3\n",
    "deepnets4eo/plugins.py": "def load(name):\n    return all_of('networks')[name]\ndef all_of(group):\n    return {}\n",
    "deepnets4eo/page.py": "def page():\n    return 'page.js'\n",
    "deepnets4eo/cli/main.py": "def main(words):\n    return words\n",
    "deepnets4eo/cli/map.py": "from deepnets4eo.page import page\ndef map():\n    return page()\n",
    "deepnets4eo/assets/page.js": "let a = 1;\n",
    "tests/conftest.py": "import pytest\nfrom deepnets4eo.nets import WideNet\n@pytest.fixture\ndef net():\n    return WideNet()\n",
    "tests/test_face.py": "from deepnets4eo.face import measure\ndef test_it():\n    assert measure(0) == 1\n",
    "tests/test_plain.py": "from deepnets4eo.plain import measure\ndef test_it():\n    assert measure(0) == 1\n",
    "tests/test_net.py": "def test_it(net):\n    assert net.width == 3\n",
    "tests/test_plugin.py": "from deepnets4eo.plugins import load\ndef test_it():\n    load('wide-net')\n",
    "tests/test_verb.py": "from deepnets4eo.cli.main import main\ndef test_it():\n    main(['map'])\n",
    "tests/test_code.py": "import subprocess\ndef test_it():\n    subprocess.run(['python', '-c', 'from deepnets4eo.page import page; page()'])\n",
    "tests/test_nothing.py": "def test_it():\n    assert True\n",
}  # fmt: skip


def chosen(path: str, old: str, new: str) -> list[str]:
    """Return the tests that a change of the small project reaches, by the names of their files."""
    assert old in PROJECT[path]
    now = PROJECT | {path: PROJECT[path].replace(old, new)}
    return [Path(test).stem.removeprefix("test_") for test in changes.changed_tests(now, PROJECT)]


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        ("deepnets4eo/face/inner.py", "return 1", "return 3", ["face", "plain"]),  # through a face, a class and a method
        ("deepnets4eo/face/inner.py", "return 2", "return 3", []),  # of a method that no test mentions
        ("deepnets4eo/face/inner.py", "return 1", "return 1  # why", []),
        ("deepnets4eo/nets.py", "= 3", "= 4", ["net", "plugin"]),  # by a fixture, and by the name of a plugin
        ("deepnets4eo/page.py", "page.js", "page2.js", ["code", "verb"]),  # by code in a text, and by a verb
        ("deepnets4eo/assets/page.js", "1", "2", ["code", "verb"]),
        ("tests/conftest.py", "return WideNet()", "return WideNet(  ) or 1", ["net"]),
        ("tests/test_nothing.py", "True", "not False", ["nothing"]),
    ],
)  # fmt: skip
def test_a_change_reaches_the_tests_whose_code_leads_to_it(
    path: str, old: str, new: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "CACHE", None)
    assert chosen(path, old, new) == expected


def test_a_definition_that_is_gone_reaches_its_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "CACHE", None)
    assert chosen("deepnets4eo/face/inner.py", "def _sum", "def _total") == ["face", "plain"]
