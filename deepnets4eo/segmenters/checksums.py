"""The seal of a run folder: a card that names every file with its size and SHA-256, and signs itself.

Takes a folder and plain values; refuses folders that are foreign, truncated or changed since, naming the file.
The seal finds accidents and careless edits; it does not protect against deliberate forgery."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from deepnets4eo.addresses import without_secrets
from deepnets4eo.cards import ShippedModel
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import plain, read_json, sha256, write_json, write_text

ENCODER = "encoder"  # kind of runs that hold the first weights of an encoder alone
FORMAT = "deepnets4eo-run"
FORMAT_VERSION = 1
SIGNATURE = "card_sha256"


@dataclass(frozen=True)
class RunFolder:
    """The folder of a trained run, and the files in it."""

    path: str | Path

    @property
    def is_run(self) -> bool:
        """Return whether the path is the folder of a trained run, rather than the name of a model."""
        return self.card.is_file()

    @property
    def card(self) -> Path:
        """Return the sealed card, which names the other files."""
        return Path(self.path) / "card.json"

    @property
    def recipe(self) -> Path:
        """Return the recipe as resolved."""
        return Path(self.path) / "recipe.yaml"

    @property
    def legend(self) -> Path:
        """Return the legend of the labels."""
        return Path(self.path) / "legend.yaml"

    @property
    def log(self) -> Path:
        """Return the table of the training with one row per epoch."""
        return Path(self.path) / "log.csv"

    @property
    def metrics(self) -> Path:
        """Return the scores on the withheld data."""
        return Path(self.path) / "metrics.json"

    @property
    def weights(self) -> Path:
        """Return the weights of a network."""
        return Path(self.path) / "weights.safetensors"

    @property
    def int8_weights(self) -> Path:
        """Return the graph of the network in 8-bit integers, for processors."""
        return Path(self.path) / "weights.int8.onnx"

    @property
    def hub_weights(self) -> Path:
        """Return the weights in a folder for Hugging Face."""
        return Path(self.path) / "model.safetensors"

    @property
    def read_weights(self) -> Path:
        """Return the weights to read: of Hugging Face if the folder contains them, else of the run."""
        return self.hub_weights if self.hub_weights.is_file() else self.weights


def shipped_run(name: str) -> Path | None:
    """Return the folder of a model that is shipped with weights; None if this copy of the toolbox has no weights of it."""
    if name not in ShippedModel.names():
        return None
    folder = ShippedModel(name).folder
    return folder if RunFolder(folder).is_run else None


class _SealedFile(BaseModel):
    model_config = ConfigDict(strict=True)

    bytes: int
    sha256: str


class _SealedFiles(BaseModel):
    """Content of every sealed card: name in the folder → size and hash."""

    files: dict[str, _SealedFile]


def seal(folder: str | Path, card: dict[str, Any], files: Iterable[str]) -> Path:
    """Write `card.json` with the sizes and hashes of `files` (names inside the folder), addresses without users and queries; returns its path."""
    folder = Path(folder)
    sealed = {"format": FORMAT, "format_version": FORMAT_VERSION} | without_secrets(plain(card))
    sealed["files"] = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in files
    }
    return write_json(RunFolder(folder).card, sealed | {SIGNATURE: hash_of(sealed)})


def open_sealed(folder: str | Path) -> dict[str, Any]:
    """Read a folder's card after checking it and every file it names; RunError where anything is missing or changed."""
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"{folder} is not a folder. Give the run folder that 'deepnets4eo train' made.")
    path = RunFolder(folder).card
    if not path.is_file():
        raise RunError(
            f"{folder} has no {path.name}, so it is not a run. Give the folder that 'deepnets4eo train' made."
        )
    card = _read_card(path)
    for name, expected in card["files"].items():
        _check_file(folder, name, expected)
    return card


def stored_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    """Plain values of a recipe as a run holds them: addresses have no user and no query, which may sign them."""
    stored: dict[str, Any] = without_secrets(plain(recipe))
    return stored


def write_recipe(path: str | Path, recipe: dict[str, Any]) -> str:
    """Write a run's recipe as YAML, its SHA-256 in the first line; returns the SHA-256."""
    import yaml

    stored = stored_recipe(recipe)
    digest = hash_of(stored)
    body = yaml.safe_dump(stored, sort_keys=False, allow_unicode=True)
    write_text(path, f"# resolved recipe, sha256 {digest}\n{body}")
    return digest


def hash_of(value: Any) -> str:
    """SHA-256 of plain values, whatever the order of their keys."""
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = read_json(path)
    except InputError as error:
        raise RunError(f"{error} The run is truncated or damaged; copy it again.") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise RunError(f"{path} does not describe a deepnets4eo run. Give the folder that 'deepnets4eo train' made.")
    if card.get("format_version") != FORMAT_VERSION:
        raise RunError(
            f"{path} has format version {card.get('format_version')}, this version of deepnets4eo reads {FORMAT_VERSION}. "
            "Update deepnets4eo, or train the run again."
        )
    signature = card.pop(SIGNATURE, None)
    if signature != hash_of(card):
        raise RunError(f"{path} was changed after the run was sealed. Copy the run again, or train it again.")
    try:
        _SealedFiles.model_validate(card)
    except ValidationError as error:
        raise RunError(
            f"{path} does not list the run's files with the size and SHA-256 of each ({error.errors()[0]['msg']}). Train the run again."
        ) from error
    return card


def _check_file(folder: Path, name: str, expected: dict[str, Any]) -> None:
    path = folder / name
    if "\0" in name or path.resolve().parent != folder.resolve():
        raise RunError(
            f"{RunFolder(folder).card} names {name!r}, which is not inside the run. The run is not to be trusted."
        )
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError as error:  # a name that no disk takes
        raise RunError(f"{path} is missing from the run: {error.strerror}. Copy the run again.") from error
    if size is None:
        raise RunError(f"{path} is missing from the run. Copy the run again.")
    if size != expected["bytes"]:
        raise RunError(
            f"{path} has {size} bytes, its card says {expected['bytes']}: it is truncated or was changed. Copy the run again."
        )
    if sha256(path) != expected["sha256"]:
        raise RunError(f"{path} was changed after the run was sealed (SHA-256 differs). Copy the run again.")
