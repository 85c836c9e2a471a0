"""Trained networks as ONNX files with inputs, legend and tiling in the metadata, checked against the run.

Refuses runs without a network, and graphs with other labels.

Runtimes round differently, and poolings with indices turn ties into visible differences. Ties are found by running the
network itself with rounding added.
"""

from __future__ import annotations

import inspect
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from deepnets4eo.arrays import Batch, Floats, Mask
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import atomic_write, plain
from deepnets4eo.jobs import output_lock
from deepnets4eo.lazy import is_installed
from deepnets4eo.outputs import check_not_inputs
from deepnets4eo.segmenters.exact_pooling import PoolingByMatrices
from deepnets4eo.segmenters.inputs import InputSpec, LayerInput
from deepnets4eo.segmenters.run import Run
from deepnets4eo.segmenters.segmenter import STRIDE_PX, NetworkSegmenter, PatchModule
from deepnets4eo.version import __version__

if TYPE_CHECKING:
    import onnx


log = logging.getLogger(__name__)

METADATA = "deepnets4eo"
EXAMPLE = (2, 96, 160)  # batch, height, width that the graph is traced with: unlike each other, so that none is merged

INPUT, OUTPUT = "image", "logits"
# N, h, w of the probes: not padded, padded without ties, padded with many: 50 is filled up to other sizes by 16 and by 32
SHAPES = ((2, 64, 96), (1, 62, 95), (1, 50, 71))
FEW, MANY = 4, 32  # runs with rounding added: at first, and before a graph is refused; a tie is missed once in 2^31
DECIDED_SHARE = 0.5  # of pixels at least, or nothing can be compared
COARSE_PX = 8  # between the random values that a smooth image is interpolated from

# of a layer's largest value, evenly spread; torch's own, measured on SegNet and a U-Net: at most 2^-22 (root of the mean
# square; 2^-26 in most layers), 2^-18.6 at the worst single value
ROUNDING = 2.0**-19
LAST_DIGIT = 1e-6  # of the largest score
DECIDED = 1e-3  # of the largest score: where rounding moves scores by more, they are not decided
TIES = 16  # times as far as ordinary: beyond it, ties are at work


@dataclass(frozen=True)
class ExportResult:
    """Result of an export: for any size or `side_px`; share of equal labels and largest difference to the run, None if not compared."""

    path: Path
    any_size: bool
    side_px: int | None
    same_labels: float | None = None
    largest_difference: float | None = None


def export_onnx(run: Run, path: str | Path) -> ExportResult:
    """Write a run's network as ONNX with its metadata in the entry "deepnets4eo", compared with it where onnxruntime is installed."""
    segmenter = network_segmenter(run)
    _check_packages()
    check_not_inputs([path], [run.folder])
    before = segmenter.compute
    segmenter.to(Compute(threads=before.threads))
    try:
        with output_lock(path):
            return _export(run, segmenter, Path(path))
    finally:
        segmenter.to(before)


def _export(run: Run, segmenter: NetworkSegmenter, path: Path) -> ExportResult:
    import onnx

    graph, any_size = _trace_network(segmenter)
    side_px = None if any_size else _side_px(segmenter)
    _describe(graph, run, side_px)
    with atomic_write(path) as partial:
        onnx.save(graph, partial)
        if not is_installed("onnxruntime"):
            return ExportResult(path, any_size, side_px)
        agreement = Reference(segmenter, side_px).agreement(partial)
    return ExportResult(path, any_size, side_px, agreement.same_labels, agreement.largest_difference)


def network_segmenter(run: Run) -> NetworkSegmenter:
    """Return the run's segmenter if it is a plain network. Errors: RunError if it is not."""
    segmenter = run.segmenter
    if not isinstance(segmenter, NetworkSegmenter):
        raise RunError(
            f"{run.folder} holds a segmenter of kind {segmenter.kind!r}; ONNX holds networks alone, not estimators, rules "
            "or post-processing around them. Export the run of a network (task: segmentation)."
        )
    return segmenter


