"""Graphs of others are checked before ONNX Runtime sees them: no other file is read, no loop begins, and bytes are computed as read."""

import pickle
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from refusals import raises_naming

from deepnets4eo.cards import ShippedModel
from deepnets4eo.errors import RunError
from deepnets4eo.segmenters import RunFolder, int8_network, onnx_graph
from deepnets4eo.segmenters.int8_network import FACTS, INPUT, OUTPUT, InputFacts, Int8Network
from deepnets4eo.segmenters.onnx_graph import OnnxGraph

SHIPPED = RunFolder(ShippedModel("buildings").folder).int8_weights
IMAGE = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)


def graph_of(nodes, *, inputs=("x",), initializer=(), functions=()) -> onnx.ModelProto:
    shape = ["n", 3, "h", "w"]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in (*inputs, "y")]
    graph = helper.make_graph(nodes, "g", values[:-1], values[-1:], initializer=list(initializer))
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, functions=list(functions)
    )


def scaled(factor: float) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.array(factor, np.float32), "factor")
    return graph_of([helper.make_node("Mul", ["x", "factor"], ["y"])], initializer=[weight])


def external_tensor(name: str = "factor") -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.array(2, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../secret.txt"), ("offset", "0"), ("length", "4")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def in_initializer() -> onnx.ModelProto:
    return graph_of([helper.make_node("Mul", ["x", "factor"], ["y"])], initializer=[external_tensor()])


def in_constant() -> onnx.ModelProto:
    constant = helper.make_node("Constant", [], ["factor"], value=external_tensor())
    return graph_of([constant, helper.make_node("Mul", ["x", "factor"], ["y"])])


def in_branch() -> onnx.ModelProto:
    output = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    branch = helper.make_graph(
        [helper.make_node("Identity", ["factor"], ["z"])], "b", [], [output], [external_tensor()]
    )
    whether = numpy_helper.from_array(np.array(True), "whether")
    node = helper.make_node("If", ["whether"], ["y"], then_branch=branch, else_branch=branch)
    return graph_of([node], initializer=[whether])


def in_training() -> onnx.ModelProto:
    model = scaled(2.0)
    model.training_info.add().algorithm.CopyFrom(in_initializer().graph)
    return model


def loop(op: str = "Loop") -> onnx.NodeProto:
    names = ["i", "go_on", "v"]
    kinds = [TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT]
    values = [helper.make_tensor_value_info(name, kind, None) for name, kind in zip(names, kinds, strict=True)]
    out = [helper.make_tensor_value_info("w", TensorProto.FLOAT, None)]
    body = helper.make_graph([helper.make_node("Identity", ["v"], ["w"])], "body", values, [values[1], *out])
    return helper.make_node(op, ["", "", "x"], ["y"], body=body)


def in_function() -> onnx.ModelProto:
    function = helper.make_function("own", "f", ["x"], ["y"], [loop()], [helper.make_opsetid("", 17)])
    return graph_of([helper.make_node("f", ["x"], ["y"], domain="own")], functions=[function])


@pytest.mark.parametrize("make", [in_initializer, in_constant, in_branch, in_training])
def test_weights_in_another_file_are_refused_before_a_session_exists(tmp_path: Path, monkeypatch, make) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("a session was made"))
    (tmp_path / "secret.txt").write_bytes(b"1234")
    file = tmp_path / "model" / "x.onnx"
    file.parent.mkdir()
    file.write_bytes(make().SerializeToString())
    with raises_naming(RunError, str(file), "another file"):
        OnnxGraph.open(file)


@pytest.mark.parametrize("model", [graph_of([loop()]), graph_of([loop("Scan")]), in_function()])
def test_loops_are_refused(tmp_path: Path, model: onnx.ModelProto) -> None:
    file = tmp_path / "x.onnx"
    file.write_bytes(model.SerializeToString())
    with raises_naming(RunError, str(file), "loop"):
        OnnxGraph.open(file)


def test_a_replaced_file_is_another_graph_and_the_first_stays_as_it_was_read(tmp_path: Path) -> None:
    file = tmp_path / "x.onnx"
    results = []
    for factor in (2.0, 3.0):
        file.write_bytes(scaled(factor).SerializeToString())
        graph = OnnxGraph.open(file)
        results.append((graph, graph.compute(["y"], {"x": IMAGE})[0]))
    for (graph, values), factor in zip(results, (2.0, 3.0), strict=True):
        np.testing.assert_allclose(values, factor * IMAGE)
        np.testing.assert_array_equal(graph.compute(["y"], {"x": IMAGE})[0], values)
        again = pickle.loads(pickle.dumps(graph))  # noqa: S301 - what was pickled here
        np.testing.assert_array_equal(again.compute(["y"], {"x": IMAGE})[0], values)


