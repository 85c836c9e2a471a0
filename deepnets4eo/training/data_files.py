"""Whether the files that a training learns from are still those that it began with.

Takes a resolved recipe and the run folder; files count by size and time, like those of interrupted predictions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepnets4eo.errors import RunError
from deepnets4eo.files import read_json, write_json
from deepnets4eo.jobs.identity import file_identity
from deepnets4eo.training.epochs import CHECKPOINTS
from deepnets4eo.training.recipe import Recipe

FILES = "files.json"
BESIDE = (".aux.xml", ".ovr", ".qgz", ".qml", ".txt", ".md", ".log")  # what other programs write beside data
NAMED = 3


def note_data_files(recipe: Recipe, out: Path) -> None:
    """Write down the files of the section `data`, and those in its folders, where checkpoints are kept; files in the
    run folder do not count."""
    identities = {str(path): file_identity(str(path))[1:] for path in _files(recipe, out)}
    write_json(out / CHECKPOINTS / FILES, dict(sorted(identities.items())))


def check_data_files(out: Path) -> None:
    """Raise RunError, naming files of another size or time or that are gone, where a training would go on with other
    data."""
    note = out / CHECKPOINTS / FILES
    if not note.is_file():
        return
    changed = [path for path, state in read_json(note).items() if file_identity(path)[1:] != state]
    if changed:
        more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
        raise RunError(
            f"{', '.join(changed[:NAMED])}{more}: changed since the training in {out} began, so that its scores cannot be "
            f"compared. Train anew into another --out; where the contents are the same, delete {note} and resume."
        )


def paths_in(values: Any) -> list[str]:
    """Return all texts of a recipe or section that may be paths (data, legends, first weights), in order.

    >>> paths_in({"layers": {"image": "image.tif"}, "epochs": 3, "folders": ["a", "b"]})
    ['image.tif', 'a', 'b']
    """
    if isinstance(values, str):
        return [values]
    items = values.values() if isinstance(values, dict) else values if isinstance(values, (list, tuple)) else ()
    return [path for item in items for path in paths_in(item)]


def _files(recipe: Recipe, out: Path) -> Iterator[Path]:
    for path in map(Path, paths_in(recipe.data.model_dump(mode="json"))):
        if path.is_file():
            yield path
    for folder in getattr(recipe.data, "folders", ()):
        for path in Path(folder).rglob("*"):
            of_data = path.is_file() and not path.name.startswith(".") and not path.name.endswith(BESIDE)
            if of_data and out.resolve() not in path.resolve().parents:
                yield path
