"""Options of a verb from the fields of a settings class, rarer ones as keys of `--set`, and help in groups.

A field of `options.option` is an option, one of `options.key` a key of `--set KEY=VALUE`; `--set help` lists the keys.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import typer
import typer.core

from deepnets4eo.cli.completion import choices, completion_of
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.options import options_from

UNGROUPED = "Options"
HELP = "help"
# What pydantic or click calls valid, by the version of Typer, in plain words.
NUMBERS = {"number": "number, such as 0.5", "float": "number, such as 0.5", "integer": "whole number, such as 2"}

Result = TypeVar("Result")


def with_options(*classes: type) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Decorate a verb: replace its settings-class parameters by one option per described field, and `--set` for keys.

    >>> from deepnets4eo.damage import Settings
    >>> @with_options(Settings)
    ... def assess(image: str, settings: Settings) -> None: ...
    >>> list(inspect.signature(assess).parameters)[:3]
    ['image', 'model', 'gsd_m']
    """
    options = {kind: _options(kind) for kind in classes}
    keys = {kind: _keys(kind) for kind in classes}

    def decorate(verb: Callable[..., Result]) -> Callable[..., Result]:
        signature = inspect.signature(verb, eval_str=True)
        names = {
            parameter.annotation: parameter.name
            for parameter in signature.parameters.values()
            if parameter.annotation in classes
        }
        for missing in set(classes) - set(names):
            raise TypeError(f"{verb.__name__} has no parameter of type {missing.__name__}")

        @functools.wraps(verb)
        def run(**values: Any) -> Result:
            texts = _set_values(values.pop("set_keys", None) or [], keys, options)
            for kind, name in names.items():
                own = {option.name: values.pop(option.name) for option in options[kind]}
                values[name] = _settings(kind, own, {key: text for key, text in texts.items() if key in keys[kind]})
            return verb(**values)

        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            own = options.get(parameter.annotation)
            parameters += own if own is not None else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        if any(keys.values()):
            parameters.append(_set_option(keys))
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _settings(kind: type, values: dict[str, Any], texts: dict[str, str]) -> Any:
    settings = kind(**values)  # also names a value of an option that is wrong, without --set
    if not texts:
        return settings
    hints = get_type_hints(kind)
    return options_from(kind, values | {key: _choice(hints[key], text) for key, text in texts.items()}, "--set")


def _choice(hint: Any, text: str) -> Any:
    """Return the choice that a text represents, such as 8 of `Literal[4, 8]`; else the text, which pydantic reads by its type."""
    choices_of = get_args(hint) if get_origin(hint) is Literal else ()
    return {str(choice): choice for choice in choices_of}.get(text, text)


def _set_values(
    words: Sequence[str], keys: dict[type, dict[str, Any]], options: dict[type, list[inspect.Parameter]]
) -> dict[str, str]:
    """Key → text of the words KEY=VALUE; a later word counts. Errors: InputError."""
    known = [key for names in keys.values() for key in names]
    flags = {option.name: _flag(option) for some in options.values() for option in some}
    texts = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise InputError(f"--set {word} has no value; expected KEY=VALUE. `--set help` lists the keys.")
        if key in flags:
            raise InputError(f"--set {word}: {key} is an option. Give it as {flags[key]}.")
        if key not in known:
            raise InputError(f"--set {word}: unknown key {key!r}. {name_hint(key, known)}")
        texts[key] = text
    return texts


def _flag(parameter: inspect.Parameter) -> str:
    """Return the option as it is typed; typer keeps the first name of an annotated option as its default until it reads the annotation."""
    option = get_args(parameter.annotation)[1]
    names = [name for name in (option.default, *(option.param_decls or ())) if isinstance(name, str)]
    return names[0] if names else f"--{parameter.name.replace('_', '-')}"


