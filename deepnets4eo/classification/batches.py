"""Images as batches for training: prepared, in random order, with unlabelled images and a teacher's embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, Mask
from deepnets4eo.classification.images import ImageSplit, prepare_images
from deepnets4eo.classification.labelling import AT_ONCE, image_outputs
from deepnets4eo.classification.recipe import ImageRecipe
from deepnets4eo.classification.scores import fit_temperature, score_images
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter
from deepnets4eo.training import read_ahead, to_tensors

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TrainingImages:
    """Training data: pixels (N, C, P, P), labels (N, K), parts, scaling, and embeddings (N, D) of a teacher."""

    recipe: ImageRecipe
    pixels: NDArray[Any]
    targets: Mask
    split: ImageSplit
    inputs: InputSpec
    taught: NDArray[np.float32] | None = None

    @property
    def learnt(self) -> Indices:
        """Rows that are learnt from in turn: the labelled ones, with a teacher all others of the training part as well."""
        return self.split.labelled if self.taught is None else self.unlabelled

    @property
    def several(self) -> bool:
        """Return whether an image may have several labels."""
        return self.recipe.data.labels == "several"

    @property
    def unlabelled(self) -> Indices:
        """Rows that are learnt from without their labels; labelled ones are among them, as published."""
        return np.concatenate([self.split.unlabelled, self.split.labelled])

    @property
    def side_px(self) -> int:
        """Side of the images in pixels. Errors: InputError for images that are no squares."""
        height, width = self.pixels.shape[2:]
        if height != width:
            raise InputError(f"the images are {height} × {width} px; quarter turns need squares. Crop them.")
        return int(height)

    def prepare(self, rows: Indices) -> NDArray[np.float32]:
        """Return (n, C, P, P) as the network takes them."""
        return prepare_images(self.pixels[rows], self.inputs)

    def outputs(self, segmenter: NetworkSegmenter, rows: Indices, method: str = "patch_scores") -> NDArray[np.float64]:
        """Return (n, K) logits of the images at these rows, or what another method of the network makes of them."""
        if not len(rows):
            return np.zeros((0, self.targets.shape[1]))
        parts = np.split(rows, range(AT_ONCE, len(rows), AT_ONCE))
        outputs = [image_outputs(segmenter, self.prepare(part), method) for part in parts]
        return np.concatenate(outputs).astype(np.float64)

    def scores(self, segmenter: NetworkSegmenter, rows: Indices) -> dict[str, Any]:
        """All scores of the images at these rows."""
        logits = self.outputs(segmenter, rows)
        return score_images(logits, self.targets[rows], segmenter.legend.names, several=self.several)

    def calibrate(self, segmenter: NetworkSegmenter) -> float:
        """Divide the network's scores by the temperature of the validation part, and return it."""
        rows, module = self.split.val, segmenter.module
        divisor = fit_temperature(self.outputs(segmenter, rows), self.targets[rows], several=self.several)
        module.divide_scores(divisor)  # type: ignore[operator]
        return divisor


class ImageLoader:
    """Batches of labelled images in random order, each with `unlabelled.ratio` unlabelled images; only the epoch decides which images."""

    def __init__(self, material: TrainingImages) -> None:
        self.material, self.epoch, self.first_batch = material, 0, 0
        section = material.recipe.unlabelled
        self.ratio = section.ratio if section.method != "none" else 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose images come next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return int(self.material.recipe.data.windows_per_epoch) // self.material.recipe.train.batch_size

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        recipe, learnt, size = self.material.recipe, self.material.learnt, self.material.recipe.train.batch_size
        rng = np.random.default_rng([recipe.train.seed, self.epoch])
        labelled = _in_turn(len(learnt), len(self) * size, rng)
        unlabelled = self.material.unlabelled
        others = _in_turn(len(unlabelled), len(self) * size * self.ratio, rng)

        def batch(number: int) -> dict[str, Tensor]:
            rows = learnt[labelled[number * size : (number + 1) * size]]
            arrays = {"image": self.material.prepare(rows), "target": self.material.targets[rows]}
            if self.material.taught is not None:
                arrays |= {"taught": self.material.taught[rows], "known": np.isin(rows, self.material.split.labelled)}
            if self.ratio:
                at = others[number * size * self.ratio : (number + 1) * size * self.ratio]
                arrays |= {"unlabelled": self.material.prepare(unlabelled[at]), "rows": at}
            return to_tensors(arrays)

        return read_ahead(batch, range(self.first_batch, len(self)), recipe.data.num_workers)


def _in_turn(count: int, wanted: int, rng: np.random.Generator) -> Indices:
    """`wanted` numbers below `count`, each as often as the others, in random order."""
    if not wanted:
        return np.zeros(0, np.int64)
    return np.concatenate([rng.permutation(count) for _ in range(-(-wanted // count))])[:wanted]
