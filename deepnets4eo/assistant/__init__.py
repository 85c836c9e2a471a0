"""Tools for assistants by the Model Context Protocol: checks, maps and counts in finished maps, in folders that the user names."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .folders import Folders as Folders
    from .server import make_server as make_server
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__, public={".folders": ["Folders"], ".server": ["make_server"]})
