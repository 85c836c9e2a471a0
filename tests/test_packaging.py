"""The wheel holds what the checkout holds."""

import configparser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_every_package_folder_is_listed() -> None:
    listed = set(_setup()["options"]["packages"].split())
    folders = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "deepnets4eo").rglob("__init__.py")}
    cards = {"deepnets4eo.models", "deepnets4eo.datasets"}
    assert listed == folders | cards


def test_every_verb_has_its_file() -> None:
    from deepnets4eo.cli.main import VERBS

    files = {path.stem.replace("_", "-") for path in (ROOT / "deepnets4eo" / "cli").glob("*.py")}
    assert set(VERBS) <= files


def test_the_version_is_said_once() -> None:
    from deepnets4eo.version import __version__

    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
