"""Writing that never leaves half a file: beside the target, then renamed.

Takes paths and plain values; refuses to overwrite unless told to. Also the one place for hashes, JSON and YAML.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.formats.yaml_text import load_yaml

PARTIAL = ".partial-"


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
        partial.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:
    """Write JSON atomically; NumPy values become plain ones and NaN becomes null (JSON has none)."""
    return write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


def write_yaml(path: str | Path, value: Any) -> Path:
    """Write YAML atomically, keys in the order given."""
    return write_text(path, yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True))


def read_yaml(path: str | Path) -> Any:
    """Read one YAML file; InputError names the file and the line that does not parse."""
    try:
        return load_yaml(_read_text(path), str(path))
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {error}") from error


def read_json(path: str | Path) -> Any:
    """Read one JSON file; InputError names the file and where it does not parse."""
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error


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


def _read_text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist. Check the path.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file.") from error
