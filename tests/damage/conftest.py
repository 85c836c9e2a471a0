"""Long steps that the jobs of one test file share."""

from collections.abc import Iterator

import pytest
from done_once import build_once, gather_once, label_once


@pytest.fixture(scope="module", autouse=True)
def _registered_once(registered_once: None) -> None:
    """In all files of this room."""


@pytest.fixture(scope="module")
def gathered_once() -> Iterator[None]:
    """The jobs of a file gather the same evidence once."""
    with pytest.MonkeyPatch.context() as patch:
        gather_once(patch)
        yield


@pytest.fixture(scope="module")
def labelled_once() -> Iterator[None]:
    """The networks of a file are built once, and label the same tile once."""
    with pytest.MonkeyPatch.context() as patch:
        build_once(patch)
        label_once(patch)
        yield
