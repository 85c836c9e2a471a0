"""Record of a result: inputs by their content, every option that shapes it, and the versions of code, packages of others and weights.

The record stays with the result. It shows a job with `--resume` whether a finished result is its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from deepnets4eo.addresses import shown_address, without_secrets
from deepnets4eo.errors import CompleteError, InputError, OtherJobError
from deepnets4eo.files import ARCHIVE_ERRORS, plain, sha256
from deepnets4eo.formats import READ_ERRORS, is_remote, open_raster
from deepnets4eo.grid import READ_PX
from deepnets4eo.jobs.identities import code_and_weights, file_state, identity, values_hash
from deepnets4eo.outputs.input_files import files_behind
from deepnets4eo.plugins import foreign_versions
from deepnets4eo.prefetch import in_order

# How a job is done, not what comes out: these options may differ between a job and the one that resumes it
NO_SHAPE = frozenset(
    {"workers", "processes", "memory_bytes", "threads", "part", "resume", "overwrite", "products_only"}
)
UNKNOWN = "unknown"  # state of a remote file whose server does not report one
INPUTS, OPTIONS, VERSION = "inputs", "options", "version"
PACKAGES = "packages"  # among the options: versions and hashes of code of packages of others, if any are installed
JOB_TAG = "JOB"  # of rasters that a job wrote as single files
MAX_SHOWN_CHARACTERS = 80  # characters of a value in a message


@dataclass(frozen=True)
class InputState:
    """One input of a job as it was when the job began.

    name : the input as it is shown, without secrets
    state : hash of sizes and times of its files, or of what a server reports; "" for words and arrays
    content : hash of the content; "" until it is measured, and for what is not on this computer
    files : whose content counts
    about : hash of what else belongs to it, such as the bands that are used
    """

    name: str
    state: str = ""
    content: str = ""
    files: tuple[Path, ...] = field(default=(), compare=False, repr=False)
    about: str = field(default="", compare=False, repr=False)

    @classmethod
    def of(cls, source: Any) -> InputState:
        """Describe a path, a folder, an address, a layer, an array, a word, or a list or mapping of these."""
        if hasattr(source, "paths") and hasattr(source, "grid"):  # a layer
            name = shown_address(str(source.source))
            about = _hash([identity(source.grid), source.bands, repr(source.nodata), _selection(source)])
            if not source.paths:
                return cls(name, content=_hash([values_hash(source), about]))
            return cls._joined([cls.of(str(path)) for path in source.paths], name, about)
        if isinstance(source, Mapping):
            source = [source[key] for key in sorted(source)]
        if isinstance(source, (list, tuple)):
            parts = [cls.of(item) for item in source]
            return parts[0] if len(parts) == 1 else cls._joined(parts, ", ".join(part.name for part in parts))
        if not isinstance(source, (str, Path)):
            values = _array_hash(source) if hasattr(source, "__array__") else identity(source)
            return cls(type(source).__name__, content=_hash(values))
        name = shown_address(str(source))
        if is_remote(str(source)):
            return cls(name, _remote_state(str(source)))
        files, about = _files_of(str(source)), str(source).partition("#")[2]
        return cls(name, _hash([[identity(file) for file in files], about]) if files else "", files=files, about=about)

    @classmethod
    def _joined(cls, parts: Sequence[InputState], name: str, about: str = "") -> InputState:
        """Describe an input of several files."""
        states = [part.state for part in parts]
        others = [part.content or part.name for part in parts if not part.files]
        state = UNKNOWN if UNKNOWN in states else _hash([states, others, about])
        words = _hash([about, others])
        return cls(name, state, files=tuple(file for part in parts for file in part.files), about=words)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> InputState:
        """Read what `to_dict` wrote."""
        name, state, content = (str(values.get(key, "")) for key in ("name", "state", "content"))
        return cls(name, state, content)

    def to_dict(self) -> dict[str, str]:
        """Plain values, ready for JSON."""
        return {key: text for key in ("name", "state", "content") if (text := str(getattr(self, key)))}

    def with_content(self) -> InputState:
        """Return the state with the hash of the content, "" if a file changed since or cannot be read."""
        if self.content or not self.files:
            return self
        try:
            digests = list(in_order(sha256, self.files))
        except OSError:
            return self
        return replace(self, content=_hash([digests, self.about]))

    def is_same(self, before: InputState) -> bool | None:
        """Return whether this input is the same as `before`; None if that cannot be known."""
        if UNKNOWN in (self.state, before.state):
            return None
        if self.state and self.state == before.state:
            return True
        now = self.with_content().content
        if now and before.content:
            return now == before.content
        if self.state or before.state:
            return None if self.files and not before.content and before.state else False
        return now == before.content and self.name == before.name

    def difference(self, before: InputState) -> str:
        """Return how the input differs from `before` in words, "" if it is the same."""
        same = self.is_same(before)
        if same:
            return ""
        if same is None:
            return f"it cannot be known whether {self.name} is unchanged"
        if before.name in (self.name, Path(self.name).name):
            return f"{self.name} has changed"
        return f"{before.name} then, {self.name} now"


@dataclass(frozen=True)
class JobRecord:
    """Inputs by role, options by name, and versions of code and weights that a result follows from."""

    inputs: Mapping[str, InputState]
    options: Mapping[str, Any]
    version: str

    @classmethod
    def of(cls, inputs: Mapping[str, Any], *groups: Any, **options: Any) -> JobRecord:
        """Describe a job. inputs : role → source, None if not given; groups : dataclasses of options; options : others by name."""
        values = dict(options)
        for group in groups:
            values |= asdict(group) if is_dataclass(group) and not isinstance(group, type) else dict(group)
        shaping = {name: value for name, value in values.items() if name not in NO_SHAPE and name not in inputs}
        if foreign := foreign_versions():
            shaping[PACKAGES] = foreign
        states = {role: InputState.of(source) for role, source in inputs.items() if not _is_absent(source)}
        return cls(states, json.loads(json.dumps(without_secrets(plain(shaping)), default=repr)), code_and_weights())

    @classmethod
    def from_dict(cls, values: Any) -> JobRecord | None:
        """Read what `to_dict` wrote; None for anything else."""
        try:
            inputs = {str(role): InputState.from_dict(state) for role, state in values[INPUTS].items()}
            return cls(inputs, dict(values[OPTIONS]), str(values[VERSION]))
        except (KeyError, TypeError, AttributeError, ValueError):
            return None

    @classmethod
    def parse(cls, text: str | None) -> JobRecord | None:
        """Read what `to_text` wrote; None for anything else."""
        try:
            return None if text is None else cls.from_dict(json.loads(text))
        except (ValueError, RecursionError):
            return None

    @classmethod
    def read(cls, path: Path, key: str | None = None) -> JobRecord | None:
        """Read the record of a JSON file, or of a key in it; None if there is none."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls.from_dict(values if key is None else values[key])
        except (*ARCHIVE_ERRORS, RecursionError):
            return None

    @classmethod
    def of_raster(cls, path: str | Path) -> JobRecord | None:
        """Read the record in the tags of a raster; None if it has none or cannot be read."""
        try:
            with open_raster(path) as dataset:
                return cls.parse(dataset.tags().get(JOB_TAG))
        except (InputError, *READ_ERRORS):
            return None

    def with_content(self) -> JobRecord:
        """Return the record with the hashes of the contents of all inputs."""
        return replace(self, inputs={role: state.with_content() for role, state in self.inputs.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        inputs = {role: state.to_dict() for role, state in self.inputs.items()}
        return {INPUTS: inputs, OPTIONS: dict(self.options), VERSION: self.version}

    def to_text(self) -> str:
        """Return one line of JSON with names and contents, whose bytes do not depend on where and when the inputs were stored."""
        complete = self.with_content()
        timeless = {
            role: InputState(Path(state.name).name, content=state.content) if state.content else state
            for role, state in complete.inputs.items()
        }
        return json.dumps(replace(complete, inputs=timeless).to_dict(), separators=(",", ":"), sort_keys=True)

    @property
    def tags(self) -> dict[str, str]:
        """The record as a tag of a raster."""
        return {JOB_TAG: self.to_text()}

    def differences(self, before: JobRecord) -> dict[str, str]:
        """Return the roles and names that differ from the record `before`, each with how in words."""
        differing = dict[str, str]()
        for role in [*self.inputs, *(role for role in before.inputs if role not in self.inputs)]:
            then, now = before.inputs.get(role), self.inputs.get(role)
            if then is None or now is None:
                differing[role] = f"{then.name if then else None} then, {now.name if now else None} now"
            elif text := now.difference(then):
                differing[role] = text
        values = {**self.options, VERSION: self.version}, {**before.options, VERSION: before.version}
        for name in sorted(values[0].keys() | values[1].keys()):
            now, then = (side.get(name) for side in values)
            if now != then:
                differing[name] = _change(then, now)
        return differing

    def check_same(self, before: JobRecord | None, what: str) -> None:
        """Refuse (OtherJobError) a record `before` of another job, or None, which is of an unknown one. what : is of that job."""
        how = "or pass --overwrite in place of --resume to begin again"
        if before is None:
            raise OtherJobError(
                f"{what} does not state which inputs and options it is of, so it cannot be resumed. Choose another path, {how}."
            )
        if differing := self.differences(before):
            details = "; ".join(f"{name} {text}" for name, text in differing.items())
            raise OtherJobError(
                f"{what} is of another job: {details}. Give the same inputs and options, {how}.", differing
            )

    def check_complete(self, results: Mapping[Path, JobRecord | None]) -> NoReturn:
        """Raise CompleteError if all finished results are of this job, else OtherJobError; results : path → its record."""
        for path, before in results.items():
            self.check_same(before, str(path))
        out = next(iter(results))
        raise CompleteError(
            f"already complete, nothing is left to resume: {out} exists already. Pass --overwrite in place of --resume to "
            "replace it, or choose another path.", out,
        )  # fmt: skip


def _is_absent(source: Any) -> bool:
    return source is None or (isinstance(source, (list, tuple, Mapping)) and not source)


def _change(then: Any, now: Any) -> str:
    """Return how a value changed in words; of a mapping only what changed in it."""
    if not (isinstance(then, Mapping) and isinstance(now, Mapping)):
        return f"{_short(then)} then, {_short(now)} now"
    keys = [key for key in sorted({*then, *now}) if then.get(key) != now.get(key)]
    return ", ".join(f"{key} {_change(then.get(key), now.get(key))}" for key in keys)


def _array_hash(array: Any) -> list[str]:
    """Return the hashes of an array, read in strips, and of its mask or its coordinates and attributes."""
    digest = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    for start in range(0, array.shape[-2] if array.ndim > 1 else 1, READ_PX):
        strip = array[..., start : start + READ_PX, :] if array.ndim > 1 else array
        for part in (np.asarray(strip), np.ma.getmaskarray(strip) if np.ma.isMaskedArray(strip) else None):
            digest.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
    coordinates = {str(name): np.asarray(values).tolist() for name, values in getattr(array, "coords", {}).items()}
    return [digest.hexdigest(), _hash([coordinates, repr(getattr(array, "attrs", ""))])]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"


def _selection(layer: Any) -> str:
    """Return what the name of a layer selects from its files, such as an array."""
    text = str(layer.source)
    for path in sorted(map(str, layer.paths), key=len, reverse=True):
        text = text.replace(path, "")
    return text if len(layer.paths) == 1 else ""


def _files_of(text: str) -> tuple[Path, ...]:
    """Return the files of a path, a folder or a pattern, sorted by name; none of a word."""
    paths = {path for path in files_behind(text) if path.exists()}
    files = {path for path in paths if path.is_file()}
    if not files:
        files = {path for folder in paths for path in folder.rglob("*") if path.is_file()}
    return tuple(sorted(files))


def _remote_state(address: str) -> str:
    """Return the hash of what the server reports: the size with the ETag, else with the date."""
    state = file_state(address)
    if state is None:
        return UNKNOWN
    _, size, tag, day = state
    return _hash([size, tag or day]) if tag or day else UNKNOWN


def _hash(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=repr).encode()).hexdigest()
