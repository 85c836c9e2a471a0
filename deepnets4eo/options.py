"""Groups of options, checked in one way: pydantic checks the values, and what it refuses becomes an `InputError`.

`Section` is the base of recipes and other YAML files; `option_group` makes a frozen dataclass of options that Python
code passes around.

Both refuse unknown names, with the nearest, values out of range, NaN and infinity.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import cleandoc
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, dataclass_transform

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from deepnets4eo.errors import InputError, name_hint

Options = TypeVar("Options")

Unknown: TypeAlias = Literal["error", "void"]  # what becomes of colours and classes that a legend lacks
KEY: dict[str, Any] = {"key": True}  # json_schema_extra of `key`
ROWS = "Parameters\n----------"
UNKNOWN_NAMES = (
    "extra_forbidden",
    "unexpected_keyword_argument",
)  # how pydantic calls unknown names: models, dataclasses


def option(text: str, group: str | None = None, flag: str = "", metavar: str | None = None, **limits: Any) -> Any:
    """Return a field that is a command-line option in a group of its help: its meaning, and limits such as `ge=0`."""
    return Field(description=text, json_schema_extra={"group": group, "flag": flag, "metavar": metavar}, **limits)


def key(text: str, **limits: Any) -> Any:
    """Return a field that the command line takes as --set KEY=VALUE: its meaning, and limits such as `ge=0`."""
    return Field(description=text, json_schema_extra=KEY, **limits)


SeedKey: TypeAlias = Annotated[int, key("Seed of all randomness.", ge=0)]

RESOURCES = "Resources"  # the group of options in help texts
# How networks are computed, see `device.choose`
OnDevice: TypeAlias = Annotated[str, option("auto, cpu or cuda.", RESOURCES)]
InPrecision: TypeAlias = Annotated[str, option("auto, float32, bfloat16 or float16 (GPU).", RESOURCES)]
ByRuntime: TypeAlias = Annotated[
    str,
    option(
        "Runtime for networks on a CPU: torch, openvino, onnx-int8 or openvino-int8; auto measures once which is faster.",
        RESOURCES,
    ),
]


def option_error(error: ValidationError, kind: type[Any], where: str) -> InputError:
    """Return the `InputError` for values that pydantic refused, one line per value, each beginning with `where`."""
    return InputError("\n".join(_explain(detail, kind, where) for detail in error.errors()))


def refused_value(detail: Any, key: str, where: str) -> str:
    """Explain why pydantic rejected the value of `key` in `where`; detail : one of `ValidationError.errors()`."""
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return f"{where}: {key + ' ' if key else ''}{message}."
    hint = ""
    if detail["type"] == "literal_error":  # pydantic names the choices in one text
        hint = name_hint(detail["input"], re.findall("'([^']*)'", detail["ctx"]["expected"]), otherwise="")
    return f"{where}{': ' + key if key else ''} is {detail['input']!r}. {message}. {hint}".rstrip()


class Section(BaseModel):
    """Base of all sections: immutable, every key is known; `Section(...)` raises InputError for a wrong value."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise option_error(error, type(self), type(self).__name__) from error

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        _add_rows(cls, cls.model_fields)

    # within a larger section pydantic fills it as it does without a constructor of its own, and reports all errors
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def option_group(cls: type[Options]) -> type[Options]:
    """Make a frozen dataclass whose values are checked by annotations and `Field`; InputError names option, value, expectation.

    >>> @option_group
    ... class Window:
    ...     side_px: int = Field(default=5, ge=1)
    >>> Window(3).side_px
    3
    >>> Window(side_px=0)
    Traceback (most recent call last):
    deepnets4eo.errors.InputError: Window: side_px is 0. Input should be greater than or equal to 1.
    """
    made: Any = dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))(cls)
    _add_rows(made, made.__pydantic_fields__)
    construct: Callable[..., None] = made.__init__

    @wraps(construct)
    def check_and_construct(self: Any, *args: Any, **values: Any) -> None:
        try:
            construct(self, *map(_plain, args), **{name: _plain(value) for name, value in values.items()})
        except ValidationError as error:
            raise option_error(error, type(self), type(self).__name__) from error

    made.__init__ = check_and_construct
    return made


def _add_rows(kind: type[Any], fields: Mapping[str, Any]) -> None:
    """Complete the docstring by a row for each field that has a description, so that only its `Field` describes an option."""
    summary, *sections = re.split(r"\n\n(?=\w+\n-{3,}\n)", cleandoc(vars(kind).get("__doc__") or ""))
    own = sections.pop(0) if sections and sections[0].startswith(ROWS) else ROWS
    known = {name.strip() for head in re.findall(r"^(\w[\w, ]*?)(?: :|$)", own, re.M) for name in head.split(",")}
    rows = [
        f"{name} : {field.description}" for name, field in fields.items() if field.description and name not in known
    ]
    if summary and rows:
        kind.__doc__ = "\n\n".join([summary, "\n".join([own, *rows]), *sections])


def options_from(kind: type[Options], values: Mapping[str, Any], where: str) -> Options:
    """Make options from plain values by name; InputError, beginning with `where`, for unknown names and wrong values."""
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise option_error(error, kind, where) from error


def split_names(text: str) -> list[str]:
    """Return the names between the commas of `a, b`."""
    return [name for name in (word.strip() for word in text.split(",")) if name]


def normalise_name(name: str) -> str:
    """Return a name in lower case, with hyphens for spaces and underscores."""
    return "-".join(name.lower().replace("_", " ").replace("-", " ").split())


def plain_options(options: Any, *, exclude_none: bool = False) -> dict[str, Any]:
    """Return plain values, as in JSON, that `options_from` turns back into equal options."""
    values: dict[str, Any] = TypeAdapter(type(options)).dump_python(options, mode="json", exclude_none=exclude_none)
    return values


def _plain(value: Any) -> Any:
    """Return the value; for a path, return its text, which options of both types take."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def is_unknown_name(detail: Any) -> bool:
    """Return whether an error of pydantic is that a name is not known."""
    return detail["type"] in UNKNOWN_NAMES


def _explain(detail: Any, kind: type[Any], where: str) -> str:
    names = list(getattr(kind, "model_fields", None) or kind.__dataclass_fields__)
    location = [part for part in detail["loc"] if part != "[key]"]
    if location and isinstance(location[0], int):  # an argument that was given by its position
        location[0] = names[location[0]]
    key = ".".join(map(str, location))
    if is_unknown_name(detail):
        hint = f" {name_hint(key, names)}" if len(location) == 1 else ""
        return f"{where}: unknown key {key!r}.{hint}"
    return refused_value(detail, key, where)
