"""Suggestions for mistyped verbs and options: the nearest name that there is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deepnets4eo.errors import name_hint


def unknown_verb(name: str, verbs: Iterable[str]) -> str:
    """Returns the message for a verb that does not exist.

    >>> unknown_verb("damge", ["demo", "damage"])
    "No such verb 'damge'. Did you mean 'damage'?"
    """
    return f"No such verb {name!r}. {name_hint(name, verbs)}"


def unknown_option(error: Exception) -> str | None:
    """Returns the message for an option that its verb does not have; None for any other error of the command line.

    error : as the parser raises it. Its class is not public in Typer, so it is known by the two attributes that it alone
    has: the option's name and the names that the parser would propose.
    """
    name, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if name is None or context is None or not hasattr(error, "possibilities"):
        return None
    return f"No such option {name}. {name_hint(name, option_names(context), '')}".rstrip()


def option_names(context: Any) -> list[str]:
    """Returns the names of all options of the verb that a context of the parser belongs to, such as `--out`."""
    return [
        name
        for parameter in context.command.get_params(context)
        if parameter.param_type_name == "option"
        for name in (*parameter.opts, *parameter.secondary_opts)
    ]
