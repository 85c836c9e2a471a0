"""Which images of a catalogue are candidates: the keys of the verb `find`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from deepnets4eo.options import KEY, option_group


@option_group
class FindOptions:
    """Which images are candidates."""

    days_before: Annotated[int, Field(description="Most days before the event.", ge=1, json_schema_extra=KEY)] = 1095
    days_after: Annotated[int, Field(description="Most days after the event.", ge=1, json_schema_extra=KEY)] = 90
    max_cloud: Annotated[float, Field(description="Most cloud, percent.", ge=0, le=100, json_schema_extra=KEY)] = 60.0
    max_gsd_m: Annotated[float, Field(description="Largest pixel, metres.", gt=0, json_schema_extra=KEY)] = 2.0
