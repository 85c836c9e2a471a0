"""Options of a verb from the fields of a settings class, and a help text that shows options in groups.

A field is an option where its annotation has a pydantic `Field` with a description:

    max_shift_m: Annotated[
        float, Field(description="Farthest that pre may lie off, metres.", ge=0, json_schema_extra={"group": "Alignment"})
    ] = 30.0

Name, type, default, limits (`ge`, `le`), help and group are thus written once, in the settings class. `json_schema_extra`
also takes `flag`, where the option has another name than the field.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer
import typer.core

UNGROUPED = "Options"

Result = TypeVar("Result")


def with_options(settings_class: type, **shared: Any) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Decorator of a verb: replaces its parameter of the type `settings_class` by one option a described field.

    Parameters
    ----------
    settings_class : type
        A dataclass, also a pydantic one. A field without description keeps its default and is no option.
    **shared
        Field name to its option, for fields that several verbs share, such as `seed=Seed`.

    Returns
    -------
    callable
        The decorator. The verb is called with a `settings_class` made of the values of the command line.

    Raises
    ------
    TypeError
        The verb has no parameter of this type, or an option without default follows one with a default.

    Examples
    --------
    >>> from deepnets4eo.damage import Settings
    >>> @with_options(Settings)
    ... def assess(image: str, settings: Settings) -> None: ...
    >>> list(inspect.signature(assess).parameters)[:3]
    ['image', 'model', 'network']
    """
    options = _options(settings_class, shared)

    def decorate(verb: Callable[..., Result]) -> Callable[..., Result]:
        signature = inspect.signature(verb, eval_str=True)
        name = next((each.name for each in signature.parameters.values() if each.annotation is settings_class), None)
        if name is None:
            raise TypeError(f"{verb.__name__} has no parameter of type {settings_class.__name__}")

        @functools.wraps(verb)
        def run(**values: Any) -> Result:
            settings = settings_class(**{option.name: values.pop(option.name) for option in options})
            return verb(**values, **{name: settings})

        parameters: list[inspect.Parameter] = []
        for each in signature.parameters.values():
            parameters += options if each.name == name else [each.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _options(settings_class: type, shared: dict[str, Any]) -> list[inspect.Parameter]:
    """The fields with a description, and the shared ones, as parameters that typer reads."""
    hints = get_type_hints(settings_class, include_extras=True)
    parameters = []
    for field in fields(settings_class):
        annotation = shared.get(field.name) or _option(hints[field.name])
        if annotation is not None:
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            parameters.append(
                inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            )
    return parameters


def _option(hint: Any) -> Any:
    """The annotation of a field as one that typer reads; None where it has no description."""
    from pydantic.fields import FieldInfo

    described = [each for each in get_args(hint) if isinstance(each, FieldInfo) and each.description]
    if get_origin(hint) is not Annotated or not described:
        return None
    field = described[0]
    extra: dict[str, Any] = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    limits = {name: getattr(each, name) for each in field.metadata for name in ("ge", "le") if hasattr(each, name)}
    option = typer.Option(
        *([extra["flag"]] if "flag" in extra else []),
        help=field.description,
        min=limits.get("ge"),
        max=limits.get("le"),
        rich_help_panel=extra.get("group"),
    )
    return Annotated[get_args(hint)[0], option]


class GroupedCommand(typer.core.TyperCommand):
    """A verb whose help shows its options under the headings of their `rich_help_panel`, in plain text."""

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
