"""Which columns of two damage maps are compared, where no known tool wrote them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from deepnets4eo.options import KEY, option_group


def _column(what: str) -> Any:
    return Field(description=what, json_schema_extra=KEY)


@option_group
class CompareOptions:
    """Columns of both maps; by default those of the tool that wrote them."""

    grade_a: Annotated[str | None, _column("Column of A with grades, a yes and no, or numbers.")] = None
    grade_b: Annotated[str | None, _column("The same of B.")] = None
    id_a: Annotated[str | None, _column("Column of A with the ids of buildings.")] = None
    id_b: Annotated[str | None, _column("The same of B.")] = None
    above_a: Annotated[float | None, _column("Numbers of A above it are damaged.")] = None
    above_b: Annotated[float | None, _column("The same of B.")] = None
