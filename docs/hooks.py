"""Fills the documentation from the code, so that it cannot fall behind: help texts of verbs, public names with docstrings.

In a page, `{{ help VERB }}` becomes what `deepnets4eo VERB --help` prints, with its sub-verbs and its keys of --set, and `{{ public PACKAGE }}` the reference of all
names in the package's `__all__`. `{{ recipe TASK }}` becomes the keys of the recipes of a task: all of them for segmentation, for others those that only they have.
A public name without a docstring, or one that does not exist, stops the build.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any, get_args

from mkdocs.exceptions import PluginError

MARK = re.compile(r"\{\{ (help|public|recipe) ([\w.:-]+) \}\}")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its marks filled in."""
    return MARK.sub(
        lambda mark: {"help": help_text, "public": public_names, "recipe": recipe_keys}[mark[1]](mark[2]), markdown
    )


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


def recipe_keys(task: str) -> str:
    """A list of the keys of a task's recipes, or of one section as MODULE:CLASS, with defaults and meaning."""
    from deepnets4eo.training import Recipe
    from deepnets4eo.training.tasks import load_task

    module, colon, name = task.partition(":")
    kind = getattr(import_module(module), name) if colon else load_task(task).recipe
    known = {} if colon or task == "segmentation" else dict(_keys(Recipe))
    rows = {path: text for path, text in _keys(kind) if path not in known}
    if silent := [
        path
        for path, text in rows.items()
        if ": " not in text and not any(other.startswith(f"{path}.") for other in rows)
    ]:
        raise PluginError(
            f"{kind.__name__} states no meaning of {', '.join(silent)}: describe each key in its field or docstring."
        )
    return "\n".join(f"- `{path}`{text}" for path, text in rows.items()) or "No further keys."


def _keys(section: Any, start: str = "") -> Iterator[tuple[str, str]]:
    """Path and description of each key of a section and of the sections in it."""
    for name, field in _fields(section).items():
        inner = [kind for kind in _types(field.annotation) if _fields(kind)]
        stated = field.description or _row(section, name)
        default = (
            ""
            if inner or field.is_required() or field.default is None
            else f" = {_plain(field.get_default(call_default_factory=True))}"
        )
        yield f"{start}{name}", f"{default}{f': {stated}' if stated else ''}"
        for kind in inner:
            yield from _keys(kind, f"{start}{name}.")


def _fields(value: Any) -> dict[str, Any]:
    """Fields of a section or an option group by name; none for other types."""
    fields = (
        getattr(value, "model_fields", None) or getattr(value, "__pydantic_fields__", {})
        if inspect.isclass(value)
        else {}
    )
    return dict(fields)


def _types(annotation: Any) -> list[Any]:
    """The types in an annotation, at any depth."""
    inner = [kind for part in get_args(annotation) for kind in _types(part)]
    return [annotation, *inner]


def _row(section: Any, name: str) -> str:
    """What the docstring of a section states of a field; empty if it states nothing."""
    text = inspect.getdoc(section) or ""
    found = re.search(rf"^[ \w,]*\b{name}\b[ \w,]*(?: :|$)\s*((?:.+)(?:\n {{4}}.+)*)", text, re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def _plain(value: Any) -> str:
    """A default as it is written in YAML."""
    return str(list(value) if isinstance(value, tuple) else value)


def option_rows(value: Any) -> str:
    """A list of the options of a class that their fields describe, which the static reader of docstrings does not see."""
    return "\n".join(f"- `{name}`: {one.description}" for name, one in _fields(value).items() if one.description)


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
