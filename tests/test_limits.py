"""The page of limits promises what files and the network may ask for; each value is that of the name next to it.

Thresholds of algorithms are not on the page: tests of what they do hold them, not a second copy of the number."""

import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "limits.md"
ROWS = re.findall(
    r"^\| ([^|]+) \| ([\d,.]+)( MB| GB)? \| `([\w.]+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
)
UNITS = {"": 1, " MB": 2**20, " GB": 2**30}


def value_of(name: str) -> object:
    """Return a constant of a module, or the field of a class there."""
    module, *rest = re.fullmatch(r"([a-z_0-9.]+?)((?:\.[A-Z]\w*)(?:\.\w+)?)", name).groups()  # type: ignore[union-attr]
    return reduce(getattr, rest[0].strip(".").split("."), import_module(f"deepnets4eo.{module}"))


@pytest.mark.parametrize(("what", "number", "unit", "name"), ROWS, ids=[row[3] for row in ROWS])
def test_a_limit_of_the_page_is_that_of_the_code(what: str, number: str, unit: str, name: str) -> None:
    assert value_of(name) == pytest.approx(float(number.replace(",", "")) * UNITS[unit], rel=1e-12)


def test_every_row_of_the_page_is_compared_and_none_is_there_twice() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.endswith("` |")]
    assert len(lines) == len(ROWS) == len({row[3] for row in ROWS}) > 50