def test_graphs_are_equal_by_their_bytes_and_name(tmp_path: Path) -> None:
    content, other = (scaled(factor).SerializeToString() for factor in (2.0, 3.0))
    graph = OnnxGraph(content, "a.onnx")
    assert graph == OnnxGraph(content, "a.onnx")
    assert graph != OnnxGraph(other, "a.onnx")
    assert graph != OnnxGraph(content, "b.onnx"), "errors name the file"


def test_names_shapes_and_texts_are_read(tmp_path: Path) -> None:
    model = scaled(2.0)
    helper.set_model_props(model, {"author": "somebody"})
    file = tmp_path / "x.onnx"
    file.write_bytes(model.SerializeToString())
    graph = OnnxGraph.open(file)
    assert dict(graph.metadata) == {"author": "somebody"}
    assert [(one.name, one.shape) for one in (*graph.inputs, *graph.outputs)] == [
        ("x", (None, 3, None, None)),
        ("y", (None, 3, None, None)),
    ]


@pytest.mark.parametrize("size", [0, 1, 100, -1])
def test_files_that_are_cut_or_something_else_are_refused(tmp_path: Path, size: int) -> None:
    content = scaled(2.0).SerializeToString()
    file = tmp_path / "x.onnx"
    file.write_bytes(content[:size] if size else b"<!doctype html>" * 9)
    with raises_naming(RunError, str(file)):
        graph = OnnxGraph.open(file)
        graph.compute(["y"], {"x": IMAGE})


@pytest.mark.parametrize(
    "words", ["std::bad_alloc", "could not create a primitive", "Failed to allocate memory for 9 bytes"]
)
def test_memory_that_is_not_to_be_had_is_told_as_such(tmp_path: Path, monkeypatch, words: str) -> None:
    file = tmp_path / "x.onnx"
    file.write_bytes(scaled(2.0).SerializeToString())
    graph = OnnxGraph.open(file)

    class Full:
        def run(self, *_: object) -> None:
            raise RuntimeError(f"[ONNXRuntimeError] : 6 : {words}\nmore lines")

    monkeypatch.setattr(OnnxGraph, "session", lambda *_, **__: Full())
    with pytest.raises(MemoryError, match=words.replace(":", ".")) as caught:
        graph.compute(["y"], {"x": IMAGE})
    assert "\n" not in str(caught.value)


def with_facts(change: dict[str, object]) -> onnx.ModelProto:
    import json

    model = onnx.load(SHIPPED)
    (entry,) = (one for one in model.metadata_props if one.key == FACTS)
    entry.value = json.dumps(json.loads(entry.value) | change)
    return model


@pytest.mark.parametrize(
    "change", [{"channels": 6}, {"channels": 0}, {"dates": 0}, {"unscaled_bands": 3}, {"last_alone": True}, {"more": 1}]
)
def test_facts_that_are_not_of_the_graph_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    file = tmp_path / "weights.int8.onnx"
    file.write_bytes(with_facts(change).SerializeToString())
    with raises_naming(RunError, str(file), "does not describe its images"):
        Int8Network(file).logits(IMAGE)


def test_all_bands_of_a_graph_that_states_no_more_are_scaled_together() -> None:
    image = np.arange(3 * 32 * 32, dtype=np.float32).reshape(1, 3, 32, 32)
    prepared = InputFacts(channels=3).prepare(image)
    one_band = np.arange(32 * 32).reshape(32, 32)
    np.testing.assert_allclose(prepared[0], np.stack([(one_band - one_band.mean()) / one_band.std()] * 3), atol=1e-4)


def test_facts_of_two_dates_tell_which_bands_go_together() -> None:
    facts = InputFacts(channels=6, dates=2, unscaled_bands=1, min_spread=0.5, last_alone=True)
    assert InputFacts(**facts.to_dict()) == facts
    assert (facts.bands, InputFacts(channels=4).bands) == (3, 4)
    assert [facts.fit(bands) for bands in (6, 3, 4)] == [True, True, False]
    assert [InputFacts(channels=6, dates=2).fit(bands) for bands in (6, 3)] == [True, False]
    image = np.arange(6 * 4).reshape(6, 2, 2).astype(np.float32)
    np.testing.assert_array_equal(facts.by_date(image), np.stack([image[:3], image[3:]]))
    prepared = facts.prepare(image[None])
    assert prepared.shape == (1, 6, 32, 32)
    edges = np.pad(image, ((0, 0), (0, 30), (0, 30)), mode="edge")
    np.testing.assert_array_equal(facts.prepare(image[None], scaled_beforehand=True)[0], edges)
    for first in (0, 3):  # each date by its own bands; the last one stays
        bands = edges[first : first + 2]
        centred = bands - bands.mean(axis=(1, 2), keepdims=True)
        np.testing.assert_allclose(
            prepared[0, first : first + 2], centred / (np.sqrt((centred**2).mean()) + 0.5), rtol=1e-4
        )
        np.testing.assert_array_equal(prepared[0, first + 2], edges[first + 2])


