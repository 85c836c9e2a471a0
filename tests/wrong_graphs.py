"""Graphs that are wrong in one way each, made from a right one: what a check of exports must refuse."""

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

INPUT, OUTPUT = "image", "logits"


def _weights(model: ModelProto) -> list[str]:
    """Names of the weights of convolutions, in the order of the graph."""
    names = {one.name for one in model.graph.initializer}
    return [node.input[1] for node in model.graph.node if node.op_type == "Conv" and node.input[1] in names]


def _change_weight(model: ModelProto, place: float) -> None:
    """The largest weight of each filter gets the other sign; place : 0 the first convolution, 1 the last.

    Of each, because some filters of a network that was not trained are silent on any image.
    """
    names = _weights(model)
    name = names[round(place * (len(names) - 1))]
    (initializer,) = (one for one in model.graph.initializer if one.name == name)
    values = numpy_helper.to_array(initializer).copy()
    for one in values:
        one.flat[np.abs(one).argmax()] *= -1
    initializer.CopyFrom(numpy_helper.from_array(values, name))


def _append(model: ModelProto, *nodes: NodeProto, **constants: np.ndarray) -> None:
    """Nodes between the graph's result, "before", and its output."""
    for node in model.graph.node:
        for number, name in enumerate(node.output):
            if name == OUTPUT:
                node.output[number] = "before"
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())


def first_weight_changed(model: ModelProto) -> None:
    _change_weight(model, 0)


def middle_weight_changed(model: ModelProto) -> None:
    _change_weight(model, 0.5)


def last_weight_changed(model: ModelProto) -> None:
    _change_weight(model, 1)


def two_bands_swapped(model: ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type != "Shape":
            for number, name in enumerate(node.input):
                if name == INPUT:
                    node.input[number] = "swapped"
    model.graph.node.insert(0, helper.make_node("Gather", [INPUT, "bands"], ["swapped"], axis=1))
    bands = np.arange(model.graph.input[0].type.tensor_type.shape.dim[1].dim_value)
    bands[:2] = 1, 0
    model.graph.initializer.append(numpy_helper.from_array(bands, "bands"))


def two_classes_swapped(model: ModelProto) -> None:
    _append(
        model, helper.make_node("Gather", ["before", "order"], [OUTPUT], axis=1), order=np.array([1, 0, 2, 3, 4, 5])
    )


def one_class_shifted(model: ModelProto) -> None:
    """The first class gets 1 % of its own mean size more."""
    share = np.zeros((1, 6, 1, 1), np.float32)
    share[0, 0] = 0.01
    _append(
        model,
        helper.make_node("Abs", ["before"], ["size"]),
        helper.make_node("ReduceMean", ["size"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["mean", "share"], ["shift"]),
        helper.make_node("Add", ["before", "shift"], [OUTPUT]),
        share=share,
    )


def scores_stretched(model: ModelProto) -> None:
    """All labels stay, their probabilities do not."""
    _append(model, helper.make_node("Mul", ["before", "factor"], [OUTPUT]), factor=np.array(1.01, np.float32))


def transposed(model: ModelProto) -> None:
    _append(model, helper.make_node("Transpose", ["before"], [OUTPUT], perm=[0, 1, 3, 2]))


def upside_down(model: ModelProto) -> None:
    limits = dict(start=np.array([-1]), end=np.array([-(2**62)]), axis=np.array([2]), step=np.array([-1]))
    _append(model, helper.make_node("Slice", ["before", "start", "end", "axis", "step"], [OUTPUT]), **limits)


def one_class_not_a_number(model: ModelProto) -> None:
    nothing = np.zeros((1, 6, 1, 1), np.float32)
    nothing[0, 3] = np.nan
    _append(model, helper.make_node("Add", ["before", "nothing"], [OUTPUT]), nothing=nothing)


def edges_not_repeated(model: ModelProto) -> None:
    """Where sides are filled up, the first row and column follow the last ones."""
    made_by = {name: node for node in model.graph.node for name in node.output}
    clips = [
        node
        for node in model.graph.node
        if node.op_type == "Clip" and made_by.get(node.input[2], node).op_type == "Sub"
    ]
    assert len(clips) == 2
    for clip in clips:
        side = made_by[clip.input[2]].input[0]
        clip.CopyFrom(helper.make_node("Mod", [clip.input[0], side], list(clip.output)))


def sides_left_as_they_are(model: ModelProto) -> None:
    """No row or column is added: the network gets sides that it cannot halve."""
    for node in model.graph.node:
        if node.op_type == "Range":
            node.input[1] = node.input[0]


WRONG = [
    first_weight_changed, middle_weight_changed, last_weight_changed, two_bands_swapped, two_classes_swapped,
    one_class_shifted, scores_stretched, transposed, upside_down, one_class_not_a_number, edges_not_repeated,
    sides_left_as_they_are,
]  # fmt: skip


def made_wrong(graph: bytes, change) -> bytes:
    """A graph's bytes after one of the changes above, which are loaded and checked to be another graph."""
    model = onnx.load_from_string(graph)
    change(model)
    changed = model.SerializeToString()
    assert changed != graph
    return changed
