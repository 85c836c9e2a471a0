"""The display of images of more than 8 bits to a run that was trained on images of 8 bits."""

from __future__ import annotations

from collections.abc import Mapping

from deepnets4eo.damage.images import in_colour
from deepnets4eo.damage.network.pairs import POST, PRE, with_bands
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.outputs import Finding, image_of
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import LayerInput, Stretch, load_run, needed_stretch


def image_stretches(expected: Mapping[str, LayerInput], pre: Layer | None, post: Layer | None) -> dict[str, Stretch]:
    """Return the stretch of each image that needs one, by role, measured on only this image."""
    stretches = {}
    for role, image in ((PRE, pre), (POST, post)):
        if image is not None and role in expected:
            colours = with_bands(in_colour(image), len(expected[role].bands))
            stretches[role] = needed_stretch(expected[role], colours)
    return {role: stretch for role, stretch in stretches.items() if stretch is not None}


def stretches_of_job(
    for_network: Mapping[str, Stretch], segmenter: str | None, pre: Layer | None, post: Layer
) -> dict[str, Stretch]:
    """Return how images of more than 8 bits are shown to the runs of a job, by role."""
    if segmenter is None:
        return dict(for_network)
    try:
        expected = next(iter(load_run(segmenter).inputs.layers.values()))
    except (InputError, RunError):
        return dict(for_network)
    before = pre is not None
    for_outlines = image_stretches({PRE if before else POST: expected}, pre, None if before else post)
    return for_outlines | dict(for_network)


def stretch_findings(stretches: Mapping[str, Stretch], images: Mapping[str, Layer | None]) -> list[Finding]:
    """Return a note for each image that was stretched."""
    return [
        Finding(
            f"stretched_{role}", "note",
            {"image": image_of(role), "source": image.source, "values": str(image.dtype), "stretch": str(stretch)}, wording="stretched",
        )
        for role, stretch in stretches.items()
        if (image := images.get(role)) is not None
    ]  # fmt: skip
