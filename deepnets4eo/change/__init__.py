"""Change between dates: networks of two dates, classical methods without training, diffusion along image edges, series."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".page": "area_in_words RegionPage write_region_page",
        ".areas": "changed_area hectares_by_window scored_polygons",
        ".pair": "hide_clouds",
        ".transitions": "adjust_transitions from_to_legend split_from_to Transitions",
        ".cover_table": "compare_covers write_transitions",
        ".classical.detector": "ChangeDetector",
        ".job": "ChangeMap map_change",
        ".options": "ChangeOptions",
        ".strategies": "CoverComparison",
        ".diffusion": "Diffusion guided_anisotropic_diffusion",
        "deepnets4eo.outputs.event": "EventInfo SeriesEvent",
        ".networks.fully_convolutional": "FCEF FCSiamConc FCSiamDiff",
        ".networks.hrscd": "FresUNet",
        ".cleansing": "merge_labels",
        ".series.options": "NoveltyOptions",
        ".series.ranking": "NoveltyRanking rank_novelty",
        ".refinement": "refine_scores",
        ".semantic_change": "SemanticChangeScore",
    },
)
