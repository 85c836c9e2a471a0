"""Trained networks as ONNX files, for other runtimes: one file with the weights, and inputs, legend and tiling in its metadata.

Takes a run; writes a graph from prepared images (N, C, H, W) float32 to logits (N, K, H, W), checked against the run.
Refuses runs that hold no network, and a graph that returns other labels.
"""

from __future__ import annotations

import inspect
import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import atomic_write, plain
from deepnets4eo.jobs.lock import output_lock
from deepnets4eo.lazy import is_installed
from deepnets4eo.outputs.input_files import check_not_inputs
from deepnets4eo.segmenters.export_check import INPUT, OUTPUT, Reference
from deepnets4eo.segmenters.patch_modules import PatchModule
from deepnets4eo.segmenters.run import Run
from deepnets4eo.segmenters.segmenter import STRIDE_PX, NetworkSegmenter
from deepnets4eo.version import __version__

if TYPE_CHECKING:
    import onnx

log = logging.getLogger(__name__)

METADATA = "deepnets4eo"
EXAMPLE = (2, 96, 160)  # batch, height, width that the graph is traced with: unlike each other, so that none is merged


@dataclass(frozen=True)
class ExportResult:
    """What was written. any_size : whether heights and widths are free; else they are `side_px`.

    same_labels : share of compared pixels with the run's label, largest_difference : of logits, where float32 decides
    them (`export_check`); None: not compared.
    """

    path: Path
    any_size: bool
    side_px: int | None
    same_labels: float | None = None
    largest_difference: float | None = None


def export_onnx(run: Run, path: str | Path) -> ExportResult:
    """Write a run's network as ONNX, its inputs, legend and tiling as JSON in the metadata entry "deepnets4eo".

    The batch is free, and so are height and width where the network allows it; any side is padded as prediction does.
    Where onnxruntime is installed, the graph is compared with the network (`export_check`) before the file gets its
    name. The network is exported from the CPU in float32, and moved back to its device and precision afterwards.
    Errors: InputError without the packages of the extra `onnx`, RunError for runs without a network or another result.
    """
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
    """The run's segmenter, if it is a network alone. Errors: RunError where it is not."""
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
    """The graph, of any size where that can be traced, else of the run's tiles."""
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
    with warnings.catch_warnings(), torch.no_grad():
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
    """The exporter's graph, as it was where the optimiser of graphs fails (it does on some versions)."""
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
        "recipe_sha256": run.card.get("recipe_sha256"),
        "synthetic": run.card.get("notes", {}).get("synthetic"),
        "side_px": side_px,
        "use": f"{INPUT}: bands of all layers in their order, (value - mean) / std, 0 where not valid; "
        f"{OUTPUT}: the place of the largest is the place in the legend.",
    }
    onnx.helper.set_model_props(graph, {METADATA: json.dumps(plain(card))})
