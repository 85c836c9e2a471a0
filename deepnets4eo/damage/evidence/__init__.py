"""Evidence per building: what two images, heights and footprints say about damage, without any trained weights."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .table import EvidenceTable as EvidenceTable
else:
    __getattr__ = lazy_names(__name__)
