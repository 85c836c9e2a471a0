"""A package of others, installed on disk as pip leaves it: modules, their entry points, a version."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deepnets4eo import plugins
from deepnets4eo.jobs import blocks


def write_package(
    folder: Path, name: str, modules: Mapping[str, str], entries: Mapping[str, str], version: str = "1.0"
) -> None:
    """Write a package into a folder. modules : name → text; entries : group → line NAME = MODULE:OBJECT"""
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text, encoding="utf-8")
    for before in folder.glob(f"{name}-*.dist-info"):
        before.rename(folder / f"{name}-{version}.dist-info")
    facts = folder / f"{name}-{version}.dist-info"
    facts.mkdir(parents=True, exist_ok=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (facts / "top_level.txt").write_text("\n".join(modules), encoding="utf-8")
    lines = [f"[deepnets4eo.{group}]\n{line}\n" for group, line in entries.items()]
    (facts / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")


@contextmanager
def as_a_new_process(folder: Path) -> Iterator[None]:
    """What is installed in a folder counts, as for a process that starts now."""
    sys.path.insert(0, str(folder))
    _forget(folder)
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        _forget(folder)


def _forget(folder: Path) -> None:
    importlib.invalidate_caches()
    for module in folder.glob("*.py"):
        sys.modules.pop(module.stem, None)
    for cached in (plugins._all_installed, plugins._installed, plugins.foreign_versions, blocks.versions):
        cached.cache_clear()
