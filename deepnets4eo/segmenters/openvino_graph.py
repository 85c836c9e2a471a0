"""Graphs of ONNX computed by OpenVINO on processors, compiled once for each shape of images; works without PyTorch.

The package that reports the use of OpenVINO is not imported: nothing is sent.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.errors import RunError
from deepnets4eo.segmenters.onnx_graph import NO_MEMORY, OnnxGraph

REPORTS = "openvino_telemetry"
MAX_COMPILED = (
    4  # shapes at once, each with the memory of its image: pairs, POST and two other networks of a damage job
)


def compute_graph(graph: OnnxGraph, output: str, image: FloatImage, threads: int) -> FloatImage:
    """Compute one output of a graph with one input. Errors: RunError for what OpenVINO refuses; MemoryError."""
    try:
        return _compiled(graph, output, image.shape, threads).compute(image)
    except RuntimeError as error:
        if any(word in str(error) for word in NO_MEMORY):
            raise MemoryError(f"OpenVINO, for {graph.source}: {error}") from error
        lines = str(error).strip().splitlines() or [repr(error)]
        raise RunError(
            f"{graph.source} cannot be computed by OpenVINO: {lines[-1]}. Use --runtime onnx-int8 or torch."
        ) from error


def compile_model(model: Any, shape: tuple[int, ...], threads: int) -> Any:
    """Return a request to infer images of a shape by a model of OpenVINO on the CPU. Its floating-point numbers stay float32."""
    with without_reports():
        from openvino import Core

    model.reshape(list(shape))
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # processes of a job would share one core
    }
    return Core().compile_model(model, "CPU", settings).create_infer_request()


@contextmanager
def without_reports() -> Iterator[None]:
    """Within the context the package that reports the use of OpenVINO cannot be imported; OpenVINO does without it."""
    loaded = sys.modules.get(REPORTS)
    sys.modules[REPORTS] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[REPORTS]
        if loaded is not None:
            sys.modules[REPORTS] = loaded


class _Compiled:
    """A request to infer, whose buffers one thread uses at a time."""

    def __init__(self, request: Any) -> None:
        self._request, self._alone = request, threading.Lock()

    def compute(self, image: FloatImage) -> FloatImage:
        with self._alone:
            results: Mapping[Any, NDArray[Any]] = self._request.infer([np.ascontiguousarray(image)], share_inputs=True)
            return np.array(results[0])


@lru_cache(maxsize=MAX_COMPILED)
def _compiled(graph: OnnxGraph, output: str, shape: tuple[int, ...], threads: int) -> _Compiled:
    """Compile what one output needs."""
    with without_reports():
        from openvino import Core, Model

    whole = Core().read_model(graph.content)
    return _Compiled(compile_model(Model([whole.output(output)], whole.get_parameters()), shape, threads))