def _set_option(keys: dict[type, dict[str, Any]]) -> inspect.Parameter:
    """Return the option `--set`, which prints the keys and ends the verb if its value is help."""

    def show_keys(words: list[str] | None) -> list[str] | None:
        if words and HELP in words:
            from deepnets4eo.cli.output import echo

            for line in _key_lines(keys):
                echo(line)
            raise typer.Exit
        return words

    option = typer.Option(
        "--set", metavar="KEY=VALUE", is_eager=True, callback=show_keys,
        help="Set a value that has no option; repeatable. --set help lists the keys.",
        autocompletion=choices(*(f"{key}=" for group in keys.values() for key in group)),
    )  # fmt: skip
    return inspect.Parameter(
        "set_keys", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[list[str] | None, option]
    )


def _key_lines(keys: dict[type, dict[str, Any]]) -> list[str]:
    """Return one line per key: its default, then its meaning."""
    lines = []
    for kind, described in keys.items():
        defaults = {field.name: field.default for field in fields(kind)}
        for key, field in described.items():
            default = "" if defaults[key] is None else f"={defaults[key]}".lower()
            lines.append(f"{key + default:28} {field.description}")
    return lines


def _keys(settings_class: type) -> dict[str, Any]:
    """Name → pydantic field of the fields that are keys of `--set`."""
    hints = get_type_hints(settings_class, include_extras=True)
    described = {field.name: _described(hints[field.name]) for field in fields(settings_class)}
    return {name: field for name, field in described.items() if field is not None and _extra(field).get("key")}


def _options(settings_class: type) -> list[inspect.Parameter]:
    """Return the fields that have a description and are not keys, as parameters that typer reads."""
    hints = get_type_hints(settings_class, include_extras=True)
    parameters = []
    for field in fields(settings_class):
        annotation = field_option(field.name, hints[field.name])
        if annotation is not None:
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            parameters.append(
                inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            )
    return parameters


def _described(hint: Any) -> Any:
    """Return the pydantic field of an annotation, or None if it has no field with a description."""
    from pydantic.fields import FieldInfo

    described = [item for item in get_args(hint) if isinstance(item, FieldInfo) and item.description]
    return described[0] if get_origin(hint) is Annotated and described else None


def _extra(field: Any) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def field_option(name: str, hint: Any) -> Any:
    """Return the annotation of a field for typer, or None if the field is not an option. The shell completes some names."""
    field = _described(hint)
    if field is None or (extra := _extra(field)).get("key"):
        return None
    limits = {name: getattr(limit, name) for limit in field.metadata for name in ("ge", "le") if hasattr(limit, name)}
    option = typer.Option(
        *([extra["flag"]] if extra.get("flag") else []),
        help=field.description,
        min=limits.get("ge"),
        max=limits.get("le"),
        metavar=extra.get("metavar"),
        autocompletion=completion_of(name),
        rich_help_panel=extra.get("group"),
    )
    return Annotated[get_args(hint)[0], option]


class GroupedCommand(typer.core.TyperCommand):
    """A verb whose numbers are finite, and whose help has options under their `rich_help_panel`, in plain text."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words behind the verb. Errors: BadParameter for NaN and infinity, which click takes for numbers."""
        try:
            rest = super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if kind := re.search(r"\bvalid (number|float|integer)\b", error.message):
                error.message = f"Expected a {NUMBERS[kind[1]]}, without a unit."
            raise
        for parameter in self.get_params(ctx):
            value = ctx.params.get(str(parameter.name))
            numbers = [
                number for number in (value if isinstance(value, tuple) else [value]) if isinstance(number, float)
            ]
            if not all(map(math.isfinite, numbers)):
                problem: Any = typer.BadParameter  # typed by Typer's own copy of click or the installed one, by version
                raise problem(f"{value} is no finite number.", ctx=ctx, param=parameter)
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the options without a group, and the groups in order of their first option."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], UNGROUPED: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                group = getattr(parameter, "rich_help_panel", None) or ("Arguments" if is_argument else UNGROUPED)
                sections.setdefault(group, []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
