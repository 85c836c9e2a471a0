"""Permission to download first weights: only within `allow_downloads`, so that nothing goes online by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from deepnets4eo.errors import InputError
from deepnets4eo.formats import check_online

_allowed: ContextVar[bool] = ContextVar("allowed", default=False)


@contextmanager
def allow_downloads(online: bool = True) -> Iterator[None]:
    """Allow the download of first weights within a `with` block if `online`; otherwise nothing changes."""
    token = _allowed.set(online or _allowed.get())
    try:
        yield
    finally:
        _allowed.reset(token)


def check_download(what: str) -> None:
    """Refuse a download that is not allowed; called before each. Errors: InputError."""
    check_online(what)
    if not _allowed.get():
        raise InputError(
            f"{what} would be downloaded. Allow it: create_model(..., online=True) in Python, --online on the command line; or "
            "give a file on this computer."
        )
