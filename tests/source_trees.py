"""The parsed source of the package and the experiments, for tests that read it."""

import ast
import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from floors import parse  # noqa: E402  parsed once for scripts and tests

ONLY = os.environ.get("DEEPNETS4EO_CHECK_ONLY")  # paths below the root, with a line each, that a quick check looks at


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of the tree."""
    return tuple(ast.walk(parse(path)))


def source_files(folder: str) -> list[Path]:
    """Return the Python files below a folder of the repository, sorted; those of a quick check if there is one."""
    if ONLY is not None:
        return [ROOT / path for path in ONLY.splitlines() if (ROOT / path).is_relative_to(ROOT / folder)]
    return sorted((ROOT / folder).rglob("*.py"))


def load_script(name: str, path: Path) -> ModuleType:
    """Load a file that is in no package as a module."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
