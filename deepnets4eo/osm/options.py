"""Rarer values of the layers of OpenStreetMap, as the command line shows them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from deepnets4eo.options import KEY, option_group


@option_group
class OsmOptions:
    """Rarer values of `layers osm`; `osm.rasterize_osm` says what they mean."""

    clip_m: Annotated[
        float, Field(description="Largest distance in metres; farther ones become this.", json_schema_extra=KEY)
    ] = 20.0
    unknown: Annotated[
        str, Field(description="Classes that are unknown everywhere, with commas between.", json_schema_extra=KEY)
    ] = ""
    complete: Annotated[
        str,
        Field(
            description="Classes that are absent, not unknown, outside their objects, with commas between.",
            json_schema_extra=KEY,
        ),
    ] = ""
