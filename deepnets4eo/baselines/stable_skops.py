"""skops files without times and addresses: the same estimator has the same bytes, in any process.

Takes a file that skops wrote; its object numbers (addresses in memory) become 1, 2, …, its times those of ZIP's epoch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

SCHEMA = "schema.json"
OBJECT, FILE = "__id__", "file"  # keys of the schema: the number of an object, the file with its values


def make_stable(path: Path) -> None:
    """Write the file anew, in place. Memory: one of its arrays."""
    aside = path.with_name(f"{path.name}.stable")
    try:
        with ZipFile(path) as source, ZipFile(aside, "w") as target:
            schema = json.loads(source.read(SCHEMA))
            numbers: dict[int, int] = {}
            files: dict[str, str] = {}
            _renumber(schema, numbers, files)
            for name, new in files.items():
                target.writestr(ZipInfo(new), source.read(name))
            target.writestr(ZipInfo(SCHEMA), json.dumps(schema))
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _renumber(node: Any, numbers: dict[int, int], files: dict[str, str]) -> None:
    """Number objects in their order in the schema; files likewise, by their old names."""
    if isinstance(node, list):
        for item in node:
            _renumber(item, numbers, files)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == OBJECT and isinstance(value, int):
                node[key] = numbers.setdefault(value, len(numbers) + 1)
            elif key == FILE and isinstance(value, str):
                node[key] = files.setdefault(value, f"{len(files) + 1}{Path(value).suffix}")
            else:
                _renumber(value, numbers, files)
