"""The stretches of a job: how its networks receive images of more than 8 bits, and the findings on them."""

from __future__ import annotations

from collections.abc import Mapping

from deepnets4eo.damage.network.pairs import POST, PRE
from deepnets4eo.damage.network.stretched_images import image_stretches
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.outputs import Finding, image_of
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import Stretch, load_run


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
            {
                "image": image_of(role), "source": Finding.file_name(image.source), "values": Finding.verbatim(image.dtype),
                "low": Finding.verbatim(stretch.low_text), "high": Finding.verbatim(stretch.high_text),
            }, wording="stretched",
        )
        for role, stretch in stretches.items()
        if (image := images.get(role)) is not None
    ]  # fmt: skip
