"""Writes the recipe for conda-forge beside a source archive: conda/recipe.yaml with its address on PyPI, its SHA-256 and maintainers.

Usage: python scripts/conda_recipe.py dist/deepnets4eo-VERSION.tar.gz GITHUB_NAME [GITHUB_NAME …], when the archive is on PyPI.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

RECIPE = Path(__file__).resolve().parents[1] / "conda" / "recipe.yaml"
LOCAL = "source: {path: .., use_gitignore: true}\n"
RELEASED = """source:
  url: https://pypi.org/packages/source/d/deepnets4eo/deepnets4eo-${{{{ version }}}}.tar.gz
  sha256: {sha256}
"""
NOBODY = re.compile(r"recipe-maintainers: \[\]\}.*")
GITHUB_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9]|-(?=[A-Za-z0-9])){0,38}")


def main(archive: Path, *maintainers: str) -> Path:
    """Write recipe.yaml and return its path; SystemExit names what is wrong with the words of the command line."""
    if not maintainers or not all(map(GITHUB_NAME.fullmatch, maintainers)):
        raise SystemExit(
            "Name at least one maintainer, each by the name on GitHub: conda-forge asks them about new versions."
        )
    if f'version: "{archive.name.removeprefix("deepnets4eo-").removesuffix(".tar.gz")}"' not in RECIPE.read_text(
        "utf-8"
    ):
        raise SystemExit(f"{archive.name} is not the source of the version in {RECIPE.name}. Build it by make dist.")
    text = RECIPE.read_text(encoding="utf-8")
    assert LOCAL in text
    text = text.replace(LOCAL, RELEASED.format(sha256=hashlib.sha256(archive.read_bytes()).hexdigest()))
    text, number = NOBODY.subn(f"recipe-maintainers: [{', '.join(maintainers)}]}}", text)
    assert number == 1
    out = archive.with_name("recipe.yaml")
    out.write_text(text, encoding="utf-8")
    return out


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), *sys.argv[2:]))
