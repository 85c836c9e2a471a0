"""Series of dates: one stack on one grid, features of cells, rare changes ranked, breaks of seasonal curves by pixel."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .embedding_map import EmbeddingMap
    from .job import SeriesJob
    from .likeness import Likeness
    from .options import SeriesInputs, SeriesProducts
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        internal={
            ".embedding_map": ["EmbeddingMap"],
            ".job": ["SeriesJob"],
            ".likeness": ["Likeness"],
            ".options": ["SeriesInputs", "SeriesProducts"],
        },
    )
