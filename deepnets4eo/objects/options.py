"""How single objects are found, as the command line takes it: keys of `deepnets4eo objects --set`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from deepnets4eo.options import KEY, option_group

if TYPE_CHECKING:
    from deepnets4eo.objects.extraction import ObjectRules


@option_group
class ObjectOptions:
    """The values of `ObjectRules` but the least area, and how a map of the objects' density is made."""

    opening_m: Annotated[
        float, Field(description="Remove what is thinner than this many metres.", ge=0, json_schema_extra=KEY)
    ] = 0.0
    split: Annotated[
        Literal["distance", "area", "none"],
        Field(description="Split touching objects: at necks, also by object_area_m2, or not.", json_schema_extra=KEY),
    ] = "distance"
    object_area_m2: Annotated[
        float | None, Field(description="Area of an object in m², for split=area.", json_schema_extra=KEY)
    ] = None
    shape: Annotated[
        Literal["oriented_box", "polygon"],
        Field(description="The smallest rectangle around each (oriented_box), or its outline.", json_schema_extra=KEY),
    ] = "oriented_box"
    cell_m: Annotated[
        float, Field(description="Side of a cell of --density in metres.", ge=0, json_schema_extra=KEY)
    ] = 10.0
    radius_m: Annotated[
        float,
        Field(description="Spread each object over this many metres in --density.", ge=0, json_schema_extra=KEY),
    ] = 0.0

    def rules(self, min_area_m2: float) -> ObjectRules:
        """The rules of extraction with a least area in m². Errors: InputError."""
        from deepnets4eo.objects.extraction import ObjectRules

        return ObjectRules(self.opening_m, min_area_m2, self.split, self.object_area_m2, shape=self.shape)