def test_logits_of_another_number_of_classes_are_refused(tmp_path: Path) -> None:
    model = onnx.load(SHIPPED)
    for node in model.graph.node:
        node.output[:] = ["before" if name == OUTPUT else name for name in node.output]
    axes = numpy_helper.from_array(np.array([1]), "axes")
    model.graph.initializer.append(axes)
    model.graph.node.append(helper.make_node("ReduceMax", ["before", "axes"], [OUTPUT], keepdims=1))
    for opset in model.opset_import:
        opset.version = max(opset.version, 18) if opset.domain == "" else opset.version
    file = tmp_path / "weights.int8.onnx"
    file.write_bytes(model.SerializeToString())
    assert INPUT == "image"
    with raises_naming(RunError, str(file), "(1, 1, 64, 64)"):
        Int8Network(file, classes=3).logits(IMAGE)


def test_a_file_that_is_too_large_or_not_to_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.onnx").mkdir()
    for name in ("folder.onnx", "none.onnx"):
        with raises_naming(RunError, name, "cannot be read"):
            OnnxGraph.open(tmp_path / name)
    (tmp_path / "large.onnx").write_bytes(bytes(11))
    monkeypatch.setattr(onnx_graph, "MAX_BYTES", 10)
    with raises_naming(RunError, "large.onnx", "more than 2 GB"):
        OnnxGraph.open(tmp_path / "large.onnx")


@pytest.mark.parametrize("content", ["number", "deep"])
def test_what_is_no_message_or_nests_without_end_is_no_graph(content: str) -> None:
    message = b"\x38\x05"  # the graph of a model (field 7) as a number
    if content == "deep":  # graph → node → attribute → graph …, each within the other
        message = b""
        for number in [6, 5, 1] * 60 + [7]:
            length, size = len(message), b""
            while length > 0x7F:
                size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
            message = bytes([number << 3 | 2]) + size + bytes([length]) + message
    with raises_naming(RunError, "net.onnx"):
        OnnxGraph(message, "net.onnx").check()


def test_an_error_of_the_runtime_is_of_memory_or_of_the_file() -> None:
    graph = OnnxGraph(b"", "net.onnx")
    assert isinstance(graph._failure(MemoryError("bad allocation"), "computed"), MemoryError)
    other = graph._failure(ValueError("first line\nsecond line"), "read")
    assert isinstance(other, RunError)
    assert "net.onnx cannot be read by ONNX Runtime" in str(other)
    assert "first line" in str(other)
    assert "second line" not in str(other)
    assert "ValueError()" in str(graph._failure(ValueError(), "read"))


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"channels": 6}, None),
        ({"channels": 6, "dates": 2}, None),
        ({"channels": 6, "dates": 2, "unscaled_bands": 2, "min_spread": 0.0}, None),
        ({"channels": 6.0}, "6.0"),
        ({"channels": 6, "dates": 2.0}, "2.0"),
        ({"channels": 6, "unscaled_bands": True}, "True"),
        ({"channels": 6, "dates": 0}, "0"),
        ({"channels": 1, "dates": 2}, "1, 2"),
        ({"channels": 6, "dates": 4}, "6 channels of 4 dates"),
        ({"channels": 6, "dates": 2, "unscaled_bands": 3}, "3 not scaled"),
        ({"channels": 6, "unscaled_bands": -1}, "-1 not scaled"),
        ({"channels": 6, "min_spread": -0.1}, "6 channels"),
        ({"channels": 6, "min_spread": float("nan")}, "6 channels"),
        ({"channels": 8}, "shape"),
        ({"channels": 6, "last_alone": True}, "outputs"),
    ],
)
def test_facts_of_a_graph_of_integers_are_whole_and_of_this_graph(facts: dict, named: str | None) -> None:
    bands = 3 if facts.get("dates") == 2 else 6
    tensor = SimpleNamespace(name=INPUT, shape=(None, bands, None, None))
    graph = SimpleNamespace(inputs=[tensor], outputs=[SimpleNamespace(name=OUTPUT, shape=())])
    if named is None:
        InputFacts(**facts).check(graph)  # type: ignore[arg-type]
        return
    with pytest.raises(ValueError, match=re.escape(named)):
        InputFacts(**facts).check(graph)  # type: ignore[arg-type]


def test_the_time_of_a_network_is_the_shortest_of_its_rounds_without_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.01, 1.0, 1.5, 2.0, 2.25, 3.0, 3.75, *range(100, 200)])
    monkeypatch.setattr(int8_network.time, "thread_time", lambda: next(clock))
    worked: list[int] = []
    assert int8_network._fastest(lambda: worked.append(1)) == 0.25
    assert len(worked) == int8_network.ROUNDS + 1