class _AnySize(nn.Module):
    """A network that takes any size: sides are padded to multiples of the stride and cut again, as in prediction."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        below, right = (
            torch.arange((side + STRIDE_PX - 1) // STRIDE_PX * STRIDE_PX).clamp(max=side - 1)
            for side in (height, width)
        )
        logits: Tensor = self.network(image.index_select(2, below).index_select(3, right))[:, :, :height, :width]
        return logits


def _check_packages() -> None:
    missing = [name for name in ("onnx", "onnxscript") if not is_installed(name)]
    if missing or "dynamic_shapes" not in inspect.signature(torch.onnx.export).parameters:
        raise InputError(
            f"export needs {' and '.join(missing) or 'torch 2.6 or newer'}. "
            'Install what it needs: pip install "deepnets4eo[onnx]"'
        )


def _side_px(segmenter: NetworkSegmenter) -> int:
    return -(-segmenter.tiling.tile_px // STRIDE_PX) * STRIDE_PX


def _trace_network(segmenter: NetworkSegmenter) -> tuple[onnx.ModelProto, bool]:
    """Trace the graph, of any size if that can be traced, else of the run's tiles."""
    batch, height, width = EXAMPLE
    channels = segmenter.inputs.in_channels
    try:
        example = torch.zeros(batch, channels, height, width)
        module = segmenter.module if isinstance(segmenter.module, PatchModule) else _AnySize(segmenter.module).eval()
        return _trace(module, example, {0: "batch", 2: "height", 3: "width"}), True
    except (torch.onnx.OnnxExporterError, InputError) as error:
        log.debug("%s", error)
        log.info("the network's graph depends on the size of the image; the size of its tiles is kept")
    side = _side_px(segmenter)
    try:
        return _trace(segmenter.module, torch.zeros(batch, channels, side, side), {0: "batch"}), False
    except torch.onnx.OnnxExporterError as error:
        raise RunError(f"the network {segmenter.network} cannot be written as ONNX: {error}") from error


def _trace(network: nn.Module, example: Tensor, free: dict[int, str]) -> onnx.ModelProto:
    with warnings.catch_warnings(), torch.no_grad(), PoolingByMatrices():
        warnings.simplefilter("ignore")  # of the exporter, on names and versions of operators
        program = torch.onnx.export(
            network, (example,), input_names=[INPUT], output_names=[OUTPUT], dynamic_shapes=(free,), dynamo=True,
            verbose=False, optimize=False,
        )  # fmt: skip
        if program is None:
            raise RunError("torch.onnx.export returned no graph. Update torch.")
        graph = _optimised(program)
    names = [axis.dim_param for axis in graph.graph.input[0].type.tensor_type.shape.dim]
    bound = [name for axis, name in free.items() if not names[axis] or "*" in names[axis]]
    if bound:  # the exporter fixes axes that it cannot keep free, without an error
        raise torch.onnx.OnnxExporterError(f"{' and '.join(bound)} cannot be free")
    return graph


def _optimised(program: torch.onnx.ONNXProgram) -> onnx.ModelProto:
    """Return the exporter's graph optimised, or as traced if the optimiser of graphs fails (it does on some versions)."""
    from onnx_ir.passes import PassError

    as_traced = program.model_proto  # kept before: the optimiser changes the program in place, also where it fails
    try:
        program.optimize()
    except PassError as error:
        log.info("the graph is not optimised: %s", error)
        return as_traced
    return program.model_proto


def _describe(graph: onnx.ModelProto, run: Run, side_px: int | None) -> None:
    import onnx

    segmenter = network_segmenter(run)
    card: dict[str, Any] = {
        "version": __version__,
        "network": segmenter.describe()["network"],
        "inputs": segmenter.inputs.to_dict(),
        "legend": segmenter.legend.to_dict(),
        "tiling": segmenter.tiling.to_dict(),
        "geometry": segmenter.tiling.geometry(),
        "recipe_sha256": run.card.get("recipe_sha256"),
        "synthetic": run.card.get("notes", {}).get("synthetic"),
        "side_px": side_px,
        "use": f"{INPUT}: bands of all layers in their order, (value - mean) / std, 0 where not valid; bands in constant, from 0, "
        "(band_low - mean) / std whatever they hold; "
        f"{OUTPUT}: the place of the largest is the place in the legend; after the classes its quantity, in its unit.",
    }
    onnx.helper.set_model_props(graph, {METADATA: json.dumps(plain(card))})


