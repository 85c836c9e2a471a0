"""Files of points: one way in for LAS, LAZ, COPC, PLY and text; labelled LAS and LAZ out."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .cloud_file import CloudFile as CloudFile
    from .opening import is_cloud_path as is_cloud_path, open_cloud as open_cloud
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".cloud_file": ["CloudFile"],
            ".opening": ["is_cloud_path", "open_cloud"],
        },
    )
