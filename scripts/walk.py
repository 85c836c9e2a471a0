"""Measures the walk of a value through the package: which functions and files hold it, and how often it crosses files.

A function holds the value if a caller passes it as an argument, under whatever name, or if it reads an attribute of the
value's name, such as `site.inputs.pre`. Calls are resolved through the faces to the function or class that is defined.
Calls of methods on values are not resolved.

Run: python scripts/walk.py [NAME [FUNCTION …]], by default the image `pre` from the functions and verbs of damage maps.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from typing import NamedTuple

import coupling
from floors import PACKAGE, trees

STARTS = ("deepnets4eo.damage.job.assess", "deepnets4eo.cli.damage.damage")


class Function(NamedTuple):
    """A function of a module, or a class by what makes it: its syntax tree, and its parameters in order without `self`."""

    module: str
    node: ast.FunctionDef | ast.ClassDef
    parameters: tuple[str, ...]


class Walk(NamedTuple):
    """Functions with the parameter that holds the value, their files, and the calls that take it to another file."""

    stays: set[tuple[str, str, str]]
    files: set[str]
    climbs: set[tuple[str, str, str]]


def functions() -> dict[str, Function]:
    """Return functions and classes at the top of modules, and methods of classes, by dotted name."""
    found: dict[str, Function] = {}
    for path, tree in trees().items():
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                found[f"{module}.{node.name}"] = Function(module, node, _parameters(node))
            elif isinstance(node, ast.ClassDef):
                found[f"{module}.{node.name}"] = Function(module, node, _fields(node))
                for item in node.body:
                    if isinstance(item, ast.FunctionDef):
                        found[f"{module}.{node.name}.{item.name}"] = Function(module, item, _parameters(item))
    return found


def _parameters(node: ast.FunctionDef) -> tuple[str, ...]:
    arguments = node.args
    names = [item.arg for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return tuple(names[1:] if names[:1] in (["self"], ["cls"]) else names)


def _fields(node: ast.ClassDef) -> tuple[str, ...]:
    """Return the parameters of `__init__`, or the fields of a dataclass."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _parameters(item)
    return tuple(
        item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    )


def walk(name: str, starts: tuple[str, ...] = STARTS) -> Walk:
    """Follow a value from the parameters and attributes of its name."""
    known = functions()
    waiting = [(start, name) for start in starts if name in known[start].parameters]
    room = {start.split(".")[1] for start in starts}
    for dotted, function in known.items():
        if (
            function.module.split(".")[1] in room
            and isinstance(function.node, ast.FunctionDef)
            and _reads(function.node, name)
        ):
            waiting.append((dotted, f".{name}"))
    done: set[tuple[str, str]] = set()
    result = Walk(set(), set(), set())
    while waiting:
        dotted, held = waiting.pop()
        if (dotted, held) in done:
            continue
        done.add((dotted, held))
        function = known[dotted]
        result.stays.add((function.module, dotted, held))
        result.files.add(function.module)
        for target, parameter in _passed(function, held, known):
            if known[target].module != function.module:
                result.climbs.add((dotted, target, parameter))
            waiting.append((target, parameter))
    return result


def _reads(node: ast.AST, name: str) -> bool:
    return any(isinstance(part, ast.Attribute) and part.attr == name for part in ast.walk(node))


def _passed(function: Function, held: str, known: dict[str, Function]) -> Iterator[tuple[str, str]]:
    """Yield the functions that get the value itself as an argument, and their parameter."""
    if isinstance(function.node, ast.ClassDef):
        return
    for call in ast.walk(function.node):
        if isinstance(call, ast.Call) and (target := _target(function.module, call.func, known)):
            parameters = known[target].parameters
            for position, value in enumerate(call.args):
                if _is(value, held) and position < len(parameters):
                    yield target, parameters[position]
            for keyword in call.keywords:
                if keyword.arg in parameters and _is(keyword.value, held):
                    yield target, keyword.arg


def _is(value: ast.expr, held: str) -> bool:
    if held.startswith("."):
        return isinstance(value, ast.Attribute) and value.attr == held[1:]
    return isinstance(value, ast.Name) and value.id == held


def _target(module: str, called: ast.expr, known: dict[str, Function]) -> str | None:
    """Return the dotted name of a called function, class or method of a class, where it is defined."""
    parts = ast.unparse(called).split(".") if isinstance(called, (ast.Name, ast.Attribute)) else []
    if not parts or not all(part.isidentifier() for part in parts):
        return None
    dotted = ".".join([coupling.home(module, parts[0]), *parts])
    return dotted if dotted in known else None


if __name__ == "__main__":
    value, *chosen = sys.argv[1:] or ["pre"]
    result = walk(value, tuple(chosen) or STARTS)
    print(f"{len(result.files):5} files, {len(result.stays)} functions, {len(result.climbs)} calls into another file")
