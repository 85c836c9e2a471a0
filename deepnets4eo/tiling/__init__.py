"""Windows: tiles for prediction, samples for training, blocks for splits, a few spread evenly to measure by."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(__name__, {".lattice": "Lattice SCORES Scores Tile Tiling"})
