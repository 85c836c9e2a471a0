"""A label raster against a reference, streamed: one protocol, one matrix, all scores."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Evaluation": "deepnets4eo.evaluation.scoring",
    "Intervals": "deepnets4eo.evaluation.options",
    "Protocol": "deepnets4eo.evaluation.scoring",
    "card_protocol": "deepnets4eo.evaluation.card_pairs",
    "dataset_pairs": "deepnets4eo.evaluation.card_pairs",
    "evaluate": "deepnets4eo.evaluation.scoring",
    "evaluate_dataset": "deepnets4eo.evaluation.card_pairs",
    "evaluate_pairs": "deepnets4eo.evaluation.scoring",
    "mean_scores": "deepnets4eo.evaluation.over_seeds",
    "seeds_table": "deepnets4eo.evaluation.over_seeds",
    "spread": "deepnets4eo.evaluation.over_seeds",
    "Withheld": "deepnets4eo.evaluation.withheld",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
