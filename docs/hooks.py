"""Fills the documentation from the code, so that it cannot fall behind: help texts of verbs, public names with docstrings.

In a page, `{{ help VERB }}` becomes what `deepnets4eo VERB --help` prints, with its sub-verbs and its keys of --set, and `{{ public PACKAGE }}` the reference of all
names in the package's `__all__`. A public name without a docstring, or one that does not exist, stops the build.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from mkdocs.exceptions import PluginError

MARK = re.compile(r"\{\{ (help|public) ([\w.-]+) \}\}")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its marks filled in."""
    return MARK.sub(lambda mark: {"help": help_text, "public": public_names}[mark[1]](mark[2]), markdown)


def help_text(verb: str) -> str:
    """What `deepnets4eo VERB --help` prints, of its sub-verbs too, and `--set help` where it has keys, as blocks of text."""
    from typer.testing import CliRunner

    from deepnets4eo.cli.main import PARTS, VERBS, app

    if verb not in VERBS:
        raise PluginError(f"the documentation names the verb {verb}, which deepnets4eo does not have.")

    def printed(*words: str) -> str:
        """What the words print, as a block."""
        runner = CliRunner(env={"COLUMNS": "100", "TERM": "dumb"})
        return f"```text\n{runner.invoke(app, list(words), prog_name='deepnets4eo').output.strip()}\n```"

    blocks = [printed(verb, *part, "--help") for part in ([], *([name] for name in PARTS.get(verb, ())))]
    if "--set KEY=VALUE" in blocks[0] and verb != "train":
        blocks += [
            f"The keys of `--set`, with their defaults (`deepnets4eo {verb} --set help`):",
            printed(verb, "--set", "help"),
        ]
    return "\n\n".join(blocks)


def public_names(package: str) -> str:
    """mkdocstrings entries of all public names of a package, in alphabetical order; constants are listed by value."""
    return "\n\n".join(_entries(package))


def option_rows(value: Any) -> str:
    """A list of the options of a class that their fields describe, which the static reader of docstrings does not see."""
    fields = (
        getattr(value, "model_fields", None) or getattr(value, "__pydantic_fields__", {})
        if inspect.isclass(value)
        else {}
    )
    return "\n".join(f"- `{name}`: {one.description}" for name, one in fields.items() if one.description)


def _entries(package: str) -> Iterator[str]:
    module = import_module(package)
    for name in sorted(module.__all__, key=str.lower):
        value = getattr(module, name)
        if hasattr(value, "__path__") or name.startswith("__"):
            continue
        if not (inspect.isclass(value) or inspect.isroutine(value)):
            yield f"## {name}\n\n`{value!r}`"
            continue
        if not (value.__doc__ or "").strip():
            raise PluginError(f"{package}.{name} has no docstring: every public name needs one.")
        yield f"::: {value.__module__}.{value.__qualname__}"
        if rows := option_rows(value):
            yield rows
