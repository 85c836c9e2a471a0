"""Measures how much the files of the package take of each other, through the faces: a name counts where it is defined.

Run: python scripts/coupling.py. `tests/test_architecture.py` holds the measures, which only fall.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from floors import ROOT, trees

PACKAGE = "deepnets4eo"
ANY_FILE = {"VOID"}  # constants that every file may compare with
OUTSIDE = (
    "tests",
    "experiments",
    "scripts",
    "docs",
    "README.md",
    "paper.md",
    PACKAGE,
)  # of the package, only docstrings
IMPORT = re.compile(r"^ *(?:>>> )?from (deepnets4eo[\w.]*) import (\([^)]*\)|[^\n(]+)", re.MULTILINE)
EXAMPLE = re.compile(IMPORT.pattern.replace("(?:>>> )?", ">>> "), re.MULTILINE)


class Taken(NamedTuple):
    """A name that one module takes of another: dotted modules, where it is imported from and defined, and its alias."""

    module: str
    source: str
    home: str
    name: str
    alias: str

    @property
    def is_constant(self) -> bool:
        """Return True for names in capitals."""
        return self.name.isupper()


class Module(NamedTuple):
    """What a module imports from others, and what it compares."""

    imports: tuple[ast.ImportFrom, ...]
    compares: tuple[ast.Compare, ...]
    lines: int


@cache
def modules() -> dict[str, Module]:
    """Return all modules, by dotted name; faces have the name of their package."""
    return {_dotted(path): _module(path, tree) for path, tree in trees().items()}


def _module(path: Path, tree: ast.Module) -> Module:
    nodes = list(ast.walk(tree))
    imports = tuple(node for node in nodes if isinstance(node, ast.ImportFrom))
    compares = tuple(node for node in nodes if isinstance(node, ast.Compare))
    return Module(imports, compares, path.read_text(encoding="utf-8").count("\n"))


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def home(module: str, name: str) -> str:
    """Return the module that defines a name, which `module` may only offer."""
    for node in modules()[module].imports:
        if any((item.asname or item.name) == name for item in node.names):
            source = f"{module}.{node.module or ''}".rstrip(".") if node.level else node.module or ""
            if source in modules() and source != module:
                return home(source, name)
    return module


def is_face(module: str) -> bool:
    """Return True for the `__init__` of a package."""
    return (ROOT / Path(*module.split("."))).is_dir()


@cache
def taken() -> tuple[Taken, ...]:
    """Return all names that modules, without faces, import from other modules of the package."""
    return tuple(found for module in modules() if not is_face(module) for found in _taken_by(module))


def _taken_by(module: str) -> Iterator[Taken]:
    for node in modules()[module].imports:
        if (node.module or "") in modules():
            for item in node.names:
                if f"{node.module}.{item.name}" not in modules():
                    source = node.module or ""
                    yield Taken(module, source, home(source, item.name), item.name, item.asname or item.name)


def names_per_1000_lines() -> float:
    """Return how many names of other files a file imports, per 1,000 lines of the package."""
    return 1000 * len(set(taken())) / sum(module.lines for module in modules().values())


@cache
def address(taker: str, definer: str, name: str) -> str:
    """Return where a module takes a name from that the module `definer` defines.

    A module inside the folder that defines the name, at any depth, takes it from the defining module. Modules outside
    take it from the outermost folder that does not contain them and offers the name.
    """
    parts = definer.split(".")
    folders = [".".join(parts[:end]) for end in range(2, len(parts))]
    outside = [folder for folder in folders if not f"{taker}.".startswith(f"{folder}.")]
    return next((folder for folder in outside if _offers(folder, definer, name)), definer)


def _offers(folder: str, definer: str, name: str) -> bool:
    return folder in modules() and folder != definer and home(folder, name) == definer


def further_addresses() -> list[tuple[str, str, str]]:
    """Return (file or module, source, name) of all imports that take a name from another place than its address.

    Imports of the package, and of tests, experiments, scripts, pages and docstrings, which are outside all folders. These
    may also take from `deepnets4eo` itself what it offers.
    """
    inside = [(item.module, item.source, item.home, item.name) for item in taken()]
    outside = [
        (file, source, home(source, name), name)
        for file, source, name in taken_outside()
        if source in modules() and source != PACKAGE and f"{source}.{name}" not in modules()
    ]
    return [
        (taker, source, name)
        for taker, source, definer, name in inside + outside
        if source != address(taker, definer, name)
    ]


def taken_outside() -> Iterator[tuple[str, str, str]]:
    """Yield the file, source and name of imports, found as text since pages and docstrings have them too."""
    for folder in OUTSIDE:
        pattern = EXAMPLE if folder == PACKAGE else IMPORT
        top = ROOT / folder
        for path in [top] if top.is_file() else [path for end in ("py", "md") for path in top.rglob(f"*.{end}")]:
            for source, names in pattern.findall(path.read_text(encoding="utf-8")):
                items = re.sub(r"#.*|[()]", "", names).split(",")
                yield from (
                    (path.relative_to(ROOT).as_posix(), source, item.split()[0]) for item in items if item.strip()
                )


def crossing_constants() -> int:
    """Return the number of constants that other files import."""
    return len({(found.home, found.name) for found in taken() if found.is_constant})


def comparisons() -> int:
    """Return how often code compares a value with a constant of another file."""
    constants: dict[str, set[str]] = {}
    for found in taken():
        if found.is_constant and found.name not in ANY_FILE:
            constants.setdefault(found.module, set()).add(found.alias)
    return sum(
        _compares(node, constants.get(name, set())) for name, module in modules().items() for node in module.compares
    )


def _compares(node: ast.Compare, constants: set[str]) -> bool:
    return any(isinstance(side, ast.Name) and side.id in constants for side in (node.left, *node.comparators))


def names_across_parts(room: str) -> int:
    """Return how many names the parts of a room, its folders and its top, take of each other."""
    return len(
        {(found.home, found.name) for found in _within(room) if _part(found.module, room) != _part(found.home, room)}
    )


def arrows(room: str) -> int:
    """Return how many ordered pairs of parts of a room take names of each other."""
    pairs = {(_part(found.module, room), _part(found.home, room)) for found in _within(room)}
    return sum(first != second for first, second in pairs)


def _within(room: str) -> list[Taken]:
    inside = f"{PACKAGE}.{room}."
    return [found for found in taken() if found.module.startswith(inside) and found.home.startswith(inside)]


def _part(module: str, room: str) -> str:
    first = module.removeprefix(f"{PACKAGE}.{room}.").split(".")[0]
    return first if is_face(f"{PACKAGE}.{room}.{first}") else ""


def measures() -> dict[str, float]:
    """Return every measure by its name."""
    rooms = ("damage", "points", "floods", "change")
    return {
        "names per 1,000 lines": round(names_per_1000_lines(), 1),
        "comparisons with another file's constant": comparisons(),
        "constants that cross files": crossing_constants(),
        "imports from a further address": len(further_addresses()),
        **{f"names across the parts of {room}": names_across_parts(room) for room in rooms},
        **{f"arrows between the parts of {room}": arrows(room) for room in rooms},
    }


if __name__ == "__main__":
    for name, value in measures().items():
        print(f"{value:8} {name}")
