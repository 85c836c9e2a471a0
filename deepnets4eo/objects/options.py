"""How single objects are found, as the command line takes it: keys of `deepnets4eo objects --set`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from deepnets4eo.options import key, option_group

if TYPE_CHECKING:
    from deepnets4eo.objects.extraction import ObjectRules


@option_group
class ObjectOptions:
    """The values of `ObjectRules` but the least area, and how a map of the objects' density is made."""

    opening_m: Annotated[float, key("Remove what is thinner than this many metres.", ge=0)] = 0.0
    split: Annotated[
        Literal["distance", "area", "none"], key("Split touching objects: at necks, also by object_area_m2, or not.")
    ] = "distance"
    object_area_m2: Annotated[float | None, key("Area of an object in m², for split=area.")] = None
    shape: Annotated[
        Literal["oriented_box", "polygon"], key("The smallest rectangle around each (oriented_box), or its outline.")
    ] = "oriented_box"
    cell_m: Annotated[float, key("Side of a cell of --density in metres.", ge=0)] = 10.0
    radius_m: Annotated[float, key("Spread each object over this many metres in --density.", ge=0)] = 0.0

    def rules(self, min_area_m2: float) -> ObjectRules:
        """The rules of extraction with a least area in m². Errors: InputError."""
        from deepnets4eo.objects.extraction import ObjectRules

        return ObjectRules(self.opening_m, min_area_m2, self.split, self.object_area_m2, shape=self.shape)
