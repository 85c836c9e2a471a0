"""The reference documents what every public name takes and returns: numpydoc rows for all parameters, and a Returns section."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"
PACKAGES = sorted(
    name for page in REFERENCE.glob("*.md") for name in re.findall(r"{{ public ([\w.]+) }}", page.read_text("utf-8"))
)
SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n(.*?)(?=^\w[\w ]*\n-{3,}\n|\Z)", re.M | re.S)
VARIABLE = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


def public_objects(package: str) -> Iterator[tuple[str, Any]]:
    """Yields name and value of every class and function that a package's page of the reference shows."""
    module = import_module(package)
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            yield name, value


def sections(docstring: str) -> dict[str, str]:
    """Returns title and text of the numpydoc sections of a docstring."""
    return dict(SECTION.findall(inspect.cleandoc(docstring) + "\n"))


def row_names(text: str) -> set[str]:
    """Returns the names at the beginning of the rows of a section; `a, b : int` is a row of two."""
    heads = [line.partition(":")[0] for line in text.splitlines() if line and not line[0].isspace()]
    return {name.strip(" *`") for head in heads for name in head.split(",")}


def parameter_names(value: Callable[..., Any]) -> list[str]:
    """Returns the parameters of a function, or of the constructor of a class."""
    if inspect.isclass(value) and (
        issubclass(value, Enum) or getattr(value, "_is_protocol", False) or value.__init__ is object.__init__
    ):
        return []
    parameters = inspect.signature(value).parameters.values()
    return [one.name for one in parameters if not (inspect.isclass(value) and one.kind in VARIABLE)]


def missing_rows(name: str, value: Any) -> list[str]:
    """Returns what the docstring of a public class or function lacks, in words; of a class also undocumented methods."""
    documented = sections(value.__doc__ or "")
    if inspect.isclass(value):
        own = sections(value.__init__.__doc__ or "") if "__init__" in vars(value) else {}
        rows = row_names(
            f"{documented.get('Parameters', '')}\n{documented.get('Attributes', '')}\n{own.get('Parameters', '')}"
        )
        methods = [key for key, member in vars(value).items() if not key.startswith("_") and is_code(member)]
        problems = [f"no docstring of {key}" for key in methods if not inspect.getdoc(getattr(value, key))]
    else:
        rows, problems = row_names(documented.get("Parameters", "")), []
        returned = inspect.signature(value).return_annotation
        if returned not in (None, "None") and not {"Returns", "Yields"} & set(documented):
            problems.append("no section Returns")
    without = [parameter for parameter in parameter_names(value) if parameter not in rows]
    problems += [f"no row of {', '.join(without)}"] if without else []
    return [f"{value.__module__}.{name}: {problem}" for problem in problems]


def is_code(member: Any) -> bool:
    return inspect.isfunction(member) or isinstance(member, (classmethod, staticmethod, property))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_parameter_and_result_of_a_public_name_has_a_row(package: str) -> None:
    problems = [problem for name, value in public_objects(package) for problem in missing_rows(name, value)]
    assert not problems, "\n".join(problems)


def test_a_docstring_without_rows_is_found() -> None:
    def half(first: int, second: int) -> int:
        """Returns the first.

        Parameters
        ----------
        first : int
            Any number; second : is not a row.
        """
        return first

    class Pair:
        """Two numbers.

        Parameters
        ----------
        left, right : int
            The numbers.
        """

        def __init__(self, left: int, right: int, *, scale: float = 1.0) -> None:
            self.left, self.right, self.scale = left, right, scale

        def total(self) -> int:
            return self.left + self.right

    problems = [
        problem.partition(": ")[2]
        for name, value in (("half", half), ("Pair", Pair))
        for problem in missing_rows(name, value)
    ]
    assert problems == ["no section Returns", "no row of second", "no docstring of total", "no row of scale"]


def test_rows_of_every_style_are_read() -> None:
    text = """Summary.

    Parameters
    ----------
    image : (C, H, W) float32
        Reflectance: 0 to 1.
    rows, cols
        Pixels.
    *others : Layer
        More.

    Returns
    -------
    bool
        Whether.
    """
    assert row_names(sections(text)["Parameters"]) == {"image", "rows", "cols", "others"}
    assert "Returns" in sections(text)
