"""Two damage maps of one place, of one tool or several, compared building by building."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .maps import compare_maps, read_damage_map
    from .page import PRODUCTS, summary_of, write_comparison
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        internal={
            ".maps": ["compare_maps", "read_damage_map"],
            ".page": ["PRODUCTS", "summary_of", "write_comparison"],
        },
    )
