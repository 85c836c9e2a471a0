"""A band that its file marks as alpha though it shows something, as the near infrared of four bands that GDAL wrote.

Takes a layer; returns what was done with it and a remedy, in the words of `check` and of the damage map.
"""

from __future__ import annotations

from deepnets4eo.rasters.scene import Layer


def describe_unmasked_band(layer: Layer) -> tuple[str, str] | None:
    """Return what was done and a remedy; None where no band is marked as alpha, or that band is a mask.

    Parameters
    ----------
    layer
        As opened from its file.
    """
    name = layer.unmasked_band
    if name is None:
        return None
    words = ",".join(layer.colour_roles or ["undefined"] * layer.count)
    return (
        f"band {name!r} is marked as alpha, but its name or values are no mask's: it was read as a band, and hides nothing. GDAL "
        "marks the fourth of four bands so whatever it shows, and calls the others red, green and blue.",
        f"Say what each band shows, with one word a band: rio edit-info --colorinterp {words} FILE. A mask has 0 and 255, "
        "or the name alpha.",
    )
