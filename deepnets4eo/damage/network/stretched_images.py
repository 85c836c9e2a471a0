"""How the images of a job are shown to a run that learnt from images of 8 bits, where they are of more bits or fractions.

Takes the images and the run that grades or outlines buildings; the weight-free evidence has a contrast unit of its own and reads
the values as they are stored."""

from __future__ import annotations

from collections.abc import Mapping

from deepnets4eo.damage.evidence.colours import in_colour
from deepnets4eo.damage.network.pairs import POST, PRE, with_bands
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.outputs.findings import Finding
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.segmenters.inputs import LayerInput
from deepnets4eo.segmenters.run import load_run
from deepnets4eo.segmenters.stretch import Stretch, needed_stretch


def image_stretches(expected: Mapping[str, LayerInput], pre: Layer | None, post: Layer | None) -> dict[str, Stretch]:
    """The stretch of each image that needs one, by role, each measured on that image alone.
    expected : what the run expects of an image, by role."""
    stretches = {}
    for role, image in ((PRE, pre), (POST, post)):
        if image is not None and role in expected:
            colours = with_bands(in_colour(image), len(expected[role].bands))
            stretches[role] = needed_stretch(expected[role], colours)
    return {role: stretch for role, stretch in stretches.items() if stretch is not None}


def stretches_of_job(
    for_network: Mapping[str, Stretch], segmenter: str | None, pre: Layer | None, post: Layer
) -> dict[str, Stretch]:
    """The stretches by which a job shows its images: to the network that grades, and to the run that found the buildings.

    for_network : those of the network, by role. segmenter : folder or name of the run; one that cannot be read any more says nothing.
    """
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
    """A note for each image that was stretched."""
    return [
        Finding(
            f"stretched_{role}", "note",
            f"The {role} image {image.source} has {image.dtype} values; the networks see it {stretch}.",
        )
        for role, stretch in stretches.items()
        if (image := images.get(role)) is not None
    ]  # fmt: skip
