"""The documentation builds without a broken link or a public name without a docstring, works offline, and has every verb."""

import base64
import importlib.util
import json
import os
import re
import subprocess
import sys
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from deepnets4eo.cards import ShippedModel
from deepnets4eo.cli.main import VERBS
from deepnets4eo.training import load_recipe

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
    quick = {"DEEPNETS4EO_NOTEBOOKS": "false", "DEEPNETS4EO_SIGNATURES": "false"}
    environment = os.environ | quick | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--no-strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    # --quiet would hide broken links from --strict; what griffe says of inherited parameters breaks nothing
    said = [line for line in built.stderr.splitlines() if line.startswith("WARNING")]
    assert [line for line in said if "griffe:" not in line and "mkdocs_autorefs:" not in line] == []
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


@pytest.mark.parametrize(
    "page", [*(DOCS / "howto").glob("*.md"), *(DOCS / "howto" / "data").glob("*.md")], ids=lambda page: page.stem
)
def test_a_how_to_says_first_who_it_is_for_and_what_comes_out(page: Path) -> None:
    title, first, *_ = page.read_text(encoding="utf-8").split("\n\n")
    assert title.startswith("# ")
    assert re.fullmatch(r"For [^:]+: [^\n]+\.", first)
    assert len(first.split()) <= 35


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert len(pages) > 20
    assert [page for page in pages if f": {page}" not in navigation] == []


def test_the_names_of_ours_in_the_table_for_users_of_other_libraries_exist() -> None:
    page = (DOCS / "howto" / "coming_from.md").read_text(encoding="utf-8")
    names = [name for row in re.findall(r"^\|.*\|(.*)\|$", page, re.M) for name in re.findall(r"`([^`]+)`", row)]
    dotted = [name for name in names if re.fullmatch(r"deepnets4eo(\.\w+)+", name)]
    assert len(dotted) > 10
    for name in dotted:
        module, _, last = name.rpartition(".")
        assert hasattr(import_module(module), last), name
    recipes_named = [name for name in names if re.fullmatch(r"[a-z]+/[\w-]+", name)]
    assert len(recipes_named) >= 10
    assert set(recipes_named) <= set(ShippedModel.names())
    for verb in (name.split()[1] for name in names if name.startswith("deepnets4eo ")):
        assert verb in VERBS
    values = [name for name in names if re.match(r"(data|model|train)\.\w+=", name) and "superpixels" not in name]
    assert len(values) > 10
    for value in values:
        load_recipe("hyperspectral/hamida" if "patch_px" in value else "unet-resnet34", overrides=[value])


def test_the_names_of_ours_in_all_pages_exist() -> None:
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *DOCS.rglob("*.md")))
    names = set(re.findall(r"`(deepnets4eo(?:\.[a-z_]+)+\.\w+)`", pages))
    assert len(names) > 8
    missing = []
    for name in sorted(names):
        module, _, last = name.rpartition(".")
        if not hasattr(import_module(module), last):
            missing.append(name)
    assert missing == []


PAGES = [ROOT / "README.md", *DOCS.rglob("*.md"), *(ROOT / "models").rglob("card.md")]


def test_experiments_on_all_pages_exist_with_their_options() -> None:
    """An option stands in the script, or in one of those that it imports."""
    lines = {
        line
        for page in PAGES
        for line in re.findall(r"python (experiments/[^`\n#]+)", page.read_text(encoding="utf-8"))
    }
    assert len(lines) > 20
    missing = []
    for line in sorted(lines):
        script, *words = line.split()
        text = (ROOT / script).read_text(encoding="utf-8")
        modules = [ROOT / "experiments" / f"{name}.py" for name in re.findall(r"(?m)^from (\w+) import", text)]
        text += "".join(path.read_text(encoding="utf-8") for path in modules if path.is_file())
        missing += [f"{script} {word}" for word in words if word.startswith("--") and f'"{word}"' not in text]
    assert missing == []


def test_extras_on_all_pages_exist() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    names = {name for page in PAGES for found in re.findall(r"deepnets4eo\[([\w,]+)\]", page.read_text(encoding="utf-8")) for name in found.split(",")}  # fmt: skip
    index = (DOCS / "index.md").read_text(encoding="utf-8").partition("Single extras: ")[2].partition("Where a part")[0]
    names |= set(re.findall(r"`(\w+)` \(", index))
    assert {"deep", "dask", "h3"} <= names <= set(setup["options.extras_require"])


GALLERY = sorted((DOCS / "gallery").glob("*.ipynb"))


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_notebooks_of_the_gallery_are_short_small_and_run(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    cells = json.loads(text)["cells"]
    pictures = re.findall(r'"image/jpeg": "([^"]+?)(?:\\n)?"', text)
    assert len(cells) <= 12
    assert len(text) < 300_000
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code")
    assert not re.search(r"/(work|tmp|home|root)/", re.sub(r'"image/jpeg": "[^"]+"', "", text))
    figure = DOCS / "images" / "gallery" / f"{path.stem}.jpg"
    assert base64.b64decode(pictures[-1]) == figure.read_bytes()
    assert all(
        f"{name}" in (DOCS / "gallery" / "index.md").read_text(encoding="utf-8") for name in (path.name, figure.name)
    )
