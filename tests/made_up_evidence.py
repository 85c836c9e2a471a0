"""The evidence of a site that a test puts together, without the steps before it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from deepnets4eo.damage import Settings
from deepnets4eo.damage.site.site import Inputs, OutlinePosition, Site
from deepnets4eo.damage.site.work import EVIDENCE, Work
from deepnets4eo.damage.structure import evidence as structure
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.footprints import Footprints
from deepnets4eo.jobs import Journal
from deepnets4eo.rasters import Layer


def gather(
    pre: Layer | None,
    post: Layer,
    footprints: Footprints,
    registration: Any,
    *,
    alignment: Any = None,
    aligned_on: Literal["pre", "post"] = "pre",
    workers: int = 2,
    block_px: int = structure.BLOCK_PX,
    scratch: Path | None = None,
    progress: Callable[[float], None] | None = None,
    **layers: Any,
) -> Buildings:
    """The table of `structure.gather`. registration, alignment : whatever has what is read of them; layers : fields of `Inputs`."""
    inputs = Inputs(pre, post, footprints, footprints.in_pixels(post.grid), **layers)
    work = Work(Journal(scratch), progress={EVIDENCE: progress})
    position = OutlinePosition(alignment, aligned_on)
    site = Site(inputs, Settings(workers=workers), work=work, registration=registration, position=position)
    with patch.object(structure, "BLOCK_PX", block_px):
        return structure.gather(site)
