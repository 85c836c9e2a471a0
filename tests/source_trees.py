"""The parsed source of the package and the experiments, for tests that read it."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of a file, parsed once a process."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of the tree."""
    return tuple(ast.walk(parse(path)))


def source_files(folder: str) -> list[Path]:
    """The Python files below a folder of the repository, sorted."""
    return sorted((ROOT / folder).rglob("*.py"))
