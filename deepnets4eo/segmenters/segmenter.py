"""The one protocol of everything that labels pixels, and its first implementation: a network.

Takes batches prepared by its own `inputs`; returns scores (N, K, H, W). Preprocessing and legend are saved with it.

Refuses weights that do not belong to the network described. Branches add further kinds (see `run`).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from deepnets4eo.arrays import Batch, ByteImage, FloatImage
from deepnets4eo.cards import Legend
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import atomic_write
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.segmenters.checksums import RunFolder
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.networks import create_from_spec
from deepnets4eo.tiling import Tiling, best_class, map_classes, probabilities

if TYPE_CHECKING:
    from torch import Tensor, nn

    from deepnets4eo.segmenters.int8_network import Int8Network
    from deepnets4eo.segmenters.openvino_runtime import CompiledNetwork
    from deepnets4eo.segmenters.transfers import Transfers


STORED = ("float32", "float16")  # precisions of that file
_LOADING = RLock()  # threads of a job share a segmenter; copies and pickles do not carry it
STRIDE_PX = 32  # deepest downsampling of the encoders; smaller remainders are padded and cut off again

TILE_PX = 256


@runtime_checkable
class Segmenter(Protocol):
    """Interface for prediction, evaluation and damage mapping; all arrays are batches of prepared tiles.

    `margin_px` pixels, the halo, are cut off on each side of returned arrays.

    A legend with a quantity adds channels after the K classes, in scores and probabilities: its mean, in its unit, and
    its standard deviation if the legend has one.
    """

    kind: str
    legend: Legend
    inputs: InputSpec
    tiling: Tiling

    @property
    def halo_px(self) -> int:
        """Context each pixel needs on each side."""

    def predict_raw(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Scores before normalisation, (N, K, h, w) float32; their softmax are the probabilities."""

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Probabilities, (N, K, h, w) float32, summing to 1 over K."""

    def predict_classes(self, batch: Batch, *, margin_px: int = 0) -> ByteImage:
        """Class indices (0 … K − 1) of the best scores, (N, h, w) uint8."""

    def to(self, compute: Compute) -> None:
        """Move to a device and precision."""

    def describe(self) -> dict[str, Any]:
        """Return plain values that let `restore` rebuild the segmenter, with the files of `save`."""

    def save(self, folder: str | Path) -> list[str]:
        """Write the learned state into an existing folder; returns the names of the files."""


class ProbabilitySegmenter:
    """Base of segmenters that compute probabilities; subclasses implement `predict_proba`."""

    legend: Legend
    tiling: Tiling

    @property
    def halo_px(self) -> int:
        """Context each pixel needs on each side."""
        return self.tiling.halo_px

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Probabilities, (N, K, h, w) float32, summing to 1 over K."""
        raise TypeError(f"{type(self).__name__} does not implement predict_proba")

    def predict_raw(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Log-probabilities, (N, K, h, w) float32."""
        proba = self.predict_proba(batch, margin_px=margin_px)
        return map_classes(
            lambda p: np.log(np.maximum(p, np.finfo(np.float32).tiny)), proba, self.legend.num_classes, axis=1
        )

    def predict_classes(self, batch: Batch, *, margin_px: int = 0) -> ByteImage:
        """Class indices of the best scores, (N, h, w) uint8."""
        count = self.legend.num_classes
        return np.stack([best_class(image[:count]) for image in self.predict_proba(batch, margin_px=margin_px)])


class NetworkSegmenter:
    """A torch network on all layers of `inputs`, concatenated; `network`: arguments of `create_model`, `module`: it, if built.

    Weights are written as `stored`, "float32" or "float16". With `int8` weights the module is built when PyTorch first computes it.
    InputError where the mapping contradicts inputs or legend.
    """

    kind = "network"

    def __init__(
        self,
        network: Mapping[str, Any],
        inputs: InputSpec,
        legend: Legend,
        *,
        tiling: Tiling | None = None,
        module: nn.Module | None = None,
        stored: str = "float32",
        int8: Int8Network | None = None,
    ) -> None:
        if stored not in STORED:
            raise InputError(f"weights are to be stored as {stored!r}; expected {' or '.join(STORED)}.")
        self.stored = stored
        described = {"in_channels": inputs.in_channels, "num_classes": legend.num_channels}
        self.network = dict(network) | {key: network.get(key, value) for key, value in described.items()}
        wrong = {key: self.network[key] for key, value in described.items() if self.network[key] != value}
        if wrong:
            raise InputError(
                f"the network has {wrong}, but inputs and legend {legend.name!r} need {described}. Make them agree."
            )
        self.inputs, self.legend = inputs, legend
        built = module if module is not None or int8 is not None else create_from_spec(self.network)
        self._module = None if built is None else built.eval()
        self.tiling = with_context(tiling, self._module)
        self.compiled: CompiledNetwork | None = None
        self.int8 = int8
        self.to(Compute())

    @property
    def module(self) -> nn.Module:
        """Return the network. A run with int8 weights reads it here; another module that is set has none."""
        if self._module is None and self.int8 is not None:
            import torch

            with _LOADING, torch.inference_mode(False):
                if self._module is None:
                    module = self.int8.module.eval()
                    self._move(module)
                    self._module = module  # other threads see it only when it is moved
        if self._module is None:
            raise RunError("the segmenter has no network. Load the run again.")
        return self._module

    @module.setter
    def module(self, module: nn.Module) -> None:
        self._module, self.int8 = module, None

    @property
    def halo_px(self) -> int:
        """Context each pixel needs on each side."""
        return self.tiling.halo_px

    @property
    def compiles(self) -> bool:
        """Return whether runtimes other than PyTorch can compute the segmenter."""
        return self.int8 is not None or not isinstance(self.module, PatchModule)

    @property
    def scaling_layers(self) -> list[Any]:
        """Return the layers that scale windows; int8 weights reach the layers of their network, which may not be read yet."""
        if self.int8 is not None:
            return [self.int8]
        from deepnets4eo.segmenters.int8_network import scaling_layers

        return scaling_layers(self.module)

    def predict_raw(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Logits, (N, K, h, w) float32."""
        int8 = self.int8
        if int8 is not None and self.compute.by_int8 and int8.facts.fit(batch.shape[1]):
            return int8.logits(batch, margin_px=margin_px, threads=self.compute.threads, runtime=self.compute.runtime)
        return np.asarray(self.device_scores(batch, margin_px=margin_px).cpu().numpy())

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Probabilities, (N, K, h, w) float32, summing to 1 over K."""
        raw = self.predict_raw(batch, margin_px=margin_px)
        return map_classes(lambda logits: probabilities(logits, axis=1), raw, self.legend.num_classes, axis=1)

    def predict_classes(self, batch: Batch, *, margin_px: int = 0) -> ByteImage:
        """Predict class indices of the best logits, (N, h, w) uint8; on the device if that is faster."""
        count = self.legend.num_classes
        if self.compute.device == "cpu":  # torch's argmax takes up to ten times as long
            return np.stack([best_class(image[:count]) for image in self.predict_raw(batch, margin_px=margin_px)])
        import torch

        logits = self._logits(batch, margin_px)[:, :count]
        return np.asarray(logits.argmax(dim=1).to(torch.uint8).cpu().numpy())

    def device_scores(self, batch: Batch, *, margin_px: int = 0) -> Tensor:
        """Logits on the device, (N, K, h, w) float32; a GPU may still compute them, and the batch may be overwritten."""
        return self._logits(batch, margin_px).float()

    def to(self, compute: Compute) -> None:
        """Move to a device, precision and runtime; float32 after bfloat16 does not restore lost digits. A runtime keeps the weights of now."""
        self.send_batches_to(compute)
        if self._module is not None:
            self._move(self._module)

    def _move(self, module: nn.Module) -> None:
        """Move the network to the chosen device, precision and runtime."""
        import torch

        compute = self.compute
        module.to(device=compute.device, dtype=getattr(torch, compute.precision))
        if not isinstance(module, PatchModule):  # these lay out their own maps
            module.to(memory_format=torch.channels_last)
        if compute.by_openvino and self.compiles:
            from deepnets4eo.segmenters.openvino_runtime import CompiledNetwork

            self.compiled = CompiledNetwork(module)

    def send_batches_to(self, compute: Compute) -> None:
        """Upload batches to a device; the caller itself moves the network there, as the training loop does."""
        self.compute, self.compiled = compute, None
        self._transfers: Transfers | None = None

    @property
    def transfers(self) -> Transfers:
        """Return the copies between the host and the chosen device."""
        if self._transfers is None:
            from deepnets4eo.segmenters.transfers import Transfers

            self._transfers = Transfers(self.compute.device)
        return self._transfers

    def describe(self) -> dict[str, Any]:
        """Return plain values that let `restore` rebuild the segmenter."""
        described: dict[str, Any] = {"network": {key: value for key, value in self.network.items() if key != "weights"}}
        if self.stored != "float32":
            described["stored"] = self.stored
        if self.int8 is not None:  # the card, in which this stands, seals the graph also within other segmenters
            described["int8"] = self.int8.graph.digest
        return described

    def save(self, folder: str | Path) -> list[str]:
        """Write the weights as safetensors, and a copy of int8 weights; returns the files' names. Errors: RunError for weights beyond what float16 holds."""
        files = RunFolder(folder)
        if self.int8 is None:
            self._save_weights(files.weights)
            return [files.weights.name]
        if self._module is None:  # as it was read, so that PyTorch is not needed to compute int8 weights elsewhere
            _copy(RunFolder(self.int8.file.parent).read_weights, files.weights)
        else:
            self._save_weights(files.weights)
        _copy(self.int8.file, files.int8_weights)
        return [files.weights.name, files.int8_weights.name]

    def _save_weights(self, path: Path) -> None:
        from safetensors.torch import save_file

        state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.module.state_dict().items()}
        if self.stored == "float16":
            state = {name: _halve(name, tensor) for name, tensor in state.items()}
        with atomic_write(path) as beside:
            save_file(state, beside)

    @classmethod
    @name_missing_extra()
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> NetworkSegmenter:
        """Restore the segmenter that `save` wrote. Errors: RunError for weights that are damaged or of another network."""
        if description.get("int8"):
            return cls.with_int8(folder, description, inputs, legend, tiling)
        return cls._restore_weights(folder, description, inputs, legend, tiling)

    @classmethod
    def _restore_weights(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> NetworkSegmenter:
        """Restore the segmenter with only the weights of PyTorch."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from deepnets4eo.segmenters.pretrained import NoRandomWeights

        path = RunFolder(folder).read_weights
        described = {"in_channels": inputs.in_channels, "num_classes": legend.num_channels}
        stored = description.get("stored", "float32")
        with NoRandomWeights():
            _check_size(described | description["network"], path, stored)
            segmenter = cls(description["network"], inputs, legend, tiling=tiling, stored=stored)
        try:
            weights = load_file(path)
            segmenter.module.load_state_dict(weights)
        except (SafetensorError, OSError) as error:
            raise RunError(f"{path} cannot be read: {error}. Copy the run again.") from error
        except RuntimeError as error:
            raise RunError(f"{path} does not belong to the network {segmenter.network}: {error}") from error
        _check_finite(weights, path)
        return segmenter

    @classmethod
    def with_int8(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> NetworkSegmenter:
        """Restore the segmenter of a sealed run with int8 weights. PyTorch and the other weights are loaded if they are first needed.

        Errors: RunError for a graph that is not the one of the description, or that cannot be computed safely."""
        from deepnets4eo.segmenters.int8_network import Int8Network

        build = partial(_restored_module, cls, folder, dict(description), inputs, legend, tiling)
        int8 = Int8Network(RunFolder(folder).int8_weights, build, legend.num_channels)
        if description.get("int8") not in (None, int8.graph.digest):
            raise RunError(f"{int8.file} is not the graph of this run. Copy the run again.")
        stored = description.get("stored", "float32")
        return cls(description["network"], inputs, legend, tiling=tiling, stored=stored, int8=int8)

    def _logits(self, batch: Batch, margin_px: int) -> Tensor:
        import torch
        import torch.nn.functional as F

        with torch.inference_mode():
            tensor = self.transfers.upload(batch).to(getattr(torch, self.compute.precision))
            if isinstance(self.module, PatchModule):
                return patch_logits(self.module, tensor, margin_px)
            compiled = self.compiled if self.compiled is not None and self.compiled.module is self.module else None
            if compiled is None:
                tensor = tensor.contiguous(memory_format=torch.channels_last)  # both at once takes twice as long
            height, width = tensor.shape[2:]
            below, right = -height % STRIDE_PX, -width % STRIDE_PX
            if below or right:
                tensor = F.pad(tensor, (0, right, 0, below), mode="replicate")
            logits: Tensor = (compiled or self.module)(tensor)
            return logits[:, :, margin_px : height - margin_px, margin_px : width - margin_px]


def _restored_module(
    segmenter: type[NetworkSegmenter],
    folder: Path,
    description: Mapping[str, Any],
    inputs: InputSpec,
    legend: Legend,
    tiling: Tiling,
) -> nn.Module:
    """Read the network of a run; a function of the module's, so that segmenters are pickled."""
    return segmenter._restore_weights(folder, description, inputs, legend, tiling).module


def _check_finite(weights: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that are not numbers, whose scores would all be class 0. Errors: RunError."""
    wrong = [name for name, tensor in weights.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if wrong:
        raise RunError(
            f"{path} has weights that are not finite (NaN or infinite), first in {wrong[0]}. The training failed, or the file is "
            "damaged: train it again, e.g. with a smaller train.lr."
        )


def _copy(source: Path, target: Path) -> None:
    """Copy a file of a run, unless it is the file itself."""
    if target.exists() and target.samefile(source):
        return
    with atomic_write(target) as beside:
        shutil.copyfile(source, beside)


def _halve(name: str, tensor: Tensor) -> Tensor:
    """Weights in half precision; counts of steps as they are. Errors: RunError."""
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    if not half.isfinite().all():
        raise RunError(f"{name} has values up to {tensor.abs().max():.3g}, float16 holds 65504. Store it as float32.")
    return half


def _check_size(network: Mapping[str, Any], path: Path, stored: str) -> None:
    """Refuse a network that is larger than its file of weights, before memory is taken for it. Errors: RunError."""
    import torch

    try:
        with torch.device("meta"):  # shapes without values
            tensors = create_from_spec(network).state_dict().values()
    except (RuntimeError, InputError) as error:
        if "meta tensors" not in str(error):
            raise
        return  # the mix transformers of smp compute with values while they are built
    halved = 2 if stored == "float16" else 1
    needed = sum(
        tensor.numel() * tensor.element_size() // (halved if tensor.is_floating_point() else 1) for tensor in tensors
    )
    size = path.stat().st_size
    if needed > size:
        raise RunError(
            f"{path} does not belong to the network that its card describes: it has {size / 1e6:.1f} MB, the network "
            f"{needed / 1e6:.1f} MB. Copy the run again."
        )


@runtime_checkable
class PatchModule(Protocol):
    """A module that labels centres of patches and whole images; scores depend on `before_px` and `after_px` rows and columns."""

    before_px: int
    after_px: int

    def window_scores(self, cube: Tensor) -> Tensor:
        """Compute scores wherever the context lies inside, (N, C, h, w) → (N, K, h − b, w − b), b = before_px + after_px."""

    def __call__(self, cube: Tensor) -> Tensor:
        """Scores of all pixels, the image mirrored at its edges, (N, C, h, w) → (N, K, h, w)"""


def patch_logits(module: PatchModule, image: Tensor, margin_px: int) -> Tensor:
    """Scores without a margin, (N, C, h, w) → (N, K, h − 2m, w − 2m); mirrored where the margin is less than the context."""
    before, after = module.before_px, module.after_px
    height, width = image.shape[2:]
    if margin_px < max(before, after):
        return module(image)[:, :, margin_px : height - margin_px, margin_px : width - margin_px]
    rows, cols = (slice(margin_px - before, side - margin_px + after) for side in (height, width))
    return module.window_scores(image[:, :, rows, cols])


def with_context(tiling: Tiling | None, module: object) -> Tiling:
    """Return a tiling whose halo is at least the module's context, with an unchanged core; by default tiles of 256 px."""
    if not isinstance(module, PatchModule):
        return Tiling() if tiling is None else tiling
    halo_px = max(module.before_px, module.after_px)
    if tiling is None:
        return Tiling(max(TILE_PX, 4 * halo_px), halo_px)
    more_px = max(halo_px - tiling.halo_px, 0)
    return replace(tiling, tile_px=tiling.tile_px + 2 * more_px, halo_px=tiling.halo_px + more_px)
