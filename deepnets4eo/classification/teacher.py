"""A trained run of another sensor as a teacher: its embeddings of the same places, and its last layer, which stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards import Legend
from deepnets4eo.classification.labelling import embed_images
from deepnets4eo.classification.readers import list_images
from deepnets4eo.classification.recipe import ImageRecipe
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import NetworkSegmenter, Run, load_run


@dataclass(frozen=True)
class Teacher:
    """A run whose embeddings another network learns to have.

    run : what was trained before
    embeddings : (N, D) of all images of the recipe, whose own bands it sees
    """

    run: Run
    embeddings: NDArray[np.float32]

    @classmethod
    def of_recipe(cls, recipe: ImageRecipe, legend: Legend) -> Teacher | None:
        """Return the teacher that a recipe names, or None if it names no teacher. Raises InputError for another legend."""
        if not recipe.teacher.run:
            return None
        run = load_run(recipe.teacher.run)
        if run.legend.names != legend.names:
            raise InputError(
                f"the teacher {run.folder} has the classes {', '.join(run.legend.names)}, the images {', '.join(legend.names)}. Its "
                "last layer is kept, so train both with one legend."
            )
        bands = run.inputs.layers["image"].bands
        images, _ = list_images(recipe.data.model_copy(update={"bands": bands}), legend)
        return cls(run, embed_images(run, images, num_workers=max(recipe.data.num_workers, 1)))

    def give_last_layer(self, segmenter: NetworkSegmenter) -> None:
        """Put the last layer into a network, in which it stays fixed. Raises InputError for embeddings of another size."""
        networks: list[Any] = [segmenter, self.run.segmenter]
        learnt, taught = (network.module.head for network in networks)
        sizes = [getattr(head, "in_features", None) for head in (learnt, taught)]  # a linear layer's alone
        if None in sizes or sizes[0] != sizes[1]:
            raise InputError(
                f"the teacher {self.run.folder} has embeddings of {sizes[1]} numbers before a linear last layer, the network of {sizes[0]}. Take "
                "the same model.encoder, or one as wide."
            )
        learnt.load_state_dict(taught.state_dict())
        learnt.requires_grad_(requires_grad=False)