@dataclass(frozen=True)
class Agreement:
    """Shares of pixels with the network's label, and with scores that float32 decides; how far these differ at most."""

    same_labels: float
    decided: float
    largest_difference: float


class Reference:
    """A network's scores on images like its training data; RunError where rounding decides on more than half of the pixels."""

    def __init__(self, segmenter: NetworkSegmenter, side_px: int | None = None) -> None:
        self.segmenter = segmenter
        rng = np.random.default_rng(0)
        shapes = SHAPES if side_px is None else ((1, side_px, side_px),)
        self.probes = [RoundingRange(segmenter, probe_images(segmenter.inputs, shape, rng), FEW) for shape in shapes]
        self.ordinary = min(probe.ordinary for probe in self.probes)
        decided = np.concatenate([probe.decided_mask(self.ordinary).ravel() for probe in self.probes]).mean()
        if decided < DECIDED_SHARE:
            raise RunError(
                f"rounding decides the scores of {1 - decided:.0%} of the pixels that the network {segmenter.network} was "
                "tried on, so no other runtime can repeat them, and no file was written. Train it further."
            )

    def agreement(self, graph: Path | bytes) -> Agreement:
        """Measure how well a graph, as a file or its bytes, agrees. Errors: RunError if it cannot run or returns other scores."""
        run = _session(graph)
        same, decided, differences = [], [], []
        for probe in self.probes:
            scores = run(probe.batch)
            self._check(probe, scores)
            same.append((scores.argmax(axis=1) == probe.scores.argmax(axis=1)).ravel())
            decided.append(probe.decided_mask(self.ordinary).ravel())
            differences.append(np.abs(scores - probe.scores).max(axis=1).ravel())
        certain = np.concatenate(decided)
        largest = np.concatenate(differences)[certain].max(initial=0)
        return Agreement(float(np.concatenate(same).mean()), float(certain.mean()), float(largest))

    def _check(self, probe: RoundingRange, scores: Batch) -> None:
        """Refuse scores that rounding does not explain, after more runs with rounding added."""
        if scores.shape != probe.scores.shape:
            self._refuse(f"logits {scores.shape}, the run {probe.scores.shape},", probe)
        while not (explained := probe.explains(scores, self.ordinary)).all() and probe.runs < MANY:
            probe.add_runs(FEW)
        wrong = ~explained.all(axis=1)
        if wrong.any():
            largest = np.abs(scores - probe.scores).max(axis=1)[wrong].max()
            what = f"logits that differ from the run's by up to {largest:.3g}, more than rounding explains,"
            self._refuse(f"{what} on {wrong.mean():.2%} of pixels", probe)

    def _refuse(self, what: str, probe: RoundingRange) -> NoReturn:
        height, width = probe.batch.shape[2:]
        raise RunError(
            f"onnxruntime returns {what} on an image of {height} × {width} pixels, so no file was written. Report this, "
            f"with the network {self.segmenter.network} and the versions of torch, onnx and onnxruntime."
        )


def probe_images(inputs: InputSpec, shape: Sequence[int], rng: np.random.Generator) -> Batch:
    """Made-up prepared images (N, C, h, w), smooth with noise, within the range of each layer; no two neighbours are equal."""
    count, height, width = shape
    valid = np.ones((height, width), bool)
    images = [
        inputs.prepare(
            {name: _values(layer, (height, width), rng) for name, layer in inputs.layers.items()} | {"valid": valid}
        )
        for _ in range(count)
    ]
    return np.stack(images)


