"""Counts of damage from some buildings that a person looked at, and maps that learn from them."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .accuracy import compare_with_reference
    from .answers import read_answers as read_answers, write_review as write_review, write_sample as write_sample
    from .counts import CANNOT_TELL as CANNOT_TELL, Reviewed as Reviewed, review_counts as review_counts
    from .map_before import table_before
    from .page import ReviewServer
    from .sample import LOOKS as LOOKS, Sample as Sample, draw_sample as draw_sample
    from .site_look import look_of_map as look_of_map
    from .taught_map import Corrections as Corrections, chosen_files as chosen_files
    from .teaching import Scores as Scores, Taught as Taught, choose_next as choose_next, teach as teach
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".answers": ["read_answers", "write_review", "write_sample"],
            ".counts": ["CANNOT_TELL", "Reviewed", "review_counts"],
            ".sample": ["LOOKS", "Sample", "draw_sample"],
            ".site_look": ["look_of_map"],
            ".taught_map": ["Corrections", "chosen_files"],
            ".teaching": ["Scores", "Taught", "choose_next", "teach"],
        },
        internal={
            ".accuracy": ["compare_with_reference"],
            ".map_before": ["table_before"],
            ".page": ["ReviewServer"],
        },
    )
