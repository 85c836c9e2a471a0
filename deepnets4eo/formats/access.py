"""What the program may reach on behalf of a file: the network only where the user asked for it, and files by name.

Takes the files that the user named, and reasons to stay offline; refuses to download where there is such a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from deepnets4eo.errors import InputError

_offline: ContextVar[str | None] = ContextVar("offline", default=None)
_named: list[Path] = []  # of the whole process: threads see them, too


@contextmanager
def named_by_the_user(arguments: Iterable[str]) -> Iterator[None]:
    """Files and folders among these words of a command line may be what a VRT refers to, wherever they lie."""
    before = list(_named)
    words = [
        word for argument in arguments for word in (argument, argument.partition("=")[2])
    ]  # image=FILE, --legend=FILE
    _named.extend(Path(word).resolve() for word in words if _exists(word))
    try:
        yield
    finally:
        _named[:] = before


def named() -> tuple[Path, ...]:
    """What the user named, resolved."""
    return tuple(_named)


def is_named(path: Path) -> bool:
    """Whether the user named this file (resolved), or a folder that it lies in."""
    return any(path == one or one in path.parents for one in _named)


@contextmanager
def offline(reason: str) -> Iterator[None]:
    """A stretch of work in which nothing is downloaded; `reason` says why and what to do, for the message."""
    token = _offline.set(reason)
    try:
        yield
    finally:
        _offline.reset(token)


def refuse_offline(what: str) -> None:
    """To be called before every download. Errors: InputError within `offline`."""
    reason = _offline.get()
    if reason is not None:
        raise InputError(f"{what} would be downloaded, but {reason}")


def is_remote(text: str) -> bool:
    """Whether a source is a URL or one of GDAL's virtual file systems, not a path."""
    return "://" in text or text.startswith("/vsi")


def _exists(word: str) -> bool:
    try:
        return bool(word) and Path(word).exists()
    except (OSError, ValueError):  # too long for a path, or with a NUL
        return False
