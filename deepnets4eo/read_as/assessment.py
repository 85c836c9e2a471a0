"""One assessment of each raster that enters a job, by what it is read as: an image, radar, labels, heights, a mask, scores.

`KIND.assess(layer, door)` runs the guards of a kind in order. Each guard accepts the layer, or returns it put right with a finding,
or refuses it (InputError). Every entrance calls it, of verbs and of Python, for files, mosaics and arrays: a guard that is added to
its kind in `kinds.py` works at all of them, and `tests/test_doors.py` holds it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from deepnets4eo.outputs import Finding, Phrase, image_of
from deepnets4eo.rasters import Layer, LayerLike

log = logging.getLogger(__name__)

# who hides wide parts of small values: the assessment, the job (`without_collar` after it has warped the layer), or nobody
Collars = Literal["here", "by_job", "data"]


@dataclass(frozen=True)
class Door:
    """Entrance of a layer into a job.

    what : how messages call the layer, such as "the pre image", "layer 'dsm'" or "--set dem"
    role : "pre", "post" or the date of an image, for findings; "" for any other layer
    collars : who hides wide parts without data of several values, as lossy compression leaves
    on_ground : whether results lie on the ground; else a CRS without position is left out, instead of refused
    user_nodata : whether the user stated the nodata value of the layer, so that no other is looked for
    by_camera : whether the job reads images that a camera or a radar took, so that heights are no input
    any_unit : whether heights may be in any unit, as runs compare them with their training
    """

    what: str
    role: str = ""
    collars: Collars = "by_job"
    on_ground: bool = True
    user_nodata: bool = False
    by_camera: bool = False
    any_unit: bool = False

    @classmethod
    def of_image(cls, role: str, *, collars: Collars = "by_job", by_camera: bool = False) -> Door:
        """Return the door of the image of a date. role : "pre", "post", or the date."""
        return cls(f"the {role} image", role, collars, by_camera=by_camera)

    @classmethod
    def of_layer(cls, name: str, *, on_ground: bool = True, user_nodata: bool = False) -> Door:
        """Return the door of a layer of a scene that a run learns from or labels."""
        return cls(f"layer {name!r}", collars="here", on_ground=on_ground, user_nodata=user_nodata, any_unit=True)

    def name(self, layer: Layer) -> str:
        """Return the name of a layer in messages."""
        return f"{self.what} {layer.source}".strip()

    @property
    def hides_collars(self) -> bool:
        """Return whether wide parts without data of several values are hidden."""
        return self.collars != "data"

    @property
    def image(self) -> Phrase:
        """Return the name of the layer in findings."""
        return image_of(self.role)

    def code(self, kind: str) -> str:
        """Return the code of a finding of a kind, with the role, if there is one."""
        return f"{kind}_{self.role}" if self.role else kind


@dataclass(frozen=True)
class Assessment:
    """A layer that was accepted, with what was put right, and the findings on it."""

    layer: Layer
    findings: tuple[Finding, ...] = ()

    def report(self) -> Layer:
        """Log the findings as warnings, for jobs whose results have no findings; return the layer."""
        for finding in self.findings:
            log.warning("%s", finding.whole)
        return self.layer


Guard: TypeAlias = Callable[[Layer, Door], Assessment]  # raises InputError for a layer that it refuses


@dataclass(frozen=True)
class ReadAs:
    """A kind of layer, and the guards that it must satisfy.

    stated : guards by what the source states; they read no pixel
    seen : guards by its values, after the bands are chosen
    labels : whether numbers are categories, see `Layer.open`
    """

    name: str
    stated: tuple[Guard, ...] = ()
    seen: tuple[Guard, ...] = ()
    labels: bool = False

    def open(self, source: LayerLike, door: Door, *, nodata: float | None = None) -> Layer:
        """Open a layer of this kind, assess it and log the findings. Errors: as of `Layer.open`; InputError.

        nodata : see `Layer.open`"""
        layer = Layer.open(source, nodata=nodata, labels=self.labels)
        return self.assess(layer, replace(door, user_nodata=door.user_nodata or nodata is not None)).report()

    def assess(self, layer: Layer, door: Door) -> Assessment:
        """Assess a layer by what its source states and by its values. Errors: InputError."""
        return self.look(self.check(layer, door), door)

    def check(self, layer: Layer, door: Door) -> Assessment:
        """Assess a layer only by what its source states; `look` follows once bands are chosen. Errors: InputError."""
        return _run(self.stated, Assessment(layer), door)

    def look(self, assessed: Layer | Assessment, door: Door) -> Assessment:
        """Assess a checked layer by its values. Errors: InputError."""
        return _run(self.seen, assessed if isinstance(assessed, Assessment) else Assessment(assessed), door)


def _run(guards: Sequence[Guard], assessed: Assessment, door: Door) -> Assessment:
    for guard in guards:
        now = guard(assessed.layer, door)
        assessed = Assessment(now.layer, (*assessed.findings, *now.findings))
    return assessed
