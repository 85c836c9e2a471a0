"""Rewrite a graph of quantised weights so that integers are not left between convolutions; scales and weights stay as they were measured.

The exporter and the quantiser leave three things that cost a third of the time and change no value beyond rounding: a Relu in float32
between two conversions, a Cast in front of each doubling, and a MaxPool of bytes, which has no fast kernel.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import onnx

QUANTISE, DEQUANTISE = "QuantizeLinear", "DequantizeLinear"


class Links:
    """Makers and users of the values of a graph, as the graph is when this is made."""

    def __init__(self, graph: Any) -> None:
        self.maker = {output: node for node in graph.node for output in node.output}
        self.users: dict[str, list[Any]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self.users[name].append(node)

    def of_kind(self, name: str, kind: str) -> Any | None:
        """Return the node that makes a value if it is of a kind, else None."""
        node = self.maker.get(name)
        return node if node is not None and node.op_type == kind else None


def keep_integers(model: Any) -> Any:
    """Return the model with integers between its convolutions.

    Parameters
    ----------
    model : ModelProto in the QDQ format of ONNX Runtime, with activations of unsigned bytes

    Returns
    -------
    The same model, changed in place.
    """
    graph = model.graph
    _drop_casts(graph)
    for relu in [node for node in graph.node if node.op_type == "Relu"]:
        _fuse_relu(graph, relu)
    _pool_in_float32(graph)
    _drop_unused(graph)
    onnx.checker.check_model(model)
    return model


def _drop_casts(graph: Any) -> None:
    """Remove conversions of float32 to float32, which the exporter writes in front of a doubling."""
    for cast in [node for node in graph.node if node.op_type == "Cast"]:
        _replace(graph, cast.output[0], cast.input[0])
        graph.node.remove(cast)


def _fuse_relu(graph: Any, relu: Any) -> None:
    """Let the conversion to bytes cut off negative values: with zero point 0 it does what Relu does, so that one conversion replaces three nodes."""
    links = Links(graph)
    dequantise = links.of_kind(relu.input[0], DEQUANTISE)
    quantise = None if dequantise is None else links.of_kind(dequantise.input[0], QUANTISE)
    if quantise is None or len(links.users[relu.input[0]]) > 1:
        return
    users = links.users[relu.output[0]]
    after = _scale_after(links, users)
    if after is None or _zero_point(graph, after) != 0:
        return
    for user in users:
        if user.op_type != QUANTISE:  # keeps integers as they are: the scale behind it is the one in front
            _set_scale(links, user, after)
    if users == [after]:
        after.input[0] = quantise.input[0]
    else:
        _replace(graph, relu.output[0], _convert_once(graph, relu, quantise.input[0], after))
    for node in (quantise, dequantise, relu):
        graph.node.remove(node)


def _scale_after(links: Links, users: list[Any]) -> Any | None:
    """Return the conversion to bytes whose scale holds for all users of a Relu; None if a user takes float32."""
    conversions = []
    for user in users:
        if user.op_type == QUANTISE:
            conversions.append(user)
        elif user.op_type in ("Resize", "Slice"):
            conversions += [node for node in links.users[user.output[0]] if node.op_type == QUANTISE]
        else:
            return None
    return conversions[0] if conversions else None


def _set_scale(links: Links, user: Any, like: Any) -> None:
    """Give the conversions behind a node the scale and zero point of another one."""
    for conversion in links.users[user.output[0]]:
        conversion.input[1], conversion.input[2] = like.input[1], like.input[2]
        for back in links.users[conversion.output[0]]:
            back.input[1], back.input[2] = like.input[1], like.input[2]


def _convert_once(graph: Any, relu: Any, name: str, like: Any) -> str:
    """Insert a conversion to bytes and back in front of a Relu; return the name of its value."""
    new = f"{relu.output[0]}_bytes"
    scale = like.input[1], like.input[2]
    nodes = [
        onnx.helper.make_node(QUANTISE, [name, *scale], [f"{new}_q"], name=f"{new}_{QUANTISE}"),
        onnx.helper.make_node(DEQUANTISE, [f"{new}_q", *scale], [new], name=f"{new}_{DEQUANTISE}"),
    ]
    at = list(graph.node).index(relu)
    for node in reversed(nodes):
        graph.node.insert(at, node)
    return new


def _pool_in_float32(graph: Any) -> None:
    """Let each MaxPool take the values before their conversion: of all operations only its kernel of bytes is slower than in float32."""
    links = Links(graph)
    for pool in [node for node in graph.node if node.op_type == "MaxPool"]:
        dequantise = links.of_kind(pool.input[0], DEQUANTISE)
        quantise = None if dequantise is None else links.of_kind(dequantise.input[0], QUANTISE)
        if quantise is not None:
            pool.input[0] = quantise.input[0]


def _drop_unused(graph: Any) -> None:
    """Remove nodes and stored values that nothing uses."""
    results = {output.name for output in graph.output}
    while True:
        links = Links(graph)
        unused = [node for node in graph.node if not any(name in results or links.users[name] for name in node.output)]
        if not unused:
            break
        for node in unused:
            graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def _zero_point(graph: Any, conversion: Any) -> int:
    stored = next(tensor for tensor in graph.initializer if tensor.name == conversion.input[2])
    return int(np.asarray(onnx.numpy_helper.to_array(stored)))


def _replace(graph: Any, name: str, new: str) -> None:
    """Give all users of a value another one."""
    for node in graph.node:
        for position, used in enumerate(node.input):
            if used == name:
                node.input[position] = new
