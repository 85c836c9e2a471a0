"""Change between dates: networks of two dates, classical methods without training, diffusion along image edges, series."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "FCEF": "deepnets4eo.change.networks.fully_convolutional",
    "FCSiamConc": "deepnets4eo.change.networks.fully_convolutional",
    "FCSiamDiff": "deepnets4eo.change.networks.fully_convolutional",
    "FresUNet": "deepnets4eo.change.networks.fresunet",
    "NoveltyOptions": "deepnets4eo.change.series.options",
    "NoveltyRanking": "deepnets4eo.change.series.ranking",
    "SemanticChangeScore": "deepnets4eo.change.semantic_change",
    "one_hot_labels": "deepnets4eo.change.semantic_change",
    "rank_novelty": "deepnets4eo.change.series.ranking",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
