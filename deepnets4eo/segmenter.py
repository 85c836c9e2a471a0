"""The one protocol of everything that labels pixels, and its two implementations: an estimator, a network.

Takes batches prepared by its own `inputs`; gives scores (N, K, H, W). Preprocessing and legend travel with it.
Refuses weights that do not belong to the network described, and estimators of types that skops does not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.features import feature_stack, features_halo_px
from deepnets4eo.inputs import InputSpec
from deepnets4eo.lattice import Tiling
from deepnets4eo.lattice.sampling import sample_pixels
from deepnets4eo.lattice.scores import best, probabilities
from deepnets4eo.legend import VOID, Legend
from deepnets4eo.networks import create_from_spec
from deepnets4eo.rasters.ahead import in_order
from deepnets4eo.scene import Scene

if TYPE_CHECKING:
    from torch import Tensor, nn

Batch = NDArray[np.float32]

WEIGHTS = "weights.safetensors"
ESTIMATOR = "estimator.skops"
TRUSTED = ("sklearn.tree._tree.Tree",)  # not safe by itself, as its nodes are not checked on loading: done here
CHUNK_PIXELS = 1 << 15  # that an estimator sees at once
STRIDE_PX = 32  # deepest downsampling of the encoders; smaller remainders are padded and cut off again


@runtime_checkable
class Segmenter(Protocol):
    """What prediction, evaluation and damage mapping need; all arrays are batches of prepared tiles.

    `margin_px` pixels are cut off on each side of what is returned: the halo, which nobody wants to copy.
    """

    kind: str
    legend: Legend
    inputs: InputSpec
    tiling: Tiling

    @property
    def halo_px(self) -> int:
        """Context each pixel needs on each side."""

    def predict_raw(self, batch: Batch, *, margin_px: int = 0) -> NDArray[np.float32]:
        """Scores before normalisation, (N, K, h, w) float32; their softmax are the probabilities."""

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> NDArray[np.float32]:
        """Probabilities, (N, K, h, w) float32, summing to 1 over K."""

    def predict_classes(self, batch: Batch, *, margin_px: int = 0) -> NDArray[np.uint8]:
        """Places in the legend (0 … K − 1) of the best scores, (N, h, w) uint8."""

    def to(self, compute: Compute) -> None:
        """Go to a device and precision."""

    def describe(self) -> dict[str, Any]:
        """Plain values from which `restore` makes the same segmenter again, with the files of `save`."""

    def save(self, folder: str | Path) -> list[str]:
        """Write the learned state into an existing folder; returns the names of the files."""


class EstimatorSegmenter:
    """Features by name and a scikit-learn classifier with `predict_proba`.

    features : names of `deepnets4eo.features.FEATURES`. estimator : unfitted or fitted classifier.
    """

    kind = "estimator"

    def __init__(
        self,
        estimator: Any,
        inputs: InputSpec,
        legend: Legend,
        *,
        features: Sequence[str] = ("pixels",),
        tiling: Tiling | None = None,
    ) -> None:
        halo_px = features_halo_px(features)
        self.estimator, self.inputs, self.legend, self.features = estimator, inputs, legend, tuple(features)
        self.tiling = tiling if tiling is not None else Tiling(512 + 2 * halo_px, halo_px)
        self._threads = 1

    @property
    def halo_px(self) -> int:
        """Context each pixel needs on each side."""
        return self.tiling.halo_px

    def fit(self, scenes: Sequence[Scene], *, max_pixels: int = 100_000, seed: int = 0) -> EstimatorSegmenter:
        """Learn from the scenes' `labels`, from at most `max_pixels` pixels, equally many of each class; returns itself.

        Errors: InputError where fewer than two classes are labelled.
        """
        halo_px = features_halo_px(self.features)
        vectors, places = sample_pixels(
            scenes,
            self.legend,
            self._features_of,
            max_pixels=max_pixels,
            halo_px=halo_px,
            names=self.inputs.names,
            seed=seed,
        )
        if np.unique(places).size < 2:
            raise InputError(
                f"the scenes' labels show {np.unique(places).size} classes of legend {self.legend.name!r}; at least 2 are "
                "needed. Check the labels layer."
            )
        self.estimator.fit(vectors, places)
        return self

    def predict_raw(self, batch: Batch, *, margin_px: int = 0) -> NDArray[np.float32]:
        """Log-probabilities, (N, K, h, w) float32."""
        smallest = np.finfo(np.float32).tiny
        return np.log(np.maximum(self.predict_proba(batch, margin_px=margin_px), smallest))

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> NDArray[np.float32]:
        """Probabilities, (N, K, h, w) float32; 0 for classes that training did not show."""
        from threadpoolctl import threadpool_limits

        self._one_thread()
        with threadpool_limits(1):  # matrix products, too, change their last bits with the number of threads
            return np.stack([self._predict_image(image, margin_px) for image in batch])

    def predict_classes(self, batch: Batch, *, margin_px: int = 0) -> NDArray[np.uint8]:
        """Places in the legend of the best scores, (N, h, w) uint8."""
        return np.stack([best(image) for image in self.predict_proba(batch, margin_px=margin_px)])

    def to(self, compute: Compute) -> None:
        """Estimators stay where they are; they use the threads, on parts of a tile that do not depend on them."""
        self._threads = compute.threads

    def describe(self) -> dict[str, Any]:
        """Plain values from which `restore` makes the same segmenter again."""
        return {"features": list(self.features)}

    def save(self, folder: str | Path) -> list[str]:
        """Write the estimator through skops; returns the file's name."""
        from skops import io

        io.dump(self.estimator, Path(folder) / ESTIMATOR)
        return [ESTIMATOR]

    @classmethod
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> EstimatorSegmenter:
        """The segmenter that `save` wrote. Errors: RunError for a file or types that skops does not accept."""
        from skops import io

        path = folder / ESTIMATOR
        try:
            found = io.get_untrusted_types(file=path)
            untrusted = sorted(set(found) - set(TRUSTED))
            if untrusted:
                raise RunError(f"{path} holds types that are not known to be safe: {untrusted}. It is not loaded.")
            estimator = io.load(path, trusted=[name for name in TRUSTED if name in found])
        except RunError:
            raise
        except (ValueError, KeyError, OSError, TypeError, AttributeError, BadZipFile) as error:
            raise RunError(f"{path} cannot be read: {error}. Copy the run again.") from error
        _check_trees(estimator, path)
        return cls(estimator, inputs, legend, features=description["features"], tiling=tiling)

    def _features_of(self, sample: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        return feature_stack(self.inputs.prepare(sample), self.features)

    def _predict_image(self, image: NDArray[np.float32], margin_px: int) -> NDArray[np.float32]:
        features = _trimmed(feature_stack(image, self.features), margin_px)
        count, height, width = features.shape
        vectors = features.reshape(count, -1).T
        parts = [vectors[start : start + CHUNK_PIXELS] for start in range(0, len(vectors), CHUNK_PIXELS)]
        found = np.concatenate(list(in_order(self.estimator.predict_proba, parts, self._threads)))
        scores = np.zeros((self.legend.num_classes, height, width), np.float32)
        scores[np.asarray(self.estimator.classes_, int)] = found.T.reshape(-1, height, width)
        return scores

    def _one_thread(self) -> None:
        """A forest sums its trees in the order in which threads end, which would change the last bits."""
        parallel = {key: value for key, value in self.estimator.get_params().items() if key.split("__")[-1] == "n_jobs"}
        if any(value not in (None, 1) for value in parallel.values()):
            self.estimator.set_params(**dict.fromkeys(parallel, 1))


class NetworkSegmenter:
    """A torch network on all layers of `inputs`, concatenated in their order.

    network : plain mapping of `create_model`'s arguments: {"name": "unet", "encoder": "resnet34", "in_channels": 3,
    "num_classes": 6, …}; in_channels and num_classes default to those of `inputs` and `legend`.
    module : the network itself where it is built already (by training), else it is built here, untrained.
    Errors: InputError where the mapping contradicts inputs or legend.
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
    ) -> None:
        described = {"in_channels": inputs.in_channels, "num_classes": legend.num_classes}
        self.network = dict(network) | {key: network.get(key, value) for key, value in described.items()}
        wrong = {key: self.network[key] for key, value in described.items() if self.network[key] != value}
        if wrong:
            raise InputError(
                f"the network has {wrong}, but inputs and legend {legend.name!r} need {described}. Make them agree."
            )
        self.inputs, self.legend = inputs, legend
        self.tiling = tiling if tiling is not None else Tiling()
        self.module = (create_from_spec(self.network) if module is None else module).eval()
        self.to(Compute())

    @property
    def halo_px(self) -> int:
        """Context each pixel needs on each side."""
        return self.tiling.halo_px

    def predict_raw(self, batch: Batch, *, margin_px: int = 0) -> NDArray[np.float32]:
        """Logits, (N, K, h, w) float32."""
        return np.asarray(self._logits(batch, margin_px).float().cpu().numpy())

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> NDArray[np.float32]:
        """Probabilities, (N, K, h, w) float32, summing to 1 over K."""
        return probabilities(self.predict_raw(batch, margin_px=margin_px), axis=1)

    def predict_classes(self, batch: Batch, *, margin_px: int = 0) -> NDArray[np.uint8]:
        """Places in the legend of the best logits, (N, h, w) uint8; found where it is quickest."""
        import torch

        logits = self._logits(batch, margin_px)
        if self.compute.device == "cpu":  # torch's argmax over channels takes seven times as long there
            return np.stack([best(image) for image in logits.float().numpy()])
        return np.asarray(logits.argmax(dim=1).to(torch.uint8).cpu().numpy())

    def to(self, compute: Compute) -> None:
        """Go to a device and precision; `Compute(precision="float32")` after bfloat16 does not bring back lost digits."""
        import torch

        self.module.to(device=compute.device, dtype=getattr(torch, compute.precision))
        self.module.to(memory_format=torch.channels_last)
        self.compute = compute

    def describe(self) -> dict[str, Any]:
        """Plain values from which `restore` makes the same segmenter again."""
        return {"network": {key: value for key, value in self.network.items() if key != "weights"}}

    def save(self, folder: str | Path) -> list[str]:
        """Write the weights as safetensors; returns the file's name."""
        from safetensors.torch import save_file

        state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.module.state_dict().items()}
        save_file(state, Path(folder) / WEIGHTS)
        return [WEIGHTS]

    @classmethod
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> NetworkSegmenter:
        """The segmenter that `save` wrote. Errors: RunError for weights that are damaged or of another network."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        segmenter = cls(description["network"], inputs, legend, tiling=tiling)
        path = folder / WEIGHTS
        try:
            segmenter.module.load_state_dict(load_file(path))
        except (SafetensorError, OSError) as error:
            raise RunError(f"{path} cannot be read: {error}. Copy the run again.") from error
        except RuntimeError as error:
            raise RunError(f"{path} does not belong to the network {segmenter.network}: {error}") from error
        return segmenter

    def _logits(self, batch: Batch, margin_px: int) -> Tensor:
        import torch
        import torch.nn.functional as F

        compute = self.compute
        layout = torch.channels_last  # 1.2 times as fast on CPUs already in float32
        with torch.inference_mode():
            tensor = torch.from_numpy(batch).to(compute.device, getattr(torch, compute.precision), memory_format=layout)
            height, width = tensor.shape[2:]
            below, right = -height % STRIDE_PX, -width % STRIDE_PX
            if below or right:
                tensor = F.pad(tensor, (0, right, 0, below), mode="replicate")
            logits: Tensor = self.module(tensor)
            return logits[:, :, margin_px : height - margin_px, margin_px : width - margin_px]


def place_table(legend: Legend) -> NDArray[np.uint8]:
    """Label value → place in the legend (0 … K − 1); void (255) for all others. (256,) uint8"""
    table = np.full(256, VOID, np.uint8)
    table[list(legend.values)] = np.arange(legend.num_classes)
    return table


def _check_trees(estimator: Any, path: Path) -> None:
    """Refuse trees whose nodes point outside them, which scikit-learn would follow into foreign memory."""
    for part in [step for _, step in getattr(estimator, "steps", [("", estimator)])]:
        for member in np.asarray(getattr(part, "estimators_", [None]), object).ravel():
            if hasattr(member or part, "tree_"):
                _check_tree(member or part, path)


def _check_tree(member: Any, path: Path) -> None:
    tree = member.tree_
    for children in (tree.children_left, tree.children_right):
        inner = children >= 0
        if (children >= tree.node_count).any() or not (children[inner] > np.flatnonzero(inner)).all():
            raise RunError(f"{path} holds a tree with nodes that lead nowhere. Copy the run again.")
    if (tree.feature >= member.n_features_in_).any():
        raise RunError(f"{path} holds a tree that asks for features it does not have. Copy the run again.")


def _trimmed(image: NDArray[np.float32], margin_px: int) -> NDArray[np.float32]:
    height, width = image.shape[-2:]
    return image[..., margin_px : height - margin_px, margin_px : width - margin_px]
