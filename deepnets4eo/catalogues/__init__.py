"""Images before and after an event from catalogues (STAC), and the plan of a damage map that they make: the verb `find`."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .known import place_box
    from .options import FindOptions
    from .plan import Plan as Plan, draw_coverage, foreign_findings, make_plan as make_plan
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".plan": ["Plan", "make_plan"],
        },
        internal={
            ".known": ["place_box"],
            ".options": ["FindOptions"],
            ".plan": ["draw_coverage", "foreign_findings"],
        },
    )
