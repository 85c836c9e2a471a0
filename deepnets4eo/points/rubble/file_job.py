"""Rubble jobs given as paths and words: checks, a dry run that describes the job, and the run that writes the map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepnets4eo.jobs import Executor, FileJob, JobOutput, Progress, Scratch
from deepnets4eo.outputs import EventInfo, count_of
from deepnets4eo.points.rubble.history import check_dates, debris_history, parse_dated
from deepnets4eo.points.rubble.job import check_heights, debris_volumes
from deepnets4eo.points.rubble.placing import read_outlines
from deepnets4eo.points.rubble.products import PRODUCTS, check_products, products_of_points, save_rubble
from deepnets4eo.points.rubble.rubble_map import RubbleMap, RubbleOptions

if TYPE_CHECKING:
    from deepnets4eo.footprints import Footprints


@dataclass(frozen=True)
class RubbleJob(FileJob[str, tuple[RubbleMap, dict[str, Path]]]):
    """Rubble map of these files, written into a folder. before : the oldest first; dates : of `before` and of post."""

    post: str
    before: tuple[str, ...]
    dates: tuple[str, ...]
    footprints: str
    output: JobOutput
    options: RubbleOptions
    event: EventInfo
    also: tuple[str, ...]

    @classmethod
    def plan(
        cls, post: str, pre: Sequence[str], footprints: str, output: JobOutput, options: RubbleOptions = RubbleOptions(),
        event: EventInfo = EventInfo(), also: Sequence[str] | None = None,
    ) -> RubbleJob:  # fmt: skip
        """Plan the job from these words; each of post and pre is a file or DATE=FILE.

        Errors: InputError."""
        dates, files = zip(*map(parse_dated, [*pre, post]), strict=True)
        if len(pre) > 1:
            check_dates(dates, len(dates))
        further = check_products(also, files[0] if pre else None)
        return cls(files[-1], files[:-1], dates, footprints, output, options, event, further)

    @property
    def left_out(self) -> list[str]:
        """The products that need points, where the heights after the event are a surface model."""
        return products_of_points(self.post, self.also)

    @property
    def known_products(self) -> tuple[str, ...]:
        """Names of all files that such a map may have."""
        return PRODUCTS

    @property
    def sources(self) -> dict[str, Any]:
        """Heights and outlines by role."""
        return {"post": self.post, "pre": list(self.before), "footprints": self.footprints}

    @property
    def shaping(self) -> tuple[Any, ...]:
        """Dates, products, the event and the options."""
        return {"dates": self.dates, "also": self.also, "event": self.event.to_dict()}, self.options

    def foresee(self) -> str:
        """Check the inputs, and describe in one line what would be done. Errors: as for `debris_volumes`."""
        return f"{count_of(len(self._check()), 'building')} would be measured into {self.output.out}"

    def make(
        self, scratch: Scratch, progress: Progress | None, executor: Executor | None
    ) -> tuple[RubbleMap, dict[str, Path]]:
        """Make the map and write its files; return both, paths by name. Errors: as for `debris_volumes` and `save_rubble`."""
        first, output = self.before[0] if self.before else None, self.output
        outlines, how = self._check(), self.options
        if len(self.before) > 1:
            heights = (*self.before, self.post)
            result = debris_history(heights, self.dates, outlines, how, event=self.event, progress=progress)
        else:
            result = debris_volumes(self.post, outlines, first, how, event=self.event, progress=progress)
        return result, save_rubble(result, output.out, self.post, also=self.also, pre=first, overwrite=output.replaces)

    def _check(self) -> Footprints:
        """Check that the heights of all dates can be read and lie under the outlines; return the outlines."""
        outlines = read_outlines(self.footprints, self.options)
        for later in (*self.before, self.post)[1:] or (self.post,):
            check_heights(later, outlines, *self.before[:1])
        return outlines
