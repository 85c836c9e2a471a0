"""Ways to damage what JSON and YAML hold: nodes of another type, absent, twice, out of range.

Takes plain values (mappings, lists, numbers, text) and a random generator; returns other plain values.
"""

from __future__ import annotations

import copy
import datetime
from typing import Any

from numpy.random import Generator

Path = tuple[Any, ...]

STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 255, 256, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"),
    "", " ", "x", "0", "nan", "../x", "/", "\x00", "\x1b[2J", "é", "\ud800", "x" * 70_000, "POLYGON ((0 0, 1 1", "POLYGON EMPTY", "POINT (1 1)",
    "POLYGON ((0 0, nan nan, 1 1, 0 0))", "POLYGON ((0 0, 1e300 0, 1e300 1e300, 0 0))", "POLYGON ((0 0, 2e9 0, 2e9 2e9, 0 2e9, 0 0))", "EPSG:0", "EPSG:999999", "[", "{id}", "{", "*", "(?P<", "tu-", "uint7",
    [], {}, [[]], [{}], {"": ""}, [None], ["x"], [0], [1, 2, 3], {"x": None}, {"x": {"x": {"x": []}}}, list(range(300)), "2020-13-45",
)  # fmt: skip
ONLY_YAML: tuple[Any, ...] = (datetime.date(2020, 1, 1), b"\xff\x00", {0: 1}, {None: 1}, {1.5: []}, {True: "x"})


def mutate_tree(value: Any, rng: Generator, *, yaml: bool = False) -> Any:
    """The same value with one to three nodes changed."""
    value = copy.deepcopy(value)
    for _ in range(int(rng.integers(1, 4))):
        value = _mutate_once(value, rng, STRANGE + (ONLY_YAML if yaml else ()))
    return value


def _mutate_once(value: Any, rng: Generator, strange: tuple[Any, ...]) -> Any:
    path = _random_path(value, rng)
    new = _change(_at(value, path), rng, strange)
    if not path:
        return new if rng.random() < 0.3 else value
    holder = _at(value, path[:-1])
    kind = rng.random()
    if kind < 0.2:
        del holder[path[-1]]
    elif kind < 0.3 and isinstance(holder, dict):
        holder[str(path[-1]) + "x"] = holder.pop(path[-1])
    elif kind < 0.4 and isinstance(holder, list):
        holder.extend([holder[path[-1]]] * int(rng.choice([1, 5, 300])))
    else:
        holder[path[-1]] = new
    return value


def _random_path(value: Any, rng: Generator) -> Path:
    """Where a node is: keys and indices from the top; deeper nodes are as likely as those above."""
    paths: list[Path] = []
    waiting: list[tuple[Path, Any]] = [((), value)]
    while waiting and len(paths) < 5_000:
        path, node = waiting.pop()
        paths.append(path)
        if isinstance(node, dict):
            waiting.extend(((*path, key), item) for key, item in node.items())
        elif isinstance(node, list):
            waiting.extend(((*path, index), item) for index, item in enumerate(node[:50]))
    return paths[int(rng.integers(len(paths)))]


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _change(node: Any, rng: Generator, strange: tuple[Any, ...]) -> Any:
    """Another value for a node: half of the time something strange, else a near neighbour."""
    if rng.random() < 0.5 or not isinstance(node, (int, float, str, list)) or isinstance(node, bool):
        return copy.deepcopy(strange[int(rng.integers(len(strange)))])
    if isinstance(node, (int, float)):
        factor = float(rng.choice([-1, 0, 0.5, 2, 10, 1e6, 1e30]))
        return type(node)(node * factor) if abs(node) < 1e200 else 0
    if isinstance(node, list):
        return node[: int(rng.integers(len(node) + 1))]
    return (node.upper(), node[:-1], node + "\u00e9", [node], {node: node})[int(rng.integers(5))]
