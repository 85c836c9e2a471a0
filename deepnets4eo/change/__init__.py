"""Change between dates: networks of two dates, classical methods without training, diffusion along image edges, series."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "area_in_words": "deepnets4eo.change.page",
    "changed_area": "deepnets4eo.change.areas",
    "hectares_by_window": "deepnets4eo.change.areas",
    "scored_polygons": "deepnets4eo.change.areas",
    "hide_clouds": "deepnets4eo.change.pair",
    "RegionPage": "deepnets4eo.change.page",
    "write_region_page": "deepnets4eo.change.page",
    "adjust_transitions": "deepnets4eo.change.transitions",
    "compare_covers": "deepnets4eo.change.cover_table",
    "ChangeDetector": "deepnets4eo.change.classical.detector",
    "ChangeMap": "deepnets4eo.change.job",
    "ChangeOptions": "deepnets4eo.change.options",
    "CoverComparison": "deepnets4eo.change.strategies",
    "Diffusion": "deepnets4eo.change.diffusion",
    "EventInfo": "deepnets4eo.outputs.event",
    "FCEF": "deepnets4eo.change.networks.fully_convolutional",
    "FCSiamConc": "deepnets4eo.change.networks.fully_convolutional",
    "FCSiamDiff": "deepnets4eo.change.networks.fully_convolutional",
    "FresUNet": "deepnets4eo.change.networks.hrscd",
    "from_to_legend": "deepnets4eo.change.transitions",
    "guided_anisotropic_diffusion": "deepnets4eo.change.diffusion",
    "map_change": "deepnets4eo.change.job",
    "merge_labels": "deepnets4eo.change.cleansing",
    "NoveltyOptions": "deepnets4eo.change.series.options",
    "NoveltyRanking": "deepnets4eo.change.series.ranking",
    "rank_novelty": "deepnets4eo.change.series.ranking",
    "refine_scores": "deepnets4eo.change.refinement",
    "SemanticChangeScore": "deepnets4eo.change.semantic_change",
    "SeriesEvent": "deepnets4eo.outputs.event",
    "split_from_to": "deepnets4eo.change.transitions",
    "Transitions": "deepnets4eo.change.transitions",
    "write_transitions": "deepnets4eo.change.cover_table",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
