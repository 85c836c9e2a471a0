"""Atomic writing of files (next to their target, then renamed, so that none is ever half-written); hashes, JSON and YAML.

Refuses to overwrite without a flag, and YAML whose names (&a, *a) expand a few lines to millions of values.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
import struct
import sys
import tokenize
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import yaml

from deepnets4eo.errors import PROJ_REMEDY, InputError, OutputError

MAX_CHARACTERS = 16_000_000
MAX_VALUES = 1_000_000  # with everything written out that a name stands for

PARTIAL = ".partial-"
NAMELESS = ("", "..")  # last part of the paths ".", "/" and ".."
MAX_YAML_BYTES = 4 * MAX_CHARACTERS  # larger files are not read, as they cannot be parsed
MAX_DEPTH = 100  # of lists and mappings within each other; cards and recipes have six
# raised by YAML's constructors for values that do not fit their tag or form: 2020-13-45, !!int x, !!bool x
TAG_ERRORS = (ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError)
# not for libyaml: signs on which it may differ from PyYAML, and lines that begin many lists or mappings in each other
UNUSUAL_YAML = re.compile("[\t\x85\u2028\u2029\ufeff]|^[ ?:-]{200}", re.M)
# raised by zipfile, zlib and NumPy's reader of headers for a damaged archive of arrays
ARCHIVE_ERRORS = (
    BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError, EOFError, OSError, ValueError, KeyError, TypeError,
    IndexError, AttributeError, RuntimeError, OverflowError, MemoryError,
)  # fmt: skip

# A partial file: eight letters or digits, or `stream` in earlier versions, then the name. Files that a job can resume with are named otherwise.
LEFTOVER = re.compile(rf"{re.escape(PARTIAL)}(?:[0-9a-z_]{{8}}|stream)-(?P<name>.+)")
# what a job into `name` goes on from
OWN_FOLDER = re.compile(rf"{re.escape(PARTIAL)}(?:scratch|rows(?:-\d+-of-\d+)?)-(?P<name>.+)")
SIDE_FILES = ("", ".aux.xml", "-journal", "-wal", "-shm", ".ovr.tmp", ".msk.ovr.tmp")  # of GDAL and SQLite

# Errors of libraries that cannot write, beside OSError. A library that is not loaded raises none.
WRITER_ERRORS = (
    ("lazrs", "LazrsError"),
    ("pyarrow.lib", "ArrowException"),
    ("pyogrio.errors", "DataLayerError"),
    ("pyogrio.errors", "DataSourceError"),
    ("rasterio._err", "CPLE_BaseError"),
    ("rasterio.errors", "RasterioError"),
    ("safetensors", "SafetensorError"),
    ("sqlite3", "Error"),
)
REASON_LENGTH = 200
FULL = "Free some space or choose another path."
REMEDIES = {
    errno.EACCES: "Ask for the right to write there, or choose another path.",
    errno.EPERM: "Ask for the right to write there, or choose another path.",
    errno.EROFS: "Nothing can be written there; choose another path.",
    errno.ENAMETOOLONG: "Choose a shorter name for --out.",
    errno.ENOTDIR: "A part of its path is a file, not a folder; choose another path.",
    errno.EEXIST: "A part of its path is a file, not a folder; choose another path.",
    errno.EISDIR: "A folder has that name; choose another path.",
    errno.EMFILE: "Let a process open more files, e.g. ulimit -n 4096, or use fewer workers.",
}
# of files with names that can be foretold: no link is followed, and no pipe waited for; Windows has no such flags
OWN_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
FOREIGN = {errno.ELOOP, errno.EMLINK, errno.ENXIO}  # a link, a link on BSD, a pipe that nobody reads


def writer_errors() -> tuple[type[Exception], ...]:
    """Return the errors of failed writing: OSError and the errors of the loaded libraries."""
    loaded = [getattr(sys.modules[module], name) for module, name in WRITER_ERRORS if module in sys.modules]
    return (OSError, *loaded)


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Raise OutputError, in the same words, for every error of failed writing within the context."""
    try:
        yield
    except OutputError:
        raise
    except writer_errors() as error:
        code = error.errno if isinstance(error, OSError) else None  # GDAL has numbers of its own
        reason = _reason(error)
        remedy = REMEDIES.get(code, FULL) if code is not None else PROJ_REMEDY if "PROJ: " in reason else FULL
        raise OutputError(f"could not write {path}: {reason}. {remedy}") from error


def system_error(error: OSError | MemoryError) -> str:
    """Return a system error as a sentence with its file and a remedy."""
    if isinstance(error, MemoryError):
        return f"the memory does not suffice: {_reason(error)}. Close other programs, or lower --memory."
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{_reason(error)}. {REMEDIES.get(error.errno or 0, 'Check the path, its rights and the disk.')}"


def named_path(path: Path) -> Path:
    """Return the path, which files can be next to: "." and ".." by their own names. Errors: OutputError for the root of a disk."""
    path = path.resolve() if path.name in NAMELESS else path
    if not path.name:
        raise OutputError(f"{path} is a whole disk, and nothing is written next to it. Choose another path.")
    return path


