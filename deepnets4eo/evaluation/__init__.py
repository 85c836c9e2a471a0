"""A label raster against a reference, streamed: one protocol, one matrix, all scores."""

from deepnets4eo.evaluation.scoring import Evaluation, Intervals, Protocol, evaluate, evaluate_pairs, written_legend

__all__ = [
    "Evaluation",
    "Intervals",
    "Protocol",
    "evaluate",
    "evaluate_pairs",
    "written_legend",
]
