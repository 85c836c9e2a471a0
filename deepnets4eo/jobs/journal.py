"""The journal of one job: named blocks of work that are finished, so that an interrupted or divided job continues from them.

One .npz a block in the folder of one identity (`jobs.identities`); one that is damaged counts as not finished.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import OutputError
from deepnets4eo.files import ARCHIVE_ERRORS, PARTIAL, atomic_write, remove, write_text
from deepnets4eo.grid import Grid
from deepnets4eo.jobs.parts import Part
from deepnets4eo.outputs import count_of, one_or_many

logger = logging.getLogger(__name__)

T = TypeVar("T")
TREE = "tree"  # entry of a result's file: its values as JSON, which name the arrays beside it
NOT_FINISHED = object()


@dataclass(frozen=True)
class Journal:
    """The finished work of a job in a folder, None: nothing kept; results refer to `grids`, and may hold dataclasses `kinds`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     journal = Journal(Path(folder))
    ...     first = journal.run("sum", lambda: {"total": 3})
    ...     again = journal.run("sum", lambda: {"total": 4})
    ...     tiles = journal.tiles("network")
    ...     tiles.put("0-0", {"sums": np.ones(3)})
    ...     again, tiles.get("0-0")["sums"].tolist(), tiles.get("0-512")
    ({'total': 3}, [1.0, 1.0, 1.0], None)
    """

    folder: Path | None = None
    grids: Mapping[str, Grid] = field(default_factory=dict)
    kinds: tuple[type, ...] = ()

    def run(self, name: str, step: Callable[[], T], *, complete: Callable[[], bool] = lambda: True) -> T:
        """Return a step's result: the result that an earlier job kept, else the result of `step()`, kept if complete."""
        if self.folder is None:
            return step()
        kept = self.recall(name)
        if kept is not NOT_FINISHED:
            if kept is not None:
                logger.info("%s: kept from an earlier job", name)
            return kept
        if (self.folder / f"{name}.npz").exists():
            logger.info("%s: what was kept cannot be read, it is made again", name)
        result = step()
        if not complete():
            return result
        kept = self.recall(name)  # of another part of the job: all of them go on with the same
        if kept is not NOT_FINISHED:
            return kept
        self.keep(name, result)
        return result

    def agree(self, name: str, choose: Callable[[], T]) -> T:
        """Return what the first process of the job chose, which all later ones and other parts take; else keep `choose()`."""
        if self.folder is None:
            return choose()
        kept = self.recall(name)
        if kept is not NOT_FINISHED:
            return kept
        own = Journal(self.folder / f"{name}-{uuid4().hex[:8]}", self.grids, self.kinds)
        own.keep(name, choose())
        file, target = (journal.folder / f"{name}.npz" for journal in (own, self) if journal.folder is not None)
        try:
            os.link(file, target)
        except OSError:  # another process was first, or a file system without links
            if self.recall(name) is NOT_FINISHED:
                os.replace(file, target)
        finally:
            remove(file.parent)
        return self.recall(name)

    def tiles(self, name: str) -> Journal:
        """Return the journal of a step that is itself many blocks of work, such as tiles or blocks of an image."""
        return Journal(self.folder_of(name), self.grids, self.kinds)

    def folder_of(self, name: str) -> Path | None:
        """Return the folder for files that a step keeps by itself; None if nothing is kept."""
        return None if self.folder is None else self.folder / name

    def names(self) -> list[str]:
        """Return the names of the finished blocks of work, sorted; a damaged file is only detected when it is read."""
        return [file.stem for file in self.files()]

    def files(self) -> list[Path]:
        """Return the files of the finished blocks of work, sorted by name."""
        files = [] if self.folder is None else self.folder.glob("*.npz")
        return sorted((file for file in files if not file.name.startswith(PARTIAL)), key=lambda file: file.stem)

    def get(self, name: str, keys: Collection[str] | None = None) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of a finished block, or only some keys of it; None if it is not finished, or damaged."""
        if self.folder is None:
            return None
        try:
            with np.load(self.folder / f"{name}.npz", allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in (archive.files if keys is None else keys)}
        except ARCHIVE_ERRORS:  # a file that is not there among them
            return None
        # a member without NumPy's header comes as bytes
        return arrays if all(isinstance(array, np.ndarray) for array in arrays.values()) else None

    def put(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep the arrays of a finished block of work. Raises OutputError if they cannot be written."""
        if self.folder is not None:
            with atomic_write(self.folder / f"{name}.npz") as partial:
                np.savez(partial, **arrays)  # type: ignore[arg-type]

    def mark_part(self, part: Part) -> None:
        """Note that a part of the job is done."""
        if self.folder is not None:
            write_text(self.folder / part.mark, "")

    def check_part(self, part: Part | None) -> None:
        """Refuse (OutputError) parts of other inputs, options, code or number than the one that begins (None: the whole job)."""
        if self.folder is None:
            return
        anew = f"or remove {self.folder.parent} and begin all parts again."
        beside = (other for other in self.folder.parent.glob("*/") if other.name != self.folder.name)
        others = sum(len(_parts_done(other)) for other in beside)
        if others:
            raise OutputError(
                f"{count_of(others, 'part')} beside this one {one_or_many(others, 'was', 'were')} done with other inputs, options "
                f"or code of this package. Give all parts the same, {anew}"
            )
        totals = {done.total for done in _parts_done(self.folder)} | ({part.total} if part is not None else set())
        if len(totals) > 1:
            raise OutputError(
                f"the job was divided into {' and into '.join(map(str, sorted(totals)))} parts. Give all parts the same number, {anew}"
            )

    def report_parts(self) -> None:
        """Log which parts of a divided job are missing. Errors: OutputError if there are parts of another job."""
        self.check_part(None)
        done = [] if self.folder is None else _parts_done(self.folder)
        for total in {part.total for part in done}:
            missing = sorted(set(range(1, total + 1)) - {part.number for part in done})
            if missing:
                names = ", ".join(map(str, missing))
                logger.warning("of %d parts these are not done: %s; their work is done now", total, names)

    def keep(self, name: str, value: Any) -> None:
        """Keep plain values, arrays, tables, grids and dataclasses of the journal, in tuples (lists become tuples) and mappings by text."""
        if self.folder is None:
            return
        arrays: dict[str, NDArray[Any]] = {}
        tree = json.dumps(self._pack(value, arrays))
        self.put(name, {TREE: np.frombuffer(tree.encode(), np.uint8), **arrays})

    def recall(self, name: str) -> Any:
        """Return the kept value, or NOT_FINISHED if there is none or it is damaged."""
        arrays = self.get(name)
        try:
            return NOT_FINISHED if arrays is None else self._unpack(json.loads(arrays[TREE].tobytes()), arrays)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # of another version
            return NOT_FINISHED

    def _pack(self, value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
        """Return plain values for JSON; arrays are moved to `arrays` under a name that replaces them. Errors: TypeError."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, np.ndarray):
            arrays[f"array_{len(arrays)}"] = value
            return {"array": f"array_{len(arrays) - 1}"}
        if _is_table(value):
            return {"table": {str(name): self._pack(value[name].to_numpy(), arrays) for name in value.columns}}
        if isinstance(value, dict):
            return {"mapping": {str(key): self._pack(item, arrays) for key, item in value.items()}}
        if isinstance(value, (tuple, list)):
            return {"items": [self._pack(item, arrays) for item in value]}
        if is_dataclass(value) and type(value) in self.kinds:
            values = {attribute.name: self._pack(getattr(value, attribute.name), arrays) for attribute in fields(value)}
            return {"class": type(value).__name__, "values": values}
        for name, grid in self.grids.items():
            if isinstance(value, type(grid)) and value == grid:
                return {"grid": name}
        raise TypeError(f"a {type(value).__name__} cannot be kept")

    def _unpack(self, tree: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
        if not isinstance(tree, dict):
            return tree
        kind = next(iter(tree), "")
        if kind == "array":
            return arrays[tree[kind]]
        if kind == "grid":
            return self.grids[tree[kind]]
        if kind == "items":
            return tuple(self._unpack(item, arrays) for item in tree[kind])
        if kind in ("table", "mapping"):
            values = {name: self._unpack(item, arrays) for name, item in tree[kind].items()}
            if kind == "mapping":
                return values
            from pandas import DataFrame

            return DataFrame(values)
        made = {cls.__name__: cls for cls in self.kinds}[tree["class"]]
        return made(**{name: self._unpack(item, arrays) for name, item in tree["values"].items()})


def _is_table(value: Any) -> bool:
    """Return whether a value is a pandas.DataFrame; pandas, which takes 0.4 s, is not imported for jobs without tables."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def _parts_done(folder: Path) -> list[Part]:
    return Part.of_marks(path.name for path in folder.glob(Part.marks))
