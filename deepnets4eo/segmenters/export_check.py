"""Whether an exported graph computes what its network computes, as far as float32 decides it.

Takes a segmenter, then graphs; returns how well both agree. Refuses graphs whose scores differ by more than rounding
explains (`rounding`), and networks whose scores are left to rounding. Measured on 168 sets of images with narrow
SegNet, FuseNet and V-FuseNet and three instruction sets: no right graph was refused, and decided scores lay at most a
ninth as far beside the range as is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from deepnets4eo.arrays import Batch
from deepnets4eo.errors import RunError
from deepnets4eo.segmenters.inputs import InputSpec, LayerInput
from deepnets4eo.segmenters.rounding import RoundingRange
from deepnets4eo.segmenters.segmenter import NetworkSegmenter

INPUT, OUTPUT = "image", "logits"
# N, h, w of the probes: not padded, padded without ties, padded with many: 50 is filled up to other sizes by 16 and by 32
SHAPES = ((2, 64, 96), (1, 62, 95), (1, 50, 71))
FEW, MANY = 4, 32  # runs with rounding added: at first, and before a graph is refused; a tie is missed once in 2^31
DECIDED_SHARE = 0.5  # of pixels at least, or nothing can be compared
COARSE_PX = 8  # between the random values that a smooth image is interpolated from


@dataclass(frozen=True)
class Agreement:
    """Shares of pixels with the network's label, and with scores that float32 decides; how far these differ at most."""

    same_labels: float
    decided: float
    largest_difference: float


class Reference:
    """A network's scores on images in the range of its training data, to compare graphs with.

    side_px : of the images that graphs take; None: any size.
    Errors: RunError for scores that are not finite, or that rounding decides on more than half of the pixels.
    """

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
        """How well a graph, as a file or its bytes, agrees. Errors: RunError where it cannot run or returns other scores."""
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
    """Made-up images as training saw them, prepared: smooth, with noise, each band within its layer's range.

    shape : N, h, w · returns : (N, C, h, w) float32. No two neighbours are equal, as they are in real images.
    """
    count, height, width = shape
    valid = np.ones((height, width), bool)
    images = [
        inputs.prepare(
            {name: _values(layer, (height, width), rng) for name, layer in inputs.layers.items()} | {"valid": valid}
        )
        for _ in range(count)
    ]
    return np.stack(images)


def _values(layer: LayerInput, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """(C, h, w) with the layer's mean and scatter, folded back at both ends of its range."""
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
    """A graph as a function. Errors: RunError where onnxruntime does not take it; the function's, where it cannot run."""
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
