"""Change between dates: networks of two dates, classical methods without training, diffusion along image edges, series."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "ChangeDetector": "deepnets4eo.change.classical.detector",
    "ChangeMap": "deepnets4eo.change.job",
    "ChangeOptions": "deepnets4eo.change.options",
    "Diffusion": "deepnets4eo.change.diffusion",
    "FCEF": "deepnets4eo.change.networks.fully_convolutional",
    "FCSiamConc": "deepnets4eo.change.networks.fully_convolutional",
    "FCSiamDiff": "deepnets4eo.change.networks.fully_convolutional",
    "FresUNet": "deepnets4eo.change.networks.fresunet",
    "guided_anisotropic_diffusion": "deepnets4eo.change.diffusion",
    "map_change": "deepnets4eo.change.job",
    "refine_scores": "deepnets4eo.change.refinement",
    "NoveltyOptions": "deepnets4eo.change.series.options",
    "NoveltyRanking": "deepnets4eo.change.series.ranking",
    "SemanticChangeScore": "deepnets4eo.change.semantic_change",
    "one_hot_labels": "deepnets4eo.change.semantic_change",
    "rank_novelty": "deepnets4eo.change.series.ranking",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
