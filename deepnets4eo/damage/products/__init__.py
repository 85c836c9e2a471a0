"""The files a damage map is handed over in; each is written whole or not at all."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .content import FURTHER, USUAL
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        internal={
            ".content": ["FURTHER", "USUAL"],
        },
    )
