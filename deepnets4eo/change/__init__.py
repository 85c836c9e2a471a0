"""Change between dates: networks of two dates, classical methods without training, diffusion along image edges, series."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from deepnets4eo.outputs.event import EventInfo as EventInfo, SeriesEvent as SeriesEvent

    from .areas import changed_area as changed_area
    from .classical.detector import ChangeDetector as ChangeDetector
    from .classical.pair_scores import PairScore as PairScore
    from .cleansing import merge_labels as merge_labels
    from .cover_table import compare_covers as compare_covers, write_cover_table, write_transitions as write_transitions
    from .diffusion import Diffusion as Diffusion, guided_anisotropic_diffusion as guided_anisotropic_diffusion
    from .job import ChangeJob, ChangeMap as ChangeMap, map_change as map_change
    from .networks.fully_convolutional import FCEF as FCEF, FCSiamConc as FCSiamConc, FCSiamDiff as FCSiamDiff
    from .networks.hrscd import FresUNet as FresUNet
    from .options import ChangeOptions as ChangeOptions, RefineOptions, TransitionOptions
    from .pair import hide_clouds as hide_clouds
    from .refinement import refine_raster, refine_scores as refine_scores
    from .semantic_change import SemanticChangeScore as SemanticChangeScore
    from .series.options import NoveltyOptions as NoveltyOptions
    from .series.ranking import NoveltyRanking as NoveltyRanking, rank_novelty as rank_novelty
    from .strategies import CoverComparison as CoverComparison
    from .transitions import (
        Transitions as Transitions,
        adjust_transitions as adjust_transitions,
        from_to_legend as from_to_legend,
        split_from_to as split_from_to,
    )
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            "deepnets4eo.outputs.event": ["EventInfo", "SeriesEvent"],
            ".areas": ["changed_area"],
            ".classical.detector": ["ChangeDetector"],
            ".classical.pair_scores": ["PairScore"],
            ".cleansing": ["merge_labels"],
            ".cover_table": ["compare_covers", "write_transitions"],
            ".diffusion": ["Diffusion", "guided_anisotropic_diffusion"],
            ".job": ["ChangeMap", "map_change"],
            ".networks.fully_convolutional": ["FCEF", "FCSiamConc", "FCSiamDiff"],
            ".networks.hrscd": ["FresUNet"],
            ".options": ["ChangeOptions"],
            ".pair": ["hide_clouds"],
            ".refinement": ["refine_scores"],
            ".semantic_change": ["SemanticChangeScore"],
            ".series.options": ["NoveltyOptions"],
            ".series.ranking": ["NoveltyRanking", "rank_novelty"],
            ".strategies": ["CoverComparison"],
            ".transitions": ["Transitions", "adjust_transitions", "from_to_legend", "split_from_to"],
        },
        internal={
            ".cover_table": ["write_cover_table"],
            ".job": ["ChangeJob"],
            ".options": ["RefineOptions", "TransitionOptions"],
            ".refinement": ["refine_raster"],
        },
    )