def partial_path(path: Path) -> Path:
    """Return a new name next to `path` for an unfinished file; its name cannot be predicted, so no link can wait there.

    Errors: OutputError for the root of a disk.
    """
    path = named_path(path)
    return path.with_name(f"{PARTIAL}{uuid.uuid4().hex[:8]}-{path.name}")


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `path` with its suffix; on success it is renamed to `path`, on failure removed."""
    path = Path(path)
    if path.name in NAMELESS:  # a folder by its name; for other folders the system says so
        check_file_name(path)
    check_name(path)
    partial = partial_path(path)
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            mode = _new_file_mode(partial)
            yield partial
            if partial.is_file():
                partial.chmod(mode)
                sync_file(partial)
            os.replace(partial, path)
    except BaseException:
        for left in _with_side_files(partial):  # GDAL and SQLite write files of their own beside it
            remove(left)
        raise


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk: after a crash a name that was given to it later has all of it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def open_own(path: str | Path, flags: int) -> int:
    """Open a job's own file with flags of `os.open`; OutputError for a link or no plain file."""
    try:
        if os.path.islink(path):  # where the system has no O_NOFOLLOW
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        file = os.open(path, flags | OWN_FLAGS, 0o666)
    except OSError as error:
        if error.errno in FOREIGN:
            raise _foreign(path) from error
        raise
    if not _is_own(os.fstat(file)):
        os.close(file)
        raise _foreign(path)
    return file


def check_own_folder(folder: Path) -> None:
    """Refuse a job's own folder that is a link or holds one, at any depth. Raises OutputError naming it."""
    if folder.is_symlink():
        raise _foreign(folder)
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            with suppress(FileNotFoundError):  # another part of the job has just renamed it
                status = path.lstat()
                if not (stat.S_ISDIR(status.st_mode) or _is_own(status)):
                    raise _foreign(path)


def is_leftover(path: Path) -> bool:
    """Return True if a file was left half-written by a killed job."""
    return LEFTOVER.fullmatch(path.name) is not None


def remove_leftovers(out: Path) -> None:
    """Remove half-written files of killed jobs next to and in `out`, which is locked; keep files that a job can resume with."""
    if out.parent.is_dir():
        for item in os.scandir(out.parent):
            match = LEFTOVER.fullmatch(item.name)
            if match and match["name"] in {out.name + suffix for suffix in SIDE_FILES}:
                remove(Path(item.path))
    if out.is_dir():
        for item in os.scandir(out):
            match = LEFTOVER.fullmatch(item.name)
            if match and not (out / f"{PARTIAL}lock-{match['name']}").exists():  # else another job writes it here
                remove(Path(item.path))


def check_name(path: str | Path) -> None:
    """Refuse (OutputError) an output whose name is no UTF-8: GDAL and other libraries that write cannot take it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise OutputError(f"the name of the output {path} is not UTF-8. Choose another one.") from error


def check_file_name(path: str | Path) -> Path:
    """Return the path of an output file; refuse (OutputError) a folder, also "." and "..", and a name that is no UTF-8."""
    path = Path(path)
    check_name(path)
    if path.name in NAMELESS or os.path.isdir(path):
        raise OutputError(f"{path} is a folder, expected the name of a file to write. Add a name: {path / 'NAME'}.")
    return path


def check_overwrite(path: str | Path, *, overwrite: bool, resume: bool | None = None) -> Path:
    """Return `path` if it may be written, else raise OutputError, which names the flags; resume : None if nothing is interrupted."""
    path = Path(path)
    check_name(path)
    if path.is_dir():  # half-written files of killed jobs do not count
        occupied = any(not item.name.startswith(PARTIAL) for item in path.iterdir())
    else:
        occupied = path.exists()
    if occupied and not (overwrite or resume):
        go_on = "" if resume is None else ", --resume to go on with it"
        raise OutputError(f"{path} exists already. Pass --overwrite to replace it{go_on}, or choose another path.")
    return path


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text atomically; returns the path."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")  # file names may hold any bytes
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:
    """Write JSON atomically; returns the path. NumPy values become plain ones, NaN becomes null."""
    return write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


def write_yaml(path: str | Path, value: Any) -> Path:
    """Write YAML atomically, keys in the order given; returns the path."""
    return write_text(path, yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True))


def read_yaml(path: str | Path, *, max_bytes: int = MAX_YAML_BYTES) -> Any:
    """Return the value of a YAML file. Errors: InputError."""
    return parse_yaml(read_text(path, max_bytes), str(path))


def parse_yaml(text: str, name: str) -> Any:
    """Return the value of YAML text. Errors: InputError, which begins with `name`."""
    try:
        value = load_yaml(text, name)
    except (yaml.YAMLError, RecursionError, *TAG_ERRORS) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} is not valid YAML: {_parser_reason(error)}") from error
    _check_values(value, name)
    return value


def read_json(path: str | Path) -> Any:
    """Return the value of a JSON file. Errors: InputError."""
    return parse_json(read_text(path), str(path))


def parse_json(text: str, name: str) -> Any:
    """Return the value of JSON text. Errors: InputError, which begins with `name`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError also for integers of thousands of digits
        raise InputError(f"{name} is not valid JSON: {_parser_reason(error)}") from error
    _check_values(value, name)
    return value


