"""Graphs rewritten for integers compute what they did before, with fewer nodes (a graph made by hand, random values)."""

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from integer_graph import keep_integers
from onnx import TensorProto, helper, numpy_helper

SCALES = {"first": 0.02, "half": 0.01, "doubled": 0.02}
SIDE = 8


def values(name: str, array: Any) -> TensorProto:
    return numpy_helper.from_array(np.asarray(array), name)


def bytes_of(name: str, scale: str) -> list[Any]:
    """The two nodes that convert a value to bytes with a scale, and back."""
    return [
        helper.make_node("QuantizeLinear", [name, f"{scale}_scale", "zero"], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", f"{scale}_scale", "zero"], [f"{name}_dq"]),
    ]


def graph() -> onnx.ModelProto:
    """A convolution whose Relu is between two conversions, one whose Relu is in front of a doubling behind a Cast, and a MaxPool of bytes."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(0.2, 0.8, (2, 2, 1, 1)).astype(np.float32) for _ in range(3)]
    nodes = [
        helper.make_node("Conv", ["image", "w0"], ["a"]), *bytes_of("a", "half"),
        helper.make_node("Relu", ["a_dq"], ["b"]), *bytes_of("b", "first"),
        helper.make_node("MaxPool", ["b_dq"], ["c"], kernel_shape=[2, 2], strides=[2, 2]), *bytes_of("c", "first"),
        helper.make_node("Conv", ["c_dq", "w1"], ["d"]), *bytes_of("d", "half"),
        helper.make_node("Relu", ["d_dq"], ["e"]),
        helper.make_node("Cast", ["e"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Resize", ["f", "", "scales"], ["g"], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        *bytes_of("g", "doubled"),
        helper.make_node("Conv", ["g_dq", "w2"], ["logits"]),
    ]  # fmt: skip
    stored = [values(f"w{number}", one) for number, one in enumerate(weights)]
    stored += [values(f"{name}_scale", np.float32(scale)) for name, scale in SCALES.items()]
    stored += [values("zero", np.uint8(0)), values("scales", np.array([1, 1, 2, 2], np.float32))]
    shape = [1, 2, SIDE, SIDE]
    made = helper.make_graph(
        nodes, "small", [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)], stored,
    )  # fmt: skip
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def compute(model: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": image})[0])


def test_a_rewritten_graph_has_no_float_between_its_convolutions_and_the_same_logits() -> None:
    image = np.random.default_rng(1).uniform(0, 2, (1, 2, SIDE, SIDE)).astype(np.float32)
    before = compute(graph(), image)
    made = keep_integers(graph())
    kinds = Counter(node.op_type for node in made.graph.node)
    assert kinds["Relu"] == kinds["Cast"] == 0
    assert kinds["QuantizeLinear"] == 3 < Counter(node.op_type for node in graph().graph.node)["QuantizeLinear"]
    assert compute(made, image) == pytest.approx(before, abs=4 * max(SCALES.values()))  # rounded once less
    assert before.std() > 0.1


def test_a_relu_whose_value_is_used_in_float32_stays() -> None:
    model = graph()
    model.graph.output.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 2, SIDE, SIDE]))
    model.graph.node.append(helper.make_node("Neg", ["b"], ["minus"]))
    assert [node.op_type for node in keep_integers(model).graph.node].count("Relu") == 1


def test_stored_values_that_nothing_uses_leave() -> None:
    made = keep_integers(graph()).graph
    used = {name for node in made.node for name in node.input}
    assert {tensor.name for tensor in made.initializer} <= used
