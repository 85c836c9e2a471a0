"""State of a training on disk: one safetensors file with its scalars as JSON in the header; nothing is unpickled.

Written to a file next to the target and renamed. Refuses files that are truncated, damaged, foreign, or of another network.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import atomic_write, parse_json, plain

NETWORK, OPTIMIZER = "network.", "optimizer."
HEADER, CHECKSUM = "deepnets4eo", "crc32"


def save_state(path: Path, network: nn.Module, optimizer: Optimizer | None, scalars: Mapping[str, Any]) -> None:
    """Write weights, optimiser and scalars as one file, atomically. Memory: one copy of both."""
    tensors = {NETWORK + name: _own(value) for name, value in network.state_dict().items()}
    steps: dict[str, Any] = {}
    for index, entries in (optimizer.state_dict()["state"] if optimizer else {}).items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{OPTIMIZER}{index}.{key}"] = _own(value)
            else:
                steps[f"{index}.{key}"] = value
    values = plain({**scalars, "optimizer_scalars": steps})
    header = json.dumps({CHECKSUM: _checksum(values, tensors), **values})
    with atomic_write(path) as partial:
        save_file(tensors, partial, metadata={HEADER: header})  # one key: safetensors writes several in any order


def load_state(path: Path, network: nn.Module, optimizer: Optimizer | None = None) -> dict[str, Any]:
    """Load a saved state into a network (and its optimiser); returns the scalars. Errors: RunError for a foreign file."""
    scalars, tensors = _read(path)
    weights = {name.removeprefix(NETWORK): value for name, value in tensors.items() if name.startswith(NETWORK)}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(f"{path} is of another network: {error}. Train again without --resume.") from error
    steps = scalars.pop("optimizer_scalars", {})
    if optimizer is not None:
        try:
            optimizer.load_state_dict({**optimizer.state_dict(), "state": _optimizer_state(tensors, steps)})
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise RunError(
                f"{path} holds another optimiser's state: {error!r}. Train again without --resume."
            ) from error
    return scalars


def read_scalars(path: Path) -> dict[str, Any]:
    """Read the scalars of a saved state; its tensors stay on disk."""
    try:
        with safe_open(path, framework="pt") as file:
            scalars = parse_json((file.metadata() or {})[HEADER], "its header")
        if not isinstance(scalars, dict):
            raise InputError(f"its header holds a {type(scalars).__name__}")
    except (SafetensorError, OSError, KeyError, InputError) as error:
        raise RunError(
            f"{path} is no training state of this package ({error}). Train again without --resume."
        ) from error
    return scalars


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    scalars = read_scalars(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    checksum = scalars.pop(CHECKSUM, None)  # files of before have none
    if checksum is not None and checksum != _checksum(scalars, tensors):
        raise RunError(
            f"{path} is damaged: its content has another checksum than was written. Train again without --resume."
        )
    return scalars, tensors


def _checksum(scalars: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 of the scalars and of all tensors, in the order of their names."""
    checksum = zlib.crc32(json.dumps(scalars).encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, checksum)
    return f"{checksum:08x}"


def _optimizer_state(tensors: Mapping[str, Tensor], steps: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    state: dict[int, dict[str, Any]] = {}
    entries: dict[str, Any] = {**steps}
    entries |= {name.removeprefix(OPTIMIZER): value for name, value in tensors.items() if name.startswith(OPTIMIZER)}
    for name, value in entries.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    return state


def _own(value: Tensor) -> Tensor:
    """Return a contiguous copy on the CPU: safetensors refuses tensors that share their storage."""
    return value.detach().cpu().clone().contiguous()
