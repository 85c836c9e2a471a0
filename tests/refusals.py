"""Assert that bad input is refused, by the kind of the error and the values that its message names, whatever its words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

MIN_CHARACTERS = 3


@contextmanager
def raises_naming(error: type[Exception], *values: object) -> Iterator[pytest.ExceptionInfo[Exception]]:
    """Assert that the block raises an error whose message names each value; a number is no part of another number or word.

    One value has three characters or more, such as a file, an option or a number with its noun: any message has a "2".
    """
    assert any(len(str(value)) >= MIN_CHARACTERS for value in values), f"{values} are named by any message"
    with pytest.raises(error) as caught:
        yield caught
    message = str(caught.value)
    absent = [value for value in map(str, values) if not _names(message, value)]
    assert not absent, f"the message does not name {absent}: {message}"


def _names(message: str, value: str) -> bool:
    if value.isdigit():
        return re.search(rf"(?<![\w.]){value}(?!\w)", message) is not None
    return value in message
