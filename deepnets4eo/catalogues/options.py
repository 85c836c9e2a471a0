"""The options that decide which images of a catalogue are candidates: the keys of the verb `find`."""

from __future__ import annotations

from typing import Annotated

from deepnets4eo.options import key, option_group


@option_group
class FindOptions:
    """The conditions that make an image a candidate."""

    days_before: Annotated[int, key("Maximum number of days before the event.", ge=1)] = 1095
    days_after: Annotated[int, key("Maximum number of days after the event.", ge=1)] = 90
    max_cloud: Annotated[float, key("Maximum cloud cover, percent.", ge=0, le=100)] = 60.0
    max_gsd_m: Annotated[float, key("Maximum pixel size, metres.", gt=0)] = 2.0
