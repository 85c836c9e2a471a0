"""Windows: tiles for prediction, samples for training, blocks for splits, a few spread evenly to measure by."""

from .lattice import (
    SCORES,
    SMALLEST_SIDE_PX,
    UNIFORM,
    Lattice,
    Scores,
    Tile,
    Tiling,
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
    NOT_FINITE,
    Packed,
    best_class,
    blended_probabilities,
    entropy,
    map_classes,
    probabilities,
    to_blend_scores,
)
from .splits import BlockSplit, SceneSplit, outline

__all__ = ["Lattice", "SCORES", "Scores", "Tile", "Tiling"]
