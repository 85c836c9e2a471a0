"""A label raster against a reference, streamed: one protocol, one matrix, all scores."""

from deepnets4eo.evaluation.dataset_pairs import card_protocol, dataset_pairs, evaluate_dataset
from deepnets4eo.evaluation.scoring import Evaluation, Intervals, Protocol, evaluate, evaluate_pairs, written_legend

__all__ = [
    "Evaluation",
    "Intervals",
    "Protocol",
    "card_protocol",
    "dataset_pairs",
    "evaluate",
    "evaluate_dataset",
    "evaluate_pairs",
    "written_legend",
]
