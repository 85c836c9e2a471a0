"""What is asked of OpenVINO and how its errors read, with a library that stands for it."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deepnets4eo.errors import RunError
from deepnets4eo.segmenters import openvino_graph
from deepnets4eo.segmenters.openvino_graph import REPORTS, compile_model, compute_graph, without_reports


class Graph:
    source, content = "graph.onnx", b"graph"


GRAPH: Any = Graph()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was compiled: model, device, settings."""
    compiled: list[Any] = []

    class Request:
        def infer(self, images: list[np.ndarray], *, share_inputs: bool) -> dict[int, np.ndarray]:
            assert share_inputs
            assert images[0].flags["C_CONTIGUOUS"]
            return {0: 2 * images[0], 1: images[0]}

    class Model:
        def __init__(self, outputs: Any = None, parameters: Any = None) -> None:
            self.outputs, self.parameters, self.shape = outputs, parameters, None

        def reshape(self, shape: list[int]) -> None:
            self.shape = shape

        def output(self, name: str) -> str:
            return f"output {name}"

        def get_parameters(self) -> str:
            return "parameters"

    class Core:
        def read_model(self, content: bytes) -> Model:
            assert content == GRAPH.content
            return Model()

        def compile_model(self, model: Model, device: str, settings: dict[str, Any]) -> Any:
            assert REPORTS not in sys.modules or sys.modules[REPORTS] is not None, "only the import is without reports"
            compiled.append((model, device, settings))
            return SimpleNamespace(create_infer_request=Request)

    library: Any = ModuleType("openvino")
    library.Core, library.Model = Core, Model
    monkeypatch.setitem(sys.modules, "openvino", library)
    openvino_graph._compiled.cache_clear()
    yield compiled
    openvino_graph._compiled.cache_clear()


def test_networks_are_compiled_in_single_precision_for_the_threads_and_no_core_of_their_own(asked: list[Any]) -> None:
    model: Any = SimpleNamespace(reshape=lambda shape: setattr(model, "shape", shape))
    compile_model(model, (1, 3, 64, 64), 3)
    (_, device, settings), *_ = asked
    assert (device, model.shape) == ("CPU", [1, 3, 64, 64])
    assert settings == {
        "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 3, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False,
    }  # fmt: skip


def test_one_output_of_a_graph_is_compiled_once_for_a_shape(asked: list[Any]) -> None:
    image = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    for _ in range(2):
        found = compute_graph(GRAPH, "scores", image.transpose(0, 1, 3, 2), 2)
        np.testing.assert_array_equal(found, 2 * image.transpose(0, 1, 3, 2))
    compute_graph(GRAPH, "scores", image, 2)
    compute_graph(GRAPH, "features", image, 2)
    assert [(model.outputs, model.shape) for model, *_ in asked] == [
        (["output scores"], [1, 2, 4, 3]), (["output scores"], [1, 2, 3, 4]), (["output features"], [1, 2, 3, 4]),
    ]  # fmt: skip
    assert {model.parameters for model, *_ in asked} == {"parameters"}


@pytest.mark.parametrize("loaded", [True, False])
def test_the_package_that_reports_use_is_only_hidden_within_the_context(
    loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = ModuleType(REPORTS)
    monkeypatch.delitem(sys.modules, REPORTS, raising=False)
    if loaded:
        monkeypatch.setitem(sys.modules, REPORTS, package)
    with without_reports(), pytest.raises(ImportError):
        __import__(REPORTS)
    assert sys.modules.get(REPORTS) is (package if loaded else None)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("std::bad_alloc", MemoryError, "OpenVINO, for graph.onnx: std::bad_alloc"),
        ("Exception from src:\nnot supported: Loop\n", RunError, "by OpenVINO: not supported: Loop. Use --runtime"),
        ("", RunError, "by OpenVINO: RuntimeError"),
    ],
)
def test_errors_of_openvino_are_one_line_or_too_little_memory(
    text: str, error: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError(text)

    monkeypatch.setattr(openvino_graph, "_compiled", fail)
    with pytest.raises(error) as raised:
        compute_graph(GRAPH, "scores", np.zeros((1, 3, 8, 8), np.float32), 1)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
