"""Graphs of ONNX: read once, checked before ONNX Runtime sees them, computed by sessions that belong to their bytes.

Refuses graphs that name other files for their weights, and graphs with loops, which may never end: ONNX Runtime (1.19 at least) follows
such names to any file of the computer, and a graph is a file of others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import RunError
from deepnets4eo.formats import protobuf_fields

MAX_BYTES = 2**31  # of a message of protobuf
MAX_DEPTH = 32  # of graphs within nodes
LOOPS = frozenset({"Loop", "Scan"})
EXTERNAL = 1  # data_location of a tensor whose values are in another file

# Fields of onnx.proto that lead to nodes and tensors: number → the message in it. A name in capitals is looked at by itself.
MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {4: "OPERATOR", 5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "EXTERNAL_DATA", 14: "DATA_LOCATION"},
}
# Words of its errors, and of oneDNN's, for memory that is not to be had.
NO_MEMORY = ("bad_alloc", "bad allocation", "could not create a primitive", "Failed to allocate", "out of memory")


@dataclass(frozen=True)
class GraphTensor:
    """Name and shape of an input or output, None for free sides, and the type of its numbers, such as float or int64."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float"


@dataclass(frozen=True)
class OnnxGraph:
    """A checked graph.

    content : the file's bytes, from which sessions are made, so that a replaced file changes nothing
    source : its name in messages
    """

    content: bytes
    source: str

    @classmethod
    def open(cls, path: Path) -> OnnxGraph:
        """Read and check a file. Errors: RunError for a file that cannot be read, is no graph, names other files, or has loops."""
        try:
            if path.stat().st_size > MAX_BYTES:
                raise RunError(
                    f"{path} has more than 2 GB, expected a graph of ONNX with its weights. Export it in half precision."
                )
            content = path.read_bytes()
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error.strerror}. Copy it again.") from error
        graph = cls(content, str(path))
        graph.check()
        return graph

    def check(self) -> None:
        """Refuse what is no graph, names other files, or has loops. Errors: RunError."""
        try:
            for name, value in _looked_at(memoryview(self.content), "model"):
                if name == "EXTERNAL_DATA" or (name == "DATA_LOCATION" and value == EXTERNAL):
                    raise RunError(
                        f"{self.source} has weights in another file, which is not read. Save it as one file "
                        "(onnx.save with save_as_external_data=False)."
                    )
                if name == "OPERATOR" and value in LOOPS:
                    raise RunError(
                        f"{self.source} has a loop ({value}), which may never end. Export a network without loops."
                    )
        except RunError:
            raise
        except (IndexError, ValueError) as error:
            raise RunError(f"{self.source} is not a whole graph of ONNX. Copy it again.") from error

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of the bytes."""
        return hashlib.sha256(self.content).hexdigest()

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OnnxGraph) and (other.digest, other.source) == (self.digest, self.source)

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the texts that the graph states of itself. Errors: RunError."""
        with self._reading():
            texts: Mapping[str, str] = self.session().get_modelmeta().custom_metadata_map
        return texts

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn the error on names that are no text into RunError."""
        try:
            yield
        except UnicodeDecodeError as error:
            raise RunError(f"{self.source} has names that are no text. Copy it again.") from error

    @property
    def inputs(self) -> list[GraphTensor]:
        """Return the inputs. Errors: RunError."""
        with self._reading():
            return [_tensor(described) for described in self.session().get_inputs()]

    @property
    def outputs(self) -> list[GraphTensor]:
        """Return the outputs. Errors: RunError."""
        with self._reading():
            return [_tensor(described) for described in self.session().get_outputs()]

    def session(self, threads: int = 1, *, exact: bool = False, keep_memory: bool = False) -> Any:
        """Return the session of ONNX Runtime; `keep_memory` of the largest image for the next; `exact` computes integers as floating-point numbers, as no operations are joined. Errors: RunError."""
        return _session(self, threads, exact=exact, keep_memory=keep_memory)

    def compute(
        self,
        outputs: Sequence[str],
        feeds: Mapping[str, NDArray[Any]],
        threads: int = 1,
        *,
        exact: bool = False,
        keep_memory: bool = False,
    ) -> list[NDArray[Any]]:
        """Compute outputs by name.

        Errors: MemoryError for memory that is not to be had; RunError for anything else that ONNX Runtime refuses.
        """
        session = self.session(threads, exact=exact, keep_memory=keep_memory)
        try:
            return [np.asarray(values) for values in session.run(list(outputs), dict(feeds))]
        except Exception as error:  # its errors have no common base
            raise self._failure(error, "computed") from error

    def _failure(self, error: Exception, what: str) -> Exception:
        """Return the error to raise in place of ONNX Runtime's."""
        import onnxruntime

        lines = str(error).splitlines() or [repr(error)]
        if isinstance(error, MemoryError) or any(word in str(error) for word in NO_MEMORY):
            return MemoryError(f"ONNX Runtime, for {self.source}: {lines[0]}")
        return RunError(
            f"{self.source} cannot be {what} by ONNX Runtime {onnxruntime.__version__}: {lines[0]}. Copy the run again."
        )


@lru_cache(maxsize=8)
def _session(graph: OnnxGraph, threads: int, *, exact: bool, keep_memory: bool = False) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if exact:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    # the memory of the largest tile, for as long as the session lives: 7 % faster (Dynamic World, tiles of 576 px)
    options.enable_cpu_mem_arena = keep_memory
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that wait take no processor time
    try:
        return onnxruntime.InferenceSession(graph.content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base
        raise graph._failure(error, "read") from error


def _tensor(described: Any) -> GraphTensor:
    shape = tuple(side if isinstance(side, int) else None for side in described.shape)
    return GraphTensor(described.name, shape, str(described.type).removeprefix("tensor(").removesuffix(")"))


def _looked_at(message: memoryview, kind: str, depth: int = 0) -> Iterator[tuple[str, str | int]]:
    """Yield the values of a message, at any depth, that `MESSAGES` names in capitals. Raises IndexError, ValueError for what is cut or nests too deep."""
    if depth > MAX_DEPTH:
        raise ValueError("graphs within graphs without end")
    within = MESSAGES[kind]
    for number, value in protobuf_fields(message):
        name = within.get(number)
        if name is None:
            continue
        if name in MESSAGES:
            if not isinstance(value, memoryview):
                raise ValueError("not a message")
            yield from _looked_at(value, name, depth + 1)
        else:
            yield name, value if isinstance(value, int) else bytes(value).decode("utf-8", "replace")
