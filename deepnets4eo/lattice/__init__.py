"""Windows: tiled for prediction, drawn for training, split in blocks."""

from deepnets4eo.lattice.tiling import SCORES, Lattice, Scores, Tile, Tiling, hann_weights, reflected, weight_sums

__all__ = [
    "Lattice",
    "SCORES",
    "Scores",
    "Tile",
    "Tiling",
    "hann_weights",
    "reflected",
    "weight_sums",
]
