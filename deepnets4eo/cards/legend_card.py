"""Checks legend cards, which are plain values of YAML or JSON.

Takes a mapping; returns the arguments of a legend and of its classes.
Refuses unknown and missing keys and values of the wrong kind; names the file and the nearest key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepnets4eo.errors import InputError, name_hint

NEEDED = {"name", "classes"}
KNOWN = NEEDED | {"title", "source", "void_color", "void_values", "void_names", "remaps", "file_values"}


def parse(card: Any, where: str) -> dict[str, Any]:
    """Returns the arguments of a Legend, with `classes` as arguments of LegendClass. Raises InputError."""
    _check_keys(card, NEEDED, KNOWN, where)
    return {
        "name": str(card["name"]),
        "title": str(card.get("title", "")),
        "source": str(card.get("source", "")),
        "classes": [_class(item, where) for item in _list_of(object, card, "classes", where)],
        "void_color": _color(card.get("void_color", (0, 0, 0)), where),
        "void_values": tuple(_list_of(int, card, "void_values", where)),
        "void_names": tuple(_list_of(str, card, "void_names", where)),
        "remaps": _remaps(card.get("remaps") or {}, where),
        "file_values": _file_values(card.get("file_values") or {}, where),
    }


def _class(item: Any, where: str) -> dict[str, Any]:
    _check_keys(item, {"value", "name", "color"}, {"value", "name", "color", "aliases"}, where)
    if not isinstance(item["value"], int):
        raise InputError(f"{where}: class {item['name']} has value {item['value']!r}, expected an integer 0–254.")
    if not str(item["name"]).isprintable():
        raise InputError(f"{where}: the class name {item['name']!r} holds control characters. Write it without.")
    aliases = tuple(_list_of(str, item, "aliases", where))
    return {
        "value": item["value"],
        "name": str(item["name"]),
        "color": _color(item["color"], where),
        "aliases": aliases,
    }


def _list_of(kind: type, card: Mapping[str, Any], key: str, where: str) -> list[Any]:
    items = card.get(key) or []
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, kind) for item in items):
        raise InputError(f"{where}: {key} is {items!r}, expected a list. Write it as [a, b], strings in quotes.")
    return list(items)


def _remaps(value: Any, where: str) -> dict[str, dict[str, str]]:
    if not isinstance(value, Mapping) or not all(isinstance(names, Mapping) for names in value.values()):
        raise InputError(f"{where}: remaps is {value!r}, expected {{other legend: {{own class: its class}}}}.")
    return {str(other): {str(own): str(its) for own, its in names.items()} for other, names in value.items()}


def _file_values(value: Any, where: str) -> dict[int, int]:
    try:
        return {int(stored): int(own) for stored, own in dict(value).items()}
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: file_values is {value!r}, expected {{value in files: label value}}.") from error


def _color(value: Any, where: str) -> tuple[int, int, int]:
    if not isinstance(value, (list, tuple)) or len(value) != 3 or not all(isinstance(v, int) for v in value):
        raise InputError(f"{where}: colour {value!r} is not three integers. Write it as [R, G, B], each 0–255.")
    return value[0], value[1], value[2]


def _check_keys(card: Any, needed: set[str], known: set[str], where: str) -> None:
    if not isinstance(card, Mapping):
        raise InputError(f"{where}: got {type(card).__name__}, expected a mapping with {', '.join(sorted(needed))}.")
    for key in needed - set(card):
        raise InputError(f'{where} has no "{key}"; a legend needs {", ".join(sorted(needed))}. Add it.')
    for key in set(card) - known:
        raise InputError(f'{where} has an unknown key "{key}". {name_hint(key, sorted(known))}')
