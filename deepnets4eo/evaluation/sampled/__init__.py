"""Maps whose accuracy and areas are estimated from a sample that people look at."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .review import MapReview as MapReview
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__, public={".review": ["MapReview"]})
