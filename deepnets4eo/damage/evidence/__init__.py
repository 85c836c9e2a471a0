"""Evidence per building: what two images, heights and footprints say about damage, without any trained weights."""

from deepnets4eo.damage.evidence.table import EvidenceTable

__all__ = ["EvidenceTable"]
