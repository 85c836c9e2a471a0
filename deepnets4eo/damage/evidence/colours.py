"""Which bands of an image are its red, green and blue."""

from __future__ import annotations

from collections.abc import Mapping

from deepnets4eo.inspection import describe_unmasked_band
from deepnets4eo.outputs import Finding, image_of
from deepnets4eo.rasters import COLOURS, Layer


def in_colour(image: Layer) -> Layer:
    """Red, green and blue of an image by its names, wavelengths or colour interpretation, else its first three bands; one band of radar."""
    if image.count < len(COLOURS):
        return image
    if (grey := _radar_band(image)) is not None:
        return image.subset([grey])
    declared = image.declared_colours
    if declared is None:
        return image.subset(image.bands[: len(COLOURS)])
    return image.subset(declared).with_names(COLOURS)


def _radar_band(image: Layer) -> int | None:
    """The first polarisation of radar; None of an optical image."""
    return next(iter(image.sensor.polarised.values()), None)


def unmasked_bands(images: Mapping[str, Layer | None]) -> list[Finding]:
    """A finding for each image, by role, with a band that serves as mask though its name says otherwise."""
    described = [
        (role, image.source, describe_unmasked_band(image)) for role, image in images.items() if image is not None
    ]
    return [
        Finding(
            f"unmasked_band_{role}", "caution",
            {"image": image_of(role), "source": source, "what": masking[0], "remedy": masking[1]}, wording="unmasked_band",
        )
        for role, source, masking in described
        if masking is not None
    ]  # fmt: skip


def unknown_colours(images: Mapping[str, Layer | None]) -> list[Finding]:
    """A finding for each file of more than three bands that does not say which are red, green and blue."""
    return [
        Finding(
            f"unknown_colours_{role}", "caution",
            {"image": image_of(role), "source": image.source, "bands": image.count}, wording="unknown_colours",
        )
        for role, image in images.items()
        if image is not None and image.paths and image.count > len(COLOURS)
        and image.declared_colours is None and _radar_band(image) is None
    ]  # fmt: skip
