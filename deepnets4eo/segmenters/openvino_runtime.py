"""A network compiled for processors by OpenVINO, in float32; one graph for each shape of batch.

Takes modules in PyTorch, and leaves those to it whose graph cannot be made or has other scores. The package that reports the use of
OpenVINO is not imported: nothing is sent.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.segmenters.openvino_graph import compile_model, without_reports

log = logging.getLogger(__name__)

SAME = 1e-3  # of the largest score: where runtimes differ by less, rounding alone is at work
COARSE_PX = 8  # between the random values that the probe is interpolated from


class CompiledNetwork:
    """A module (N, C, H, W) → (N, K, H, W) float32 with the weights that it had when a shape was first met, on the cores that PyTorch then used."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._graphs: dict[torch.Size, Callable[[Tensor], Tensor]] = {}
        self._alone = threading.Lock()  # a graph has one buffer for its result

    def __call__(self, batch: Tensor) -> Tensor:
        with self._alone:
            if batch.shape not in self._graphs:
                self._graphs[batch.shape] = self._compile(batch.shape)
            return self._graphs[batch.shape](batch)

    def _compile(self, shape: torch.Size) -> Callable[[Tensor], Tensor]:
        """Return the compiled graph for a shape, or the module if compiling fails or its scores differ.

        A probe decides, so that a resumed job decides the same."""
        probe = _smooth_image(shape)
        expected = self._by_torch(probe)
        try:
            graph = compile_graph(self.module, probe, torch.get_num_threads())
            difference = float((graph(probe) - expected).abs().max() / expected.abs().max())
        except RuntimeError as error:
            log.warning("OpenVINO cannot compile the network, which is left to PyTorch: %s", error)
            return self._by_torch
        if not difference <= SAME:  # also where it is no number
            log.warning(
                "By OpenVINO the scores differ by %.2g of the largest; the network is left to PyTorch.", difference
            )
            return self._by_torch
        return graph

    def _by_torch(self, batch: Tensor) -> Tensor:
        scores: Tensor = self.module(batch.contiguous(memory_format=torch.channels_last))
        return scores


def compile_graph(module: nn.Module, example: Tensor, threads: int) -> Callable[[Tensor], Tensor]:
    """Compile the module into a function of batches like `example`. Errors: RuntimeError."""
    with without_reports():
        from openvino import frontend
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, on sizes that become constants, as they shall
        traced: Any = torch.jit.trace(
            module, example, check_trace=False, strict=False
        )  # the scores are compared instead
        decoder = TorchScriptPythonDecoder(traced, example_input=example)  # which the reader needs to the end
        reader = frontend.FrontEndManager().load_by_framework("pytorch")  # `convert_model` would report it
        try:
            graph = reader.convert(reader.load(decoder))
        except (frontend.OpConversionFailure, frontend.GeneralFailure, frontend.NotImplementedFailure) as error:
            raise RuntimeError(str(error)) from error
    request = compile_model(graph, tuple(example.shape), threads)

    def compute(batch: Tensor) -> Tensor:
        return torch.from_numpy(request.infer([batch.contiguous().numpy()], share_inputs=True)[0])

    return compute


def _smooth_image(shape: torch.Size) -> Tensor:
    """Return a random image with values about 0 and similar neighbours; the same every time."""
    batch, bands, height, width = shape
    coarse = torch.randn(
        batch, bands, height // COARSE_PX + 1, width // COARSE_PX + 1, generator=torch.Generator().manual_seed(0)
    )
    return F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
