"""YAML of others: plain values only, and no more of them than a text of its length holds.

Takes text; returns what yaml.safe_load returns. Refuses names (&a, *a) that stand for one another until a few lines are
millions of values.
"""

from __future__ import annotations

from typing import Any

import yaml

from deepnets4eo.errors import InputError

MOST_CHARACTERS = 16_000_000
MOST_VALUES = 1_000_000  # with everything written out that a name stands for


def load_yaml(text: str, name: str, most_characters: int = MOST_CHARACTERS) -> Any:
    """The value of a YAML text. Errors: InputError, naming `name`, for too much of it; yaml.YAMLError for no YAML."""
    if len(text) > most_characters:
        raise InputError(f"{name} has {len(text):,} characters, more than {most_characters:,}: no table of settings.")
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if "*" in text and _values(node) > MOST_VALUES:
            raise InputError(
                f"{name} stands for more than {MOST_VALUES:,} values, through names such as &a and *a. Write it without."
            )
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _values(root: yaml.Node) -> float:
    """Values of a tree where each name is written out; infinite where one holds itself."""
    counts: dict[int, float] = {}
    waiting: list[tuple[yaml.Node, bool]] = [(root, False)]
    while waiting:
        node, inner_done = waiting.pop()
        if inner_done:
            counts[id(node)] = 1 + sum(counts[id(one)] for one in _inner(node))
        elif id(node) not in counts:
            counts[id(node)] = float("inf")  # until its inner ones are counted: a node that holds itself stays infinite
            waiting.append((node, True))
            waiting.extend((one, False) for one in _inner(node))
    return counts[id(root)]


def _inner(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [one for pair in node.value for one in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
