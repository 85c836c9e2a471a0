"""Which columns of the second damage map are compared, where no known tool wrote it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from deepnets4eo.options import KEY, option_group


@option_group
class CompareOptions:
    """Columns of the second map; by default those of the tool that wrote it."""

    grade: Annotated[
        str | None, Field(description="Column of B with grades, a yes and no, or numbers.", json_schema_extra=KEY)
    ] = None
    id: Annotated[str | None, Field(description="Column of B with the ids of buildings.", json_schema_extra=KEY)] = None
    above: Annotated[float | None, Field(description="Numbers above it are damaged.", json_schema_extra=KEY)] = None
