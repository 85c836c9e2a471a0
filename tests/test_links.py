"""Links between the project's own pages lead to files and headings that exist; nothing is fetched."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<!\\)\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|^\[[^\]^]+\]:\s+(\S+)", re.MULTILINE)
ANCHOR = re.compile(r"(?:id|name)=\"([^\"]+)\"|\{#([\w-]+)[^}]*\}")


def pages() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return [ROOT / name for name in listed.splitlines()] or sorted((ROOT / "docs").rglob("*.md"))


@cache
def text_of(path: Path) -> str:
    """Return a page without its code."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", re.sub(r"(?ms)^ *(```|~~~).*?^ *\1", "", text))


@cache
def anchors(path: Path) -> frozenset[str]:
    """Return the anchors that the site and code hosts make of a page's headings."""
    text = re.sub(r"(?ms)^(```|~~~).*?^\1", "", path.read_text(encoding="utf-8"))
    titles = re.findall(r"(?m)^#+ +(.+?) *#*$", text)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", title).strip().lower() for title in titles]
    bare = [re.sub(r"[^\w\s-]", "", title) for title in plain]
    own = {word for pair in ANCHOR.findall(text) for word in pair if word}
    return frozenset(
        own | {re.sub(r"[-\s]+", "-", title) for title in bare} | {title.replace(" ", "-") for title in bare}
    )


def broken(page: Path) -> list[str]:
    wrong = []
    for link in ("".join(pair) for pair in LINK.findall(text_of(page))):
        if re.match(r"[a-z][a-z0-9+.-]+:", link, re.IGNORECASE) or link.startswith("ADDRESS"):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    assert broken(page) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# A title: `with` signs\n", encoding="utf-8")
    page.write_text(
        "[a](other.md) [b](other.md#a-title-with-signs) [c](gone.md) [d](other.md#gone) `[e](code.md)`\n[f]: no.png\n",
        encoding="utf-8",
    )
    assert broken(page) == ["gone.md", "other.md#gone", "no.png"]
