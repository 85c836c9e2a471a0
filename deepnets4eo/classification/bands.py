"""Bands of Sentinel-1 and 2 by name, and their orders in published files and weights.

Takes names of bands as files write them (B1, B01, red, VV). Refuses an order that is not the expected one, and reports whose order it is."""

from __future__ import annotations

from collections.abc import Sequence

from deepnets4eo.errors import InputError
from deepnets4eo.rasters import name_band

# whose order → the bands; what is the same set in another order is a trap, since no number of channels gives it away
BAND_ORDERS: dict[str, tuple[str, ...]] = {
    "Sentinel-2 L1C": ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"),
    "EuroSAT": ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A"),
    "the weights of BigEarthNet v2, version v0.1.1": (
        "B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12", "B8A", "VH", "VV",
    ),
    "the weights of BigEarthNet v2, version v0.2.0": (
        "VV", "VH", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12",
    ),
    "EfficientBigEarthNet": ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12", "VV", "VH"),
    "TESSERA": ("B04", "B02", "B03", "B08", "B8A", "B05", "B06", "B07", "B11", "B12"),
}  # fmt: skip


def check_band_order(bands: Sequence[str], expected: Sequence[str], where: str) -> None:
    """Refuse bands in another order than expected, by InputError that names whose order it is; `where`: what has them."""
    ours, theirs = tuple(map(name_band, expected)), tuple(map(name_band, bands))
    if ours == theirs:
        return
    missing = [band for band in ours if band not in theirs]
    if missing or len(ours) != len(theirs):
        lacking = f"lacks {', '.join(missing)}" if missing else f"has {len(theirs)} bands, expected {len(ours)}"
        raise InputError(f"{where} {lacking}. It has {', '.join(theirs)}; expected {', '.join(ours)}.")
    whose = [
        owner for owner, order in BAND_ORDERS.items() if [band for band in order if band in theirs] == list(theirs)
    ]
    order = f", the order of {' and of '.join(whose)}" if whose else ""
    raise InputError(
        f"{where} has its bands as {', '.join(theirs)}{order}; expected {', '.join(ours)}. Reorder them: the number of "
        "channels is the same, so nothing else would show the mistake."
    )
