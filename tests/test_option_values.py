"""What options take without a word and which values they accept is part of what users rely on: `option_values.tsv` has it.

A change of a default changes the results of a command that did not change, so it is seen here, and in the changelog.
`python tests/test_option_values.py` writes the table.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from typer.models import ParameterInfo

pytestmark = pytest.mark.core("all options at once; what it takes is importing modules that other tests import too")
PACKAGE = Path(__file__).parents[1] / "deepnets4eo"
TABLE = Path(__file__).with_name("option_values.tsv")
LIMITS = ("ge", "gt", "le", "lt", "min", "max")


def modules() -> Iterator[Any]:
    """Yield the modules whose source has classes of options, or verbs."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path.parent.name == "cli" or "@option_group" in text or "Section):" in text or "Field(" in text:
            yield import_module(
                ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
            )


def limits_of(*stated: object) -> list[str]:
    """Return the limits that annotations state, such as `ge 0`."""
    return [
        f"{name} {getattr(one, name):g}"
        for one in stated
        for name in LIMITS
        if isinstance(getattr(one, name, None), int | float)
    ]


def rows_of_fields(where: str, fields: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the numbers of the options of a class: its own fields with a number or a limit."""
    for name, field in fields.items():
        limits = limits_of(*field.metadata)
        if name in own and (limits or isinstance(field.default, int | float)):
            default = "" if field.is_required() else repr(field.get_default(call_default_factory=True))
            yield f"{where}.{name}", " ".join([default, *limits])


def rows_of_verb(where: str, verb: Callable[..., None]) -> Iterator[tuple[str, str]]:
    """Yield the numbers of the options of a verb of the command line."""
    try:
        hints = get_type_hints(verb, include_extras=True)
    except NameError:  # of a function that is no verb: names for type checkers only
        return
    for name, parameter in inspect.signature(verb).parameters.items():
        infos = [one for one in getattr(hints.get(name), "__metadata__", ()) if isinstance(one, ParameterInfo)]
        limits = limits_of(*infos)
        if infos and (limits or isinstance(parameter.default, int | float)):
            default = "" if parameter.default is parameter.empty else repr(parameter.default)
            yield f"{where}.{name}", " ".join([default, *limits])


def option_values() -> dict[str, str]:
    """Return name → default and limits of all numbers and switches that users may set."""
    rows: dict[str, str] = {}
    for module in modules():
        short = module.__name__.removeprefix("deepnets4eo.")
        for name, value in vars(module).items():
            if getattr(value, "__module__", None) != module.__name__:
                continue
            if isinstance(value, type) and hasattr(value, "__pydantic_fields__"):
                own = vars(value).get("__annotations__", {})
                rows |= dict(rows_of_fields(f"{short}.{name}", value.__pydantic_fields__, own))
            elif short.startswith("cli.") and inspect.isfunction(value) and not name.startswith("_"):
                rows |= dict(rows_of_verb(f"{short}.{name}", value))
    return rows


def test_options_have_the_defaults_and_limits_that_users_know() -> None:
    stored = dict(line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines())
    now = option_values()
    differing = {
        name: (stored.get(name), now.get(name)) for name in stored.keys() | now if stored.get(name) != now.get(name)
    }
    assert not differing, (
        "as stored, and now; if users are to have the new values, store them and write a line of the changelog"
    )


if __name__ == "__main__":
    lines = [f"{name}\t{values}" for name, values in sorted(option_values().items())]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines)} options", file=sys.stderr)
