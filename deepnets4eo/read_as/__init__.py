"""Assessment of each input by what it is read as: the same guards at every door of the toolbox."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .assessment import Assessment as Assessment, Door as Door
    from .height_pairs import check_two_surface_models
    from .height_units import are_metres, check_ground_metres, check_metres, check_same_datum
    from .images import (
        BRIGHT_PERCENTILE,
        DARKEST,
        bright_value,
        check_any_valid,
        check_two_images,
        describe_unmasked_band,
        is_grey,
        sample_windows,
        undeclared_in_bands,
        undeclared_nodata,
        without_collar,
    )
    from .kinds import IMAGE as IMAGE, LABELS as LABELS, MASK as MASK, SCORES as SCORES
    from .masks import ClassMask, ValuesSeen, check_dry_ground, open_cloud_mask
    from .scenes import assess_scene, check_layer, look_at_layers, report_findings
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".assessment": ["Assessment", "Door"],
            ".kinds": ["IMAGE", "LABELS", "MASK", "SCORES"],
        },
        internal={
            ".height_pairs": ["check_two_surface_models"],
            ".height_units": ["are_metres", "check_ground_metres", "check_metres", "check_same_datum"],
            ".images": [
                "BRIGHT_PERCENTILE",
                "DARKEST",
                "bright_value",
                "check_any_valid",
                "check_two_images",
                "describe_unmasked_band",
                "is_grey",
                "sample_windows",
                "undeclared_in_bands",
                "undeclared_nodata",
                "without_collar",
            ],
            ".masks": ["ClassMask", "ValuesSeen", "check_dry_ground", "open_cloud_mask"],
            ".scenes": ["assess_scene", "check_layer", "look_at_layers", "report_findings"],
        },
    )
