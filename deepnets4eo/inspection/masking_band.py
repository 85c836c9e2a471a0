"""A band that serves as mask though its name says that it shows something, as near infrared that a program marked as alpha.

Takes a layer; returns what is wrong and its remedy, in the words of `check` and of the damage map.
"""

from __future__ import annotations

from deepnets4eo.rasters.scene import Layer


def describe_masking_band(layer: Layer) -> tuple[str, str] | None:
    """Return what is wrong and its remedy; None where no such band serves as mask.

    Parameters
    ----------
    layer
        As opened from its file.
    """
    name = layer.masking_band
    if name is None:
        return None
    words = ",".join([*(layer.colour_roles or ["undefined"] * layer.count), "undefined"])
    return (
        f"band {name!r} is marked as alpha: pixels where it is 0 count as without data, and the band is not read.",
        f"Where it is no mask, say so with one word a band: rio edit-info --colorinterp {words} FILE",
    )
