"""Windows: tiles for prediction, samples for training, blocks for splits, a few spread evenly to measure by."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .lattice import (
        SCORES as SCORES,
        SMALLEST_SIDE_PX,
        UNIFORM,
        Lattice as Lattice,
        Scores as Scores,
        Tile as Tile,
        Tiling as Tiling,
        mirror_window,
        reflect_indices,
    )
    from .sampling import (
        ClassCells,
        balanced_windows,
        random_windows,
        sample_pixels,
        shuffle_windows,
        spread_indices,
        spread_windows,
    )
    from .scores import (
        Packed,
        best_class,
        blended_probabilities,
        entropy,
        map_classes,
        probabilities,
        to_blend_scores,
    )
    from .splits import BlockSplit, SceneSplit, outline
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".lattice": ["SCORES", "Lattice", "Scores", "Tile", "Tiling"],
        },
        internal={
            ".lattice": ["SMALLEST_SIDE_PX", "UNIFORM", "mirror_window", "reflect_indices"],
            ".sampling": [
                "ClassCells",
                "balanced_windows",
                "random_windows",
                "sample_pixels",
                "shuffle_windows",
                "spread_indices",
                "spread_windows",
            ],
            ".scores": [
                "Packed",
                "best_class",
                "blended_probabilities",
                "entropy",
                "map_classes",
                "probabilities",
                "to_blend_scores",
            ],
            ".splits": ["BlockSplit", "SceneSplit", "outline"],
        },
    )
