"""How rubble is measured: each option with its type, default, limits and meaning, which the command line shows too."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from deepnets4eo.options import KEY, option_group

MEASURING: dict[str, Any] = {"group": "Measuring"}
FOOTPRINTS: dict[str, Any] = {"group": "Footprints"}


@option_group
class RubbleOptions:
    """How height loss, debris and state of buildings are measured.

    Parameters
    ----------
    cell_m
        Side of the cells in which points are gathered, metres; surface models are brought to it.
    align
        Whether the footprints are moved onto the buildings of the heights.
    height_column
        Column of the footprints with heights of the buildings above ground before the event, metres; for post-only work.
    least_loss_m
        Smallest fall of the surface that counts as loss; 3 NMAD of the stable ground where that is more. About 0.5 for
        laser scans, 2 to 3 for surface models of satellite stereo.
    least_heap_m
        What lies lower than this above the ground is no debris.
    correlation_m
        Distance over which errors of heights are alike, for the intervals of volumes.
    bias_m
        Error of heights that a whole building shares, for the intervals of volumes.
    least_known_share
        Share of a footprint's cells that need heights for the building to be assessed.
    layer, id_column, footprints_crs
        Layer, column of ids and CRS of the footprints' file.

    Raises
    ------
    InputError
        For a value out of range.

    Examples
    --------
    >>> RubbleOptions(cell_m=1.0).least_loss_m
    0.5
    """

    cell_m: Annotated[
        float,
        Field(description="Side of a cell of heights, metres.", ge=0.05, le=10, json_schema_extra=MEASURING),
    ] = 0.5
    align: Annotated[bool, Field(description="Move footprints onto the buildings.", json_schema_extra=KEY)] = True
    height_column: Annotated[
        str | None,
        Field(description="Column with heights before the event, metres.", json_schema_extra=FOOTPRINTS),
    ] = None
    least_loss_m: Annotated[
        float, Field(description="Smallest fall that counts, metres.", ge=0.05, le=20, json_schema_extra=MEASURING)
    ] = 0.5
    least_heap_m: Annotated[
        float, Field(description="Debris is at least so high, metres.", ge=0.05, le=5, json_schema_extra=KEY)
    ] = 0.3
    correlation_m: Annotated[
        float,
        Field(description="Distance over which errors are alike, metres.", ge=0, le=1000, json_schema_extra=KEY),
    ] = 5.0
    bias_m: Annotated[
        float,
        Field(description="Error that a whole building shares, metres.", ge=0, le=10, json_schema_extra=KEY),
    ] = 0.1
    least_known_share: Annotated[
        float,
        Field(description="Share of a footprint that needs heights.", ge=0.01, le=1, json_schema_extra=KEY),
    ] = 0.3
    layer: Annotated[str | None, Field(description="Layer of the footprints' file.", json_schema_extra=KEY)] = None
    id_column: Annotated[
        str | None, Field(description="Column that holds the buildings' ids.", json_schema_extra=KEY)
    ] = None
    footprints_crs: Annotated[
        str | None, Field(description="CRS of the footprints, e.g. EPSG:4326.", json_schema_extra=FOOTPRINTS)
    ] = None
