"""Legends, palettes and dataset cards, read from YAML, and the catalog of those that come with the toolbox."""

from .catalog import (
    CardKind,
    ShippedModel,
    catalogues_path,
    is_shipped,
    model_path,
    recipe_path,
    run_path,
)
from .dataset_card import DatasetCard, PublishedScores, ScoringProtocol, SplitPart, load_protocol
from .dataset_reader import Tiles, abbreviate, find_tiles, open_dataset, part_tiles, strip_leading_zeros
from .embedding import EmbeddingCard, split_card
from .legend import VOID, Color, Legend, LegendClass, colour_problem
from .quantity import Quantity

__all__ = ["DatasetCard", "Legend"]
