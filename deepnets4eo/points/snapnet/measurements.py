"""What the layers of snapshots need of a cloud: colours for images, intensity for its layer, nothing for the composite."""

from __future__ import annotations

from collections.abc import Sequence

from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.snapnet.recipe import MEASURED


def check_measured(cloud: PointCloud, layers: Sequence[str]) -> None:
    """Raise InputError where a cloud lacks what the layers of its snapshots (image, composite, intensity) need."""
    for layer in layers:
        measured = MEASURED.get(layer)
        if measured is not None and getattr(cloud, measured) is None:
            raise InputError(
                f"{cloud.source} has no {measured}, which the layer {layer!r} shows. Add it (colours: from an orthophoto), or "
                "use a model of the layer composite alone, such as points/snapnet-composite."
            )