def sha256(path: str | Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """Return NumPy scalars, arrays and paths as plain Python values; NaN and infinities as None."""
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


def read_text(path: str | Path, max_bytes: int | None = None) -> str:
    """Return the text of a UTF-8 file of at most `max_bytes`. Errors: InputError."""
    try:
        size = Path(path).stat().st_size
        text = Path(path).read_text(encoding="utf-8-sig") if max_bytes is None or size <= max_bytes else None
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist. Check the path.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file. Check the path.") from error
    except (OSError, ValueError) as error:  # a folder, a path that no system has
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}. Give a file.") from error
    if text is None:
        raise InputError(f"{path} has {size:,} bytes, expected {max_bytes:,} at most. Is it the right file?")
    return text


def _check_values(value: Any, name: str) -> None:
    """Refuse values nested deeper than programs walk, and text that cannot be written: halves of surrogate pairs."""
    waiting = [(value, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise InputError(f"{name} nests lists and mappings more than {MAX_DEPTH} deep. Is it the right file?")
        if isinstance(node, str) and not node.isascii() and re.search("[\ud800-\udfff]", node):
            raise InputError(
                f"{name} holds text with half of a surrogate pair (\\ud800 …). Write the character itself."
            )
        inner = [*node, *node.values()] if isinstance(node, dict) else node if isinstance(node, list) else ()
        waiting.extend((item, depth + 1) for item in inner)


def _parser_reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it nests lists and mappings too deep."
    if isinstance(error, KeyError):
        return f"the value {error} is not of the type that its tag names."
    return str(error).split("; use sys.")[0]


def _reason(error: BaseException) -> str:
    """Return the first cause as one short line; some libraries print their whole statement."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= REASON_LENGTH else f"{line[:REASON_LENGTH]} …"


def _new_file_mode(probe: Path) -> int:
    """Return the permissions that the umask gives to a new file; os.umask would change the umask for all threads."""
    try:
        with probe.open("xb") as file:
            return os.fstat(file.fileno()).st_mode & 0o777
    finally:
        probe.unlink(missing_ok=True)


def _with_side_files(partial: Path) -> list[Path]:
    try:
        return [Path(item.path) for item in os.scandir(partial.parent) if item.name.startswith(partial.name)]
    except OSError:  # the folder itself could not be made
        return []


def _is_own(status: os.stat_result) -> bool:
    """Return whether the path is a plain file with a single name: a second name is a link as well."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink <= 1


def _foreign(path: str | Path) -> OutputError:
    return OutputError(
        f"{path} is a link or no plain file, but a job keeps a file or folder of its own there. Remove it, or choose another path."
    )


def remove(path: Path) -> None:
    """Remove a file, a folder (renamed first, so that half of it is never taken for whole) or a link itself."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    if not is_leftover(path):
        own = OWN_FOLDER.fullmatch(path.name)
        path = path.rename(partial_path(path.with_name(own["name"] if own else path.name)))
    shutil.rmtree(path, ignore_errors=True)


def load_yaml(text: str, name: str, most_characters: int = MAX_CHARACTERS) -> Any:
    """Return the value of YAML. Errors: InputError, naming `name`, for too much YAML; yaml.YAMLError for invalid YAML."""
    if len(text) > most_characters:
        raise InputError(
            f"{name} has {len(text):,} characters, more than {most_characters:,}: no table of settings. Check the path."
        )
    quick = getattr(yaml, "CSafeLoader", None)  # ten times as fast, but the process ends where values nest without end
    brackets = text.count("[") + text.count("{")
    if quick and brackets < 1000 and not (brackets and "?" in text) and not UNUSUAL_YAML.search(text):
        with suppress(yaml.YAMLError, *TAG_ERRORS):  # what is wrong is said by the other one
            return _load_yaml(quick(text), name, text)
    return _load_yaml(yaml.SafeLoader(text), name, text)


def _load_yaml(loader: Any, name: str, text: str) -> Any:
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if "*" in text and _values(node) > MAX_VALUES:
            raise InputError(
                f"{name} stands for more than {MAX_VALUES:,} values, through names such as &a and *a. Write it without."
            )
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _values(root: yaml.Node) -> float:
    """Count the values of a tree with each name expanded; infinite if a name contains itself."""
    counts: dict[int, float] = {}
    waiting: list[tuple[yaml.Node, bool]] = [(root, False)]
    while waiting:
        node, inner_done = waiting.pop()
        if inner_done:
            counts[id(node)] = 1 + sum(counts[id(child)] for child in _inner(node))
        elif id(node) not in counts:
            counts[id(node)] = float("inf")  # until its inner ones are counted: a node that holds itself stays infinite
            waiting.append((node, True))
            waiting.extend((child, False) for child in _inner(node))
    return counts[id(root)]


def _inner(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
