"""The command line: one verb, one file; each parses, calls one function, prints a path."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .map_verb import run_map as run_map
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__, public={".map_verb": ["run_map"]})
