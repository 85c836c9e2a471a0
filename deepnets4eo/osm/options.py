"""Rarer values of the layers of OpenStreetMap, as the command line shows them."""

from __future__ import annotations

from typing import Annotated

from deepnets4eo.options import key, option_group


@option_group
class OsmOptions:
    """Rarer values of `layers osm`; `osm.rasterize_osm` says what they mean."""

    clip_m: Annotated[float, key("Largest distance in metres; farther ones become this.")] = 20.0
    unknown: Annotated[str, key("Classes that are unknown everywhere, with commas between.")] = ""
    complete: Annotated[
        str, key("Classes that are absent, not unknown, outside their objects, with commas between.")
    ] = ""