def _values(layer: LayerInput, shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Return (C, h, w) with the layer's mean and scatter, folded back at both ends of its range."""
    from scipy.ndimage import zoom

    bands = []
    for mean, std in zip(layer.mean, layer.std, strict=True):
        coarse = rng.normal(size=[-(-side // COARSE_PX) + 1 for side in shape])
        smooth = zoom(coarse, COARSE_PX, order=1)[: shape[0], : shape[1]]
        bands.append(mean + std * (smooth + rng.normal(size=shape)) / np.sqrt(2))
    values, span = np.stack(bands), layer.high - layer.low
    if span <= 0:
        return values
    return layer.low + span - np.abs((values - layer.low) % (2 * span) - span)


def _session(graph: Path | bytes) -> Callable[[Batch], Batch]:
    """Return a graph as a function. Errors: RunError if onnxruntime refuses the graph, or, in the function, cannot run it."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    failures = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.RuntimeException, state.NotImplemented)
    try:
        source = graph if isinstance(graph, bytes) else str(graph)
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except failures as error:
        raise RunError(f"onnxruntime cannot load the exported graph: {error}") from error

    def run(batch: Batch) -> Batch:
        try:
            return np.asarray(session.run([OUTPUT], {INPUT: batch})[0])
        except failures as error:
            raise RunError(f"onnxruntime cannot run the exported graph on {batch.shape}: {error}") from error

    return run


class RoundingRange:
    """Scores (N, K, h, w) of images, and their least and largest over runs with rounding added; RunError where not finite."""

    def __init__(self, segmenter: NetworkSegmenter, batch: Batch, runs: int) -> None:
        self.segmenter, self.batch, self.runs = segmenter, batch, 0
        self.scores = segmenter.predict_raw(batch)
        if not np.isfinite(self.scores).all():
            raise RunError(
                f"the network {segmenter.network} returns scores that are not finite on values as in its training data. "
                "Train it again, with a lower train.lr or with train.clip_norm=1."
            )
        self.low, self.high = self.scores.copy(), self.scores.copy()
        self.add_runs(runs)

    def add_runs(self, count: int) -> None:
        """Widen the range by `count` runs; each number of a run has its own rounding, the same every time."""
        for seed in range(self.runs, self.runs + count):
            with added_rounding(self.segmenter.module, seed):
                scores = self.segmenter.predict_raw(self.batch)
            np.minimum(self.low, scores, out=self.low)
            np.maximum(self.high, scores, out=self.high)
        self.runs += count

    @property
    def width(self) -> Batch:
        """Return (N, h, w) how far rounding moves a pixel's scores, at least as far as the scores of a tenth of the pixels."""
        width = (self.high - self.low).max(axis=1)
        return np.maximum(width, max(float(np.quantile(width, 0.1)), LAST_DIGIT * self._largest))

    @property
    def ordinary(self) -> float:
        """Return how far rounding moves scores if it changes no tie; infinite if this is not small compared with the scores."""
        least = float(self.width.min())
        return least if least <= DECIDED * self._largest else np.inf

    def decided_mask(self, ordinary: float) -> Mask:
        """Return (N, h, w): where float32 decides the scores, as rounding moves them `TIES` times as far as `ordinary` at most."""
        return self.width <= TIES * min(ordinary, DECIDED / TIES * self._largest)

    def explains(self, scores: Batch, ordinary: float) -> Mask:
        """Return (N, K, h, w) which other scores of the same images rounding explains: in the range or up to its width off it.

        Elsewhere nothing is compared: one runtime decides all ties in one way.
        """
        width = self.width[:, None]
        beside = (scores >= self.low - width) & (scores <= self.high + width)
        return beside | (np.isfinite(scores) & ~self.decided_mask(ordinary)[:, None])

    @property
    def _largest(self) -> float:
        return float(np.abs(self.scores).max())


@contextmanager
def added_rounding(network: nn.Module, seed: int) -> Iterator[None]:
    """While open, results of layers with weights are off by a random share, at most `ROUNDING`, of their largest; zeros stay."""
    generator = torch.Generator().manual_seed(seed)

    def add(layer: nn.Module, inputs: Any, result: Any) -> Any:
        if not isinstance(result, Tensor):
            return result
        off = torch.rand(result.shape, generator=generator).sub_(0.5).mul_(2 * ROUNDING).to(result)
        return result + off * result.abs().max() * (result != 0)

    layers = [module for module in network.modules() if not list(module.children()) and list(module.parameters())]
    handles = [layer.register_forward_hook(add) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
