"""Writing that never leaves half a file: beside the target, then renamed.

Takes paths and plain values; refuses to overwrite unless told to. Also the one place for hashes, JSON and YAML.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import struct
import tokenize
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import yaml

from deepnets4eo.errors import InputError, OutputError

PARTIAL = ".partial-"
LARGEST_YAML = 10_000_000  # bytes; the parser takes a minute for so many
DEEPEST = 100  # lists and mappings within each other; cards and recipes have six
MOST_ENTRIES = 1_000_000  # of a YAML file's lists and mappings together, what aliases repeat counted each time
# what YAML's constructors raise for values that are not what their tag or form says: 2020-13-45, !!int x, !!bool x
TAG_ERRORS = (ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError)
# what zipfile, zlib and NumPy's reader of headers raise for a damaged archive of arrays
ARCHIVE_ERRORS = (
    BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError, EOFError, OSError, ValueError, KeyError, TypeError,
    IndexError, AttributeError, RuntimeError, OverflowError, MemoryError,
)  # fmt: skip


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the final name, on failure it is removed.

    The suffix is kept, so format drivers that look at it still work. Errors: OutputError when the disk refuses.
    """
    path = Path(path)
    partial = path.with_name(f"{PARTIAL}{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"could not write {path}: {error.strerror or error}. Free some space or choose another --out."
        ) from error
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        elif partial.exists():
            partial.unlink()


def refuse_existing(path: str | Path, *, overwrite: bool, resume: bool | None = None) -> Path:
    """Return `path` if it may be written, else raise OutputError naming the flags that allow it.

    resume : whether to go on with what is there; None where that cannot be done.
    """
    path = Path(path)
    occupied = any(path.iterdir()) if path.is_dir() else path.exists()
    if occupied and not (overwrite or resume):
        go_on = "" if resume is None else ", --resume to go on with it"
        raise OutputError(f"{path} exists already. Pass --overwrite to replace it{go_on}, or choose another --out.")
    return path


def write_text(path: str | Path, text: str) -> Path:
    """Write text atomically; returns the path."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")  # file names may hold any bytes
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:
    """Write JSON atomically; NumPy values become plain ones and NaN becomes null (JSON has none)."""
    return write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


def write_yaml(path: str | Path, value: Any) -> Path:
    """Write YAML atomically, keys in the order given."""
    return write_text(path, yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True))


def read_yaml(path: str | Path) -> Any:
    """Read one YAML file of at most 10 MB; InputError names the file and what does not parse."""
    return parse_yaml(_read_text(path, LARGEST_YAML), str(path))


def parse_yaml(text: str, name: str) -> Any:
    """The value of YAML text; InputError begins with `name` and says what does not parse."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, *TAG_ERRORS) as error:
        raise InputError(f"{name} is not valid YAML: {_reason(error)}") from error
    _check_values(value, name, MOST_ENTRIES)
    return value


def read_json(path: str | Path) -> Any:
    """Read one JSON file; InputError names the file and what does not parse."""
    return parse_json(_read_text(path), str(path))


def parse_json(text: str, name: str) -> Any:
    """The value of JSON text; InputError begins with `name` and says what does not parse."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError also for integers of thousands of digits
        raise InputError(f"{name} is not valid JSON: {_reason(error)}") from error
    _check_values(value, name)
    return value


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """NumPy scalars, arrays and paths as plain Python; NaN and infinities as None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _read_text(path: str | Path, largest: int | None = None) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; `largest` : bytes that it may have."""
    try:
        size = Path(path).stat().st_size
        text = Path(path).read_text(encoding="utf-8-sig") if largest is None or size <= largest else None
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist. Check the path.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file.") from error
    except (OSError, ValueError) as error:  # a folder, a path that no system has
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}. Give a file.") from error
    if text is None:
        raise InputError(f"{path} has {size:,} bytes, expected {largest:,} at most. Is it the right file?")
    return text


def _check_values(value: Any, name: str, most: float = math.inf) -> None:
    """Refuse values nested so deep, or repeated so often by YAML's aliases, that no program could walk through them.

    Also text that cannot be written: JSON and YAML may hold halves of surrogate pairs.
    """
    waiting, entries = [(value, 0)], 0
    while waiting:
        node, depth = waiting.pop()
        if depth > DEEPEST:
            raise InputError(f"{name} nests lists and mappings more than {DEEPEST} deep. Is it the right file?")
        if isinstance(node, str) and not node.isascii() and not _has_utf8(node):
            raise InputError(
                f"{name} holds text with half of a surrogate pair (\\ud800 …). Write the character itself."
            )
        inner = [*node, *node.values()] if isinstance(node, dict) else node if isinstance(node, list) else ()
        entries += len(inner)
        if entries > most:
            raise InputError(f"{name} holds more than {most:,} entries. Is it the right file?")
        waiting.extend((item, depth + 1) for item in inner)


def _has_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(error: Exception) -> str:
    """What a parser says of a text, without its advice to programmers."""
    if isinstance(error, RecursionError):
        return "it nests lists and mappings too deep."
    if isinstance(error, KeyError):
        return f"the value {error} is not of the type that its tag names."
    return str(error).split("; use sys.")[0]
