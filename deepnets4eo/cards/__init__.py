"""Legends, palettes and dataset cards, read from YAML, and the catalog of those that come with the toolbox."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .catalog import (
        CardKind,
        ShippedModel,
        catalogues_path,
        is_shipped,
        model_path,
        recipe_path,
        run_path,
    )
    from .dataset_card import DatasetCard as DatasetCard, PublishedScores, ScoringProtocol, SplitPart, load_protocol
    from .dataset_reader import Tiles, abbreviate, find_tiles, open_dataset, part_tiles, strip_leading_zeros
    from .embedding import EmbeddingCard, split_card
    from .legend import VOID, Color, Legend as Legend, LegendClass, colour_problem, normalise_name
    from .quantity import QUANTITIES, Quantity
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".dataset_card": ["DatasetCard"],
            ".legend": ["Legend"],
        },
        internal={
            ".catalog": [
                "CardKind",
                "ShippedModel",
                "catalogues_path",
                "is_shipped",
                "model_path",
                "recipe_path",
                "run_path",
            ],
            ".dataset_card": ["PublishedScores", "ScoringProtocol", "SplitPart", "load_protocol"],
            ".dataset_reader": [
                "Tiles",
                "abbreviate",
                "find_tiles",
                "open_dataset",
                "part_tiles",
                "strip_leading_zeros",
            ],
            ".embedding": ["EmbeddingCard", "split_card"],
            ".legend": ["VOID", "Color", "LegendClass", "colour_problem", "normalise_name"],
            ".quantity": ["QUANTITIES", "Quantity"],
        },
    )
