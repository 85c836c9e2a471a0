"""Assert that bad input is refused, by the kind of the error and the values that its message names, whatever its words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def raises_naming(error: type[Exception], *values: object) -> Iterator[pytest.ExceptionInfo[Exception]]:
    """Assert that the block raises an error whose message names each value as a word of its own, not as a part of another."""
    with pytest.raises(error) as caught:
        yield caught
    message = str(caught.value)
    absent = [value for value in map(str, values) if not re.search(rf"(?<![\w.]){re.escape(value)}(?!\w)", message)]
    assert not absent, f"the message does not name {absent}: {message}"
