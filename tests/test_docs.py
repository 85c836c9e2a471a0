"""The documentation builds without a broken link or a public name without a docstring, works offline, and has every verb."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deepnets4eo.cli.main import VERBS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"

# scripts, styles, pictures and frames that a page loads from the network
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)[^>]+src=\"(?:https?:)?//[^\"]+|<link[^>]+stylesheet[^>]+href=\"(?:https?:)?//[^\"]+"
)

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
    pages = {path.relative_to(tmp_path / "site").as_posix(): path for path in (tmp_path / "site").rglob("*.html")}
    texts = {name: path.read_text(encoding="utf-8") for name, path in pages.items()}
    assert "ConfusionMatrix" in texts["reference/metrics.html"]
    assert "damaged_share" in texts["howto/verbs/damage.html"]
    loaded = {name: FETCHED.findall(text) for name, text in texts.items()}
    assert {name: addresses for name, addresses in loaded.items() if addresses} == {}
    assert "assets/iframe-worker.js" in texts["index.html"]


def test_the_site_works_from_its_folder() -> None:
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
