"""Which columns of the second damage map are compared, where no known tool wrote it."""

from __future__ import annotations

from typing import Annotated

from deepnets4eo.options import key, option_group


@option_group
class CompareOptions:
    """Columns of the second map; by default those of the tool that wrote it."""

    grade: Annotated[str | None, key("Column of B with grades, a yes and no, or numbers.")] = None
    id: Annotated[str | None, key("Column of B with the ids of buildings.")] = None
    above: Annotated[float | None, key("Numbers above it are damaged.")] = None
