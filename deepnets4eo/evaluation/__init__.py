"""A label raster against a reference, streamed: one protocol, one matrix, all scores."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".scoring": "Evaluation Protocol evaluate evaluate_pairs",
        ".options": "Intervals",
        ".pairs": "card_protocol dataset_pairs evaluate_dataset",
        ".values": "evaluate_values",
        ".suspects": "find_wrong_labels rank_wrong_labels",
        ".comparison": "mean_scores seeds_table spread",
        ".withheld": "Withheld",
    },
)
