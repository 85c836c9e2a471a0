"""A network of others as a segmenter: an ONNX graph, computed by ONNX Runtime in its own layout and scaling.

Takes prepared tiles, in which invalid pixels are filled already; returns scores (N, K, h, w). Refuses graphs whose outputs are no scores of the legend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.arrays import Batch, ByteImage, FloatImage
from deepnets4eo.cards import Legend
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import atomic_write
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.onnx_graph import GraphTensor, OnnxGraph
from deepnets4eo.segmenters.onnx_options import Activation, Layout, Values
from deepnets4eo.segmenters.segmenter import STRIDE_PX, ProbabilitySegmenter
from deepnets4eo.tiling import Tiling, best_class, probabilities

FILE = "network.onnx"  # of a run that holds the graph
TINY = np.float32(1e-7)  # probability whose logarithm is taken in place of that of 0
# Offset and scale of the logarithms of reflectance, by band, as printed in google/dynamicworld
DYNAMIC_WORLD_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12")
DYNAMIC_WORLD = np.array(
    [
        (1.7417268007636313, 2.023298706048351), (1.7261204997060209, 2.038905204308012), (1.6798346251414997, 2.179592821212937),
        (1.7734969472909623, 2.2890068333026603), (2.289154079164943, 2.6171674549378166), (2.382939712192371, 2.773418590375327),
        (2.3828939530384052, 2.7578332604178284), (2.1952484264967844, 2.789092484314204), (1.554812948247501, 2.4140534947492487),
    ],
    np.float32,
)  # fmt: skip


@dataclass(frozen=True)
class GraphFacts:
    """Layout and scaling of the images that a graph takes, and kind of its output.

    Parameters
    ----------
    layout : "nchw" (channels first) or "nhwc"
    activation : "logits", "probabilities" (also of one class of two), or "classes": the number of the class of each pixel
    values : "dynamic_world" if images still need its logarithms; other normalisations are done before
    dates : inputs of the graph, one image each; 1: one input with all bands
    side_px : side of the images that the graph takes; None: any
    """

    layout: Layout = "nchw"
    activation: Activation = "logits"
    values: Values = "none"
    dates: int = 1
    side_px: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class OnnxSegmenter(ProbabilitySegmenter):
    """A graph with the facts that it needs. Raises InputError for a graph with other inputs than these facts have."""

    kind = "onnx"
    only_float32 = True
    compiles = False

    def __init__(
        self, graph: OnnxGraph, facts: GraphFacts, inputs: InputSpec, legend: Legend, *, tiling: Tiling | None = None
    ) -> None:
        self.graph, self.facts, self.inputs, self.legend = graph, facts, inputs, legend
        self.tiling, self.threads = Tiling() if tiling is None else tiling, 1
        if len(graph.inputs) != facts.dates:
            raise InputError(
                f"{graph.source} has {len(graph.inputs)} inputs ({', '.join(tensor.name for tensor in graph.inputs)}); expected {facts.dates}, one for each date. "
                "Give a graph of one image, or of two dates."
            )
        expected = inputs.in_channels // facts.dates
        channels = graph_channels(graph.inputs[0], facts.layout)
        if channels not in (None, expected):
            raise InputError(
                f"{graph.source} takes {channels} bands, but {expected} are named: {', '.join(band for layer in inputs.layers.values() for band in layer.bands)}. Name "
                "each band once, in the order of the network."
            )

    def to(self, compute: Compute) -> None:
        """Take the number of threads; graphs are computed on the CPU."""
        self.threads = compute.threads

    def predict_raw(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Logits, (N, K, h, w) float32; logarithms of probabilities if the graph returns these."""
        return np.concatenate([self._scores(image[None], margin_px) for image in batch])

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Probabilities, (N, K, h, w) float32, summing to 1 over K."""
        return probabilities(self.predict_raw(batch, margin_px=margin_px), axis=1)

    def predict_classes(self, batch: Batch, *, margin_px: int = 0) -> ByteImage:
        """Class indices of the best scores, (N, h, w) uint8."""
        return np.concatenate([best_class(self._scores(image[None], margin_px)[0])[None] for image in batch])

    def _scores(self, image: Batch, margin_px: int) -> FloatImage:
        height, width = image.shape[2:]
        side = self.facts.side_px
        if side is not None and max(height, width) > side:
            raise InputError(
                f"tiles have {height} × {width} px, but {self.graph.source} takes {side} × {side} px. Use its own: --set tile_px={side}."
            )
        below, right = (-height % STRIDE_PX, -width % STRIDE_PX) if side is None else (side - height, side - width)
        if below or right:
            image = np.pad(image, ((0, 0), (0, 0), (0, below), (0, right)), mode="edge")
        raw = self.raw_output(image)
        cut = slice(margin_px, height - margin_px), slice(margin_px, width - margin_px)
        return self._as_logits(raw[:, :, cut[0], cut[1]])

    def raw_output(self, image: Batch) -> FloatImage:
        """Return what the graph computes of an image (1, C, h, w), channels first and in the image's size."""
        image = image.astype(np.float32, copy=False)
        if self.facts.values == "dynamic_world":
            image = dynamic_world_values(image, self._published_rows)
        parts = np.split(image, self.facts.dates, axis=1)
        if self.facts.layout == "nhwc":
            parts = [np.ascontiguousarray(part.transpose(0, 2, 3, 1)) for part in parts]
        names = [tensor.name for tensor in self.graph.inputs]
        output = self.graph.outputs[0].name
        (raw,) = self.graph.compute([output], dict(zip(names, parts, strict=True)), self.threads, keep_memory=True)
        return self._in_size(np.asarray(raw), image.shape[2:])

    @property
    def _published_rows(self) -> list[int]:
        (layer,) = self.inputs.layers.values()
        return [DYNAMIC_WORLD_BANDS.index(band) for band in layer.bands]

    def _in_size(self, raw: Any, shape: tuple[int, ...]) -> Any:
        """Return an output channels first, and smaller ones enlarged to the image."""
        if raw.ndim == 3:  # labels without an axis of classes
            raw = raw[:, None]
        elif raw.ndim == 4 and self.facts.layout == "nhwc":
            raw = raw.transpose(0, 3, 1, 2)
        factors = [side // length if length else 0 for side, length in zip(shape, raw.shape[2:], strict=False)]
        if (
            raw.ndim != 4
            or 0 in factors
            or [length * factor for length, factor in zip(raw.shape[2:], factors, strict=True)] != list(shape)
        ):
            raise RunError(
                f"{self.graph.source} returns the shape {raw.shape} for an image of {shape[0]} × {shape[1]} px; expected scores of each pixel. Give a network "
                "of semantic segmentation, and its layout (--set layout=nhwc if channels are last)."
            )
        return raw if factors == [1, 1] else raw.repeat(factors[0], axis=2).repeat(factors[1], axis=3)

    def _as_logits(self, raw: Any) -> FloatImage:
        count = self.legend.num_classes
        if self.facts.activation == "classes":
            numbers = raw[:, 0] if raw.shape[1] == 1 else raw.argmax(axis=1)
            one_hot = numbers[:, None] == np.arange(count)[:, None, None]
            scores = np.where(one_hot, np.float32(0), np.log(TINY)).astype(np.float32)
            return np.where(
                one_hot.any(axis=1, keepdims=True), scores, np.float32(np.nan)
            )  # numbers of no class are void
        raw = raw.astype(np.float32, copy=False)
        one_of_two = raw.shape[1] == 1 and count == 2
        if raw.shape[1] != count and not one_of_two:
            raise InputError(
                f"{self.graph.source} returns {raw.shape[1]} scores for each pixel, but the legend {self.legend.name} has {count} classes: "
                f"{', '.join(self.legend.names)}. Name all classes in the order of the scores: --legend NAME,NAME,…"
            )
        if self.facts.activation == "probabilities":
            both = np.concatenate([1 - raw, raw], axis=1) if one_of_two else raw
            return np.log(np.maximum(both, TINY))
        return np.concatenate([np.zeros_like(raw), raw], axis=1) if one_of_two else raw

    def describe(self) -> dict[str, Any]:
        """Return plain values that `restore` needs, with the hash of the graph."""
        return {"facts": self.facts.to_dict(), "graph": self.graph.digest}

    def save(self, folder: str | Path) -> list[str]:
        """Write the graph; returns the name of its file."""
        with atomic_write(Path(folder) / FILE) as partial:
            partial.write_bytes(self.graph.content)
        return [FILE]

    @classmethod
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> OnnxSegmenter:
        """Restore the segmenter that `save` wrote. Raises RunError for another graph."""
        graph = OnnxGraph.open(folder / FILE)
        if graph.digest != description.get("graph"):
            raise RunError(f"{folder / FILE} is not the graph of this run. Copy the run again.")
        return cls(graph, GraphFacts(**description["facts"]), inputs, legend, tiling=tiling)


def dynamic_world_values(image: FloatImage, rows: list[int]) -> FloatImage:
    """Return reflectance times 10,000 (N, C, h, w) as Dynamic World takes it (Brown et al. 2022), 0 to 1."""
    shift, scale = DYNAMIC_WORLD[rows].T[:, :, None, None]
    grown = np.maximum(image, 0)  # in place from here on: tiles are large
    grown *= np.float32(0.005)
    np.log1p(grown, out=grown)
    grown -= shift
    grown *= 5 / scale
    grown -= 1
    np.exp(grown, out=grown)
    grown /= grown + 1
    return grown


def graph_channels(tensor: GraphTensor, layout: str) -> int | None:
    """Return the bands of an input; None if they are free."""
    return tensor.shape[1 if layout == "nchw" else 3]


def measure_halo(segmenter: OnnxSegmenter, side_px: int) -> int:
    """Return how far one pixel affects the scores of others, in pixels, at most a quarter of the side.

    Two images of noise that differ in one pixel are computed. Differences below a thousandth of the largest do not count."""
    rng = np.random.default_rng(0)
    layers = segmenter.inputs.layers.values()
    low, high = (
        np.concatenate([np.full(len(layer.bands), value) for layer, value in zip(layers, values, strict=True)])
        for values in zip(*((_probe_range(layer)) for layer in layers), strict=True)
    )
    image = rng.uniform(low[:, None, None], high[:, None, None], (len(low), side_px, side_px)).astype(np.float32)[None]
    other, middle = image.copy(), side_px // 2
    other[0, :, middle, middle] = high + (high - low)
    difference = np.abs(segmenter.raw_output(other).astype(np.float64) - segmenter.raw_output(image)).max(axis=(0, 1))
    if not difference.max() > 0:
        return 0
    rows, cols = np.nonzero(difference > difference.max() / 1000)
    reach = int(max(np.abs(rows - middle).max(), np.abs(cols - middle).max()))
    return min(-(-reach // 8) * 8, side_px // 4)


def _probe_range(layer: Any) -> tuple[float, float]:
    """Return values of noise for a layer, as `InputSpec.prepare` gives them."""
    if layer.mean == (0.0,) * len(layer.mean) and layer.high > layer.low and layer.dtype != "uint8":
        return layer.low, layer.high / 4 if layer.high > 1000 else layer.high
    return -1.0, 1.0
