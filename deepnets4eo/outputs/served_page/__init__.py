"""Pages on which a person works, served to the browsers of this computer alone (`server`), and what all of them share (`assets`)."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .server import Answer, PageServer, RequestRefusedError, as_json, serve_page
else:
    __getattr__ = lazy_names(__name__)
