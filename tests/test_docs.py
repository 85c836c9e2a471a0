"""The documentation builds without a broken link or a public name without a docstring, and names every verb."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deepnets4eo.cli.main import VERBS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"

needs_mkdocs = pytest.mark.skipif(
    importlib.util.find_spec("material") is None or importlib.util.find_spec("mkdocstrings") is None,
    reason="mkdocs-material and mkdocstrings are not installed (extra dev)",
)


@needs_mkdocs
def test_the_site_builds_strictly(tmp_path: Path) -> None:
    environment = os.environ | {"DEEPNETS4EO_NOTEBOOKS": "false", "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    reference = (tmp_path / "site" / "reference" / "metrics.html").read_text(encoding="utf-8")
    assert "ConfusionMatrix" in reference
    assert "--damaged-share" in (tmp_path / "site" / "howto" / "verbs" / "damage.html").read_text(encoding="utf-8")


@needs_mkdocs
def test_the_site_asks_nothing_of_the_network(tmp_path: Path) -> None:
    config = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    assert config["theme"]["font"] == "false"
    assert config["use_directory_urls"] == "false"


def test_every_verb_has_a_page() -> None:
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "howto" / "verbs").glob("*.md"))
    missing = [verb for verb in VERBS if f"{{{{ help {verb} }}}}" not in pages]
    assert missing == []


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert len(pages) > 20
    assert [page for page in pages if f": {page}" not in navigation] == []
