"""Rubble and demolition: per building, how much of the roof is gone and how much debris there is."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .file_job import RubbleJob
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        internal={
            ".file_job": ["RubbleJob"],
        },
    )
