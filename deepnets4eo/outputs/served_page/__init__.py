"""Interactive pages, served only to the browsers of this computer (`server`), and their shared files (`assets`)."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .sample_answers import Answers
    from .sample_page import SamplePage
    from .server import PageServer
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        internal={
            ".sample_answers": ["Answers"],
            ".sample_page": ["SamplePage"],
            ".server": ["PageServer"],
        },
    )
