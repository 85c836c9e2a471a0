"""A label raster against a reference, streamed: one protocol, one matrix, all scores."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Evaluation": "deepnets4eo.evaluation.scoring",
    "Intervals": "deepnets4eo.evaluation.options",
    "Protocol": "deepnets4eo.evaluation.scoring",
    "card_protocol": "deepnets4eo.evaluation.pairs",
    "dataset_pairs": "deepnets4eo.evaluation.pairs",
    "evaluate": "deepnets4eo.evaluation.scoring",
    "evaluate_dataset": "deepnets4eo.evaluation.pairs",
    "evaluate_pairs": "deepnets4eo.evaluation.scoring",
    "evaluate_values": "deepnets4eo.evaluation.values",
    "find_wrong_labels": "deepnets4eo.evaluation.suspects",
    "mean_scores": "deepnets4eo.evaluation.comparison",
    "rank_wrong_labels": "deepnets4eo.evaluation.suspects",
    "seeds_table": "deepnets4eo.evaluation.comparison",
    "spread": "deepnets4eo.evaluation.comparison",
    "Withheld": "deepnets4eo.evaluation.withheld",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
