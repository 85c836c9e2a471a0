"""The options that decide which images of a catalogue are candidates: the keys of the verb `find`."""

from __future__ import annotations

from typing import Annotated

from deepnets4eo.options import key, option_group


@option_group
class FindOptions:
    """The conditions that make an image a candidate."""

    days_before: Annotated[int, key("Most days before the event.", ge=1)] = 1095
    days_after: Annotated[int, key("Most days after the event.", ge=1)] = 90
    max_cloud: Annotated[float, key("Most cloud, percent.", ge=0, le=100)] = 60.0
    max_gsd_m: Annotated[float, key("Largest pixel, metres.", gt=0)] = 2.0
