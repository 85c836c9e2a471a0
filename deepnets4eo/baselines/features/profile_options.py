"""Options of extended morphological profiles, with the same checks in recipes and in Python."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from deepnets4eo.options import Section


class ProfileOptions(Section):
    """How many principal components profiles are made of, and with which disks."""

    components: int = Field(default=3, ge=1, description="extended_profile: principal components of the bands")
    radii_px: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        default=(2, 4, 6, 8), min_length=1, description="extended_profile: radii of the disks"
    )
