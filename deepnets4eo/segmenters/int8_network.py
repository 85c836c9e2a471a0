"""Weights of 8-bit integers of a shipped run, computed by ONNX Runtime or OpenVINO on processors; works without PyTorch.

A graph takes images that are scaled already by their own values, so that prediction can scale whole scenes beforehand. Whether it is
used follows from a measurement on this processor, of the network itself: its time, and how far its logits are from float32.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.arrays import Batch, FloatImage
from deepnets4eo.device import INT8, OPENVINO, OPENVINO_INT8, TORCH, choose
from deepnets4eo.errors import RunError
from deepnets4eo.lazy import is_installed
from deepnets4eo.processor import kept_measurement
from deepnets4eo.segmenters.onnx_graph import OnnxGraph

if TYPE_CHECKING:
    from torch import nn

INPUT, OUTPUT, LAST_OUTPUT = "image", "logits", "last_logits"  # names in a graph
FACTS = "deepnets4eo"  # entry of its metadata
STRIDE_PX = 32  # multiple of the sides of a graph's images
FILE = "int8.json"  # of the caches: measurements
MIN_GAIN = 1.25  # of the whole network; int8 has fewer digits
SIDE_PX, ROUNDS = 192, 3  # of the image that is timed; the fastest round counts
# Of the logits' deviation, the mean difference from float32. Measured 0.02 to 0.03 with exact sums (AVX512-VNNI); processors
# without such instructions may cut off sums of two products at 16 bits.
MAX_DIFFERENCE = 0.1


@dataclass(frozen=True)
class InputFacts:
    """Facts of a graph on how it takes images.

    Parameters
    ----------
    channels : bands of all dates together
    dates : images of one place, which are scaled one by one
    unscaled_bands : last bands of a date that are not scaled
    last_alone : whether the graph has logits of the last date without the others
    min_spread : added to the spread that the others are divided by
    """

    channels: int
    dates: int = 1
    unscaled_bands: int = 0
    min_spread: float = 0.0
    last_alone: bool = False

    @property
    def bands(self) -> int:
        """Return the bands of a date."""
        return self.channels // self.dates

    def by_date(self, image: FloatImage) -> FloatImage:
        """Return the dates (D, C, h, w) of an image (D C, h, w)."""
        return image.reshape(-1, self.bands, *image.shape[1:])

    def fit(self, bands: int) -> bool:
        """Return whether the graph computes images of so many bands: of all dates, or of the last."""
        return bands == self.channels or (self.last_alone and bands == self.bands)

    def check(self, graph: OnnxGraph) -> None:
        """Refuse facts that cannot be, or of another graph. Raises ValueError."""
        whole = (self.channels, self.dates, self.unscaled_bands)
        if not all(type(value) is int for value in whole) or self.dates < 1 or self.channels < self.dates:
            raise ValueError(f"{whole} channels, dates and bands that are not scaled")
        if self.channels % self.dates or not 0 <= self.unscaled_bands < self.bands or not self.min_spread >= 0:
            raise ValueError(f"{self.channels} channels of {self.dates} dates, {self.unscaled_bands} not scaled")
        shapes = {tensor.name: tensor.shape for tensor in graph.inputs}
        names = {tensor.name for tensor in graph.outputs}
        if shapes.keys() != {INPUT} or not names >= ({OUTPUT, LAST_OUTPUT} if self.last_alone else {OUTPUT}):
            raise ValueError(f"inputs {sorted(shapes)} and outputs {sorted(names)}")
        if len(shapes[INPUT]) != 4 or shapes[INPUT][1] not in (self.bands, None):
            raise ValueError(f"an input of the shape {shapes[INPUT]} for {self.bands} bands")

    def to_dict(self) -> dict[str, float]:
        """Return plain values for the metadata of a graph."""
        return asdict(self)

    def prepare(self, batch: Batch, *, scaled_beforehand: bool = False) -> FloatImage:
        """Return (N, C, h', w') with sides that are multiples of 32, edges repeated, and each date scaled by its own values."""
        below, right = (-side % STRIDE_PX for side in batch.shape[2:])
        image = np.pad(batch, ((0, 0), (0, 0), (0, below), (0, right)), mode="edge").astype(np.float32, copy=False)
        if scaled_beforehand:
            return image
        for first in range(0, image.shape[1], self.bands):
            scaled = image[:, first : first + self.bands - self.unscaled_bands]
            centred = scaled - scaled.mean(axis=(2, 3), keepdims=True)
            spread = np.sqrt(np.square(centred).mean(axis=(1, 2, 3), keepdims=True))
            scaled[...] = centred / (spread + np.float32(self.min_spread))
        return image


class Int8Network:
    """The graph of a run's `weights.int8.onnx`; like the first layer of its network, it leaves images that are `scaled_beforehand`.

    file : the graph, which is read and checked at once; build : returns the network whose weights became it; classes : logits
    of a pixel, None: any number
    """

    def __init__(self, file: Path, build: Callable[[], nn.Module] | None = None, classes: int | None = None) -> None:
        self.file, self.graph, self._build, self._classes = file, OnnxGraph.open(file), build, classes
        self._scaled_beforehand = False

    @cached_property
    def module(self) -> nn.Module:
        """Return the network whose weights became the graph; reads it, with PyTorch. Errors: RunError."""
        if self._build is None:
            raise RunError(f"{self.file} has no network next to it. Copy the run again.")
        module = self._build()
        _scale(module, beforehand=self._scaled_beforehand)
        return module

    @property
    def scaled_beforehand(self) -> bool:
        """Return whether images are scaled already; setting it reaches the network as well."""
        return self._scaled_beforehand

    @scaled_beforehand.setter
    def scaled_beforehand(self, beforehand: bool) -> None:
        self._scaled_beforehand = beforehand
        if "module" in vars(self):  # else when it is read
            _scale(self.module, beforehand=beforehand)

    @cached_property
    def facts(self) -> InputFacts:
        """Return how the graph takes images. Errors: RunError for a graph that does not describe them, or is otherwise than it states."""
        try:
            facts = InputFacts(**json.loads(self.graph.metadata[FACTS]))
            facts.check(self.graph)
        except (KeyError, ValueError, TypeError) as error:
            raise RunError(f"{self.file} does not describe its images ({error!r}). Copy the run again.") from error
        return facts

    @property
    def unscaled_bands(self) -> int:
        """Return how many of the last bands are not scaled."""
        return self.facts.unscaled_bands

    def logits(self, batch: Batch, *, margin_px: int = 0, threads: int = 1, runtime: str = INT8) -> FloatImage:
        """Return logits (N, K, h − 2 margin, w − 2 margin) float32 of prepared images; each image is computed by itself.

        PyTorch's number of threads goes before `threads` if PyTorch is loaded.
        """
        height, width = batch.shape[2:]
        images = self.facts.prepare(batch, scaled_beforehand=self.scaled_beforehand)
        inner = (slice(margin_px, height - margin_px), slice(margin_px, width - margin_px))
        return np.stack(
            [self._compute(image, _threads(threads), runtime=runtime)[(slice(None), *inner)] for image in images]
        )

    def _compute(self, image: FloatImage, threads: int = 1, *, runtime: str = INT8, exact: bool = False) -> FloatImage:
        """Return the logits (K, h, w) of one image of all dates, or of the last. Errors: RunError for logits of another shape."""
        output = OUTPUT if len(image) == self.facts.channels else LAST_OUTPUT
        dates = self.facts.by_date(image)
        if runtime == OPENVINO_INT8:
            from deepnets4eo.segmenters.openvino_graph import compute_graph

            logits = compute_graph(self.graph, output, dates, threads)
        else:
            (logits,) = self.graph.compute([output], {INPUT: dates}, threads, exact=exact)
        expected = (
            1,
            logits.shape[1] if self._classes is None and logits.ndim == 4 else self._classes,
            *image.shape[1:],
        )
        if logits.shape != expected:
            raise RunError(
                f"{self.file} returns logits of the shape {logits.shape}, expected {expected}. Copy the run again."
            )
        return np.asarray(logits[0], np.float32)

    def fastest_runtime(self, scene_px: int) -> str:
        """Return the runtime that computes a scene of so many pixels fastest on this processor: ONNX Runtime or OpenVINO, with the seconds
        in which it starts, if 1.25 times as fast as PyTorch and with nearly its logits; else PyTorch.

        Without PyTorch only the logits count. Takes some seconds the first time on a processor, then reads the answer from the
        user's folder of caches.
        """
        runtimes = measured_runtimes()
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in runtimes.values())
        names = (TORCH, *runtimes, *map(_start_of, runtimes), *map(_difference_of, runtimes))
        kept = kept_measurement(FILE, f"{versions}, weights {self.graph.digest[:8]}", names, self.measure)
        gaining = [
            runtime
            for runtime in runtimes
            if (kept[TORCH] >= MIN_GAIN * kept[runtime] or not is_installed("torch"))
            and kept[_difference_of(runtime)] <= MAX_DIFFERENCE
        ]
        images = scene_px / SIDE_PX**2
        return min(gaining, key=lambda runtime: kept[_start_of(runtime)] + images * kept[runtime], default=TORCH)

    def measure(self) -> dict[str, float]:
        """Return the seconds of processor time on one thread of PyTorch in its faster precision and of each runtime of the graph, for an image
        of 192²; for each runtime also the further seconds of its first image, and the difference of its logits.

        Without PyTorch the logits are compared with the graph's own in float32, and PyTorch's seconds are 0.
        """
        image = _smooth_image(self.facts.channels)
        if is_installed("torch"):
            by_torch, expected = self._time_torch(image)
        else:
            by_torch, expected = 0.0, self._run(image, exact=True)
        measured = {TORCH: by_torch}
        for runtime in measured_runtimes():
            started = time.process_time()  # several threads may compile
            logits = self._run(image, runtime=runtime)
            first_s = time.process_time() - started
            measured[runtime] = _fastest(partial(self._run, image, runtime=runtime))
            measured[_start_of(runtime)] = round(max(first_s - measured[runtime], 0.0), 6)
            measured[_difference_of(runtime)] = round(float(np.abs(logits - expected).mean() / expected.std()), 4)
        return measured

    def _time_torch(self, image: FloatImage) -> tuple[float, FloatImage]:
        """Return the seconds of PyTorch in its faster precision, on one thread, and its logits in float32."""
        import copy

        import torch

        exact, fast = (
            copy.deepcopy(self.module).to(dtype) for dtype in (torch.float32, getattr(torch, choose("cpu").precision))
        )
        _scale(exact, beforehand=False)
        pixels = torch.from_numpy(image).to(memory_format=torch.channels_last)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                expected = exact(pixels).numpy()[0]
                return _fastest(lambda: fast(pixels.to(next(fast.parameters()).dtype))), expected
        finally:
            torch.set_num_threads(threads)

    def _run(self, image: FloatImage, *, runtime: str = INT8, exact: bool = False) -> FloatImage:
        """Return the logits (K, h, w) of an image (1, C, h, w) that is not scaled, on one thread."""
        return self._compute(self.facts.prepare(image)[0], runtime=runtime, exact=exact)


def measured_runtimes() -> dict[str, str]:
    """Return the installed runtimes of graphs, by name, and the packages that they are versions of."""
    return {INT8: "onnxruntime"} | ({OPENVINO_INT8: OPENVINO} if is_installed(OPENVINO) else {})


def _start_of(runtime: str) -> str:
    return f"{runtime} start"


def _difference_of(runtime: str) -> str:
    return f"{runtime} difference"


def _fastest(work: Callable[[], object]) -> float:
    """Return the seconds of this thread's processor time that work takes, the minimum of some rounds after the first."""
    seconds = []
    for _ in range(ROUNDS + 1):
        started = time.thread_time()
        work()
        seconds.append(time.thread_time() - started)
    return round(min(seconds[1:]), 6)


def _scale(module: nn.Module, *, beforehand: bool) -> None:
    """Set in the layers that scale windows whether images are scaled already."""
    for layer in scaling_layers(module):
        layer.scaled_beforehand = beforehand


def scaling_layers(module: nn.Module) -> list[Any]:
    """Return the layers of a network that scale windows, unless these are `scaled_beforehand`."""
    return [layer for layer in module.modules() if hasattr(layer, "scaled_beforehand")]


def _threads(chosen: int) -> int:
    """Return the threads that PyTorch uses, if it is loaded; else the chosen number."""
    torch = sys.modules.get("torch")
    return chosen if torch is None else int(torch.get_num_threads())


def _smooth_image(channels: int) -> FloatImage:
    """Return (1, C, 192, 192) random values whose neighbours are similar; the same every time."""
    coarse = np.random.default_rng(0).standard_normal((1, channels, SIDE_PX // 8, SIDE_PX // 8)).astype(np.float32)
    return np.repeat(np.repeat(coarse, 8, axis=2), 8, axis=3)
