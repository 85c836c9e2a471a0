"""Images, footprints and settings of a damage job: opened, checked, and laid on each other."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from deepnets4eo.damage.settings import FurtherInputs, ProductOptions
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        internal={
            "deepnets4eo.damage.settings": ["FurtherInputs", "ProductOptions"],
        },
    )
