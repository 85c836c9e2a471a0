"""Resources that the program may reach on behalf of a file: the network only if the user named an address, and files the user named."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from deepnets4eo.addresses import has_scheme, path_of, server_of
from deepnets4eo.errors import InputError

TIMEOUT_S = 60  # without a byte, until an address is given up
GDAL_LIMITS = {
    "GDAL_HTTP_CONNECTTIMEOUT": TIMEOUT_S,
    "GDAL_HTTP_LOW_SPEED_TIME": TIMEOUT_S,
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1,  # bytes a second
}

_offline: ContextVar[str | None] = ContextVar("offline", default=None)
_user_files: list[Path] = []  # of the whole process: threads see them, too


@contextmanager
def allow_user_files(arguments: Iterable[str]) -> Iterator[None]:
    """Let a VRT refer to files and folders among these words of a command line, in any folder."""
    before = list(_user_files)
    words = [word for text in arguments for word in (text, text.partition("=")[2])]  # image=FILE, --legend=FILE
    _user_files.extend(Path(word).resolve() for word in words if _exists(word))
    try:
        yield
    finally:
        _user_files[:] = before


def limit_waiting() -> None:
    """Let GDAL give up an address that sends nothing; in the environment, for workers too."""
    for name, value in GDAL_LIMITS.items():
        os.environ.setdefault(name, str(value))


def user_files() -> tuple[Path, ...]:
    """Return the resolved paths that the user named."""
    return tuple(_user_files)


def lies_beside(file: Path, target: Path) -> bool:
    """Return whether a file refers to a target in its own folder or to one that the user named; target : resolved."""
    return file.resolve().parent in target.parents or any(
        target == path or path in target.parents for path in _user_files
    )


def check_beside(file: Path, target: Path, remedy: str) -> None:
    """Refuse (InputError) what a file refers to outside its folder, unless the user named it; target : resolved."""
    if not lies_beside(file, target):
        raise InputError(f"{file} refers to {target}, outside its own folder {file.resolve().parent}. {remedy}")


@contextmanager
def offline(reason: str) -> Iterator[None]:
    """Download nothing within a `with` block; `reason` gives the cause and the remedy for the message."""
    token = _offline.set(reason)
    try:
        yield
    finally:
        _offline.reset(token)


def check_online(what: str) -> None:
    """Refuse a download within `offline`; called before every download. Errors: InputError."""
    reason = _offline.get()
    if reason is not None:
        raise InputError(f"{what} would be downloaded, but {reason}")


def is_remote(text: str) -> bool:
    """Return whether a source is a URL or one of GDAL's virtual file systems, not a path; C://maps is a path of Windows.

    >>> is_remote("https://example.org/a.tif"), is_remote("C://maps/a.tif"), is_remote(r"C:\\maps\\a.tif")
    (True, False, False)
    """
    return text.startswith("/vsi") or has_scheme(text)


def address_remedy(text: str) -> str:
    """Return what to do about an address that nothing is read from: the path that a file:// address means, or a download."""
    if not text.lower().startswith("file:"):
        return "Download it."
    if (server := server_of(text)) and os.name != "nt":
        return f"It is on another computer, {server}: mount its folder, and give the path there."
    return f"Give its path: {path_of(text)}"


def check_exist(sources: Iterable[str]) -> None:
    """Refuse missing files and folders with one InputError; what may be no plain path passes."""
    missing = [
        text for text in sources
        if text != "-" and not is_remote(text) and not set(text) & set("*?[#") and not _exists(text)
    ]  # fmt: skip
    if missing:
        raise missing_error(*missing)


def missing_error(*names: str) -> InputError:
    """Return the error for files and folders that do not exist, with the remedy for names that GDAL has for layers within files."""
    verb = "does not exist" if len(names) == 1 else "do not exist"
    within = any(":" in Path(name).name for name in names)
    inner = " Names of layers within files (NETCDF:…) are not read: translate the layer first." * within
    return InputError(f"{', '.join(names)} {verb}. Check the path.{inner}")


def _exists(word: str) -> bool:
    try:
        return bool(word) and Path(word).exists()
    except (OSError, ValueError):  # too long for a path, or with a NUL
        return False
