"""A damage job given as paths and words: check it, compute one part, or write the map."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepnets4eo.damage.areas import check_areas, check_counted
from deepnets4eo.damage.file_inputs import FileInputs, ProgressBar
from deepnets4eo.damage.job import assess_inputs, assess_part
from deepnets4eo.damage.journal import JobControl
from deepnets4eo.damage.map import PRODUCTS, DamageMap
from deepnets4eo.damage.network.find_buildings import is_to_find
from deepnets4eo.damage.products.write import check_formats, formats_of
from deepnets4eo.damage.settings import FurtherInputs, ProductOptions, Settings
from deepnets4eo.damage.worker import open_step
from deepnets4eo.damage.written_again import write_again
from deepnets4eo.errors import InputError
from deepnets4eo.formats import check_exist
from deepnets4eo.jobs import Executor, JobOutput, RemoteSteps
from deepnets4eo.outputs import EventInfo, Finding


@dataclass(frozen=True)
class FileJob:
    """A damage map of these files, written into a folder. formats : None for all that fit."""

    inputs: FileInputs
    output: JobOutput
    formats: list[str] | None = None
    products: ProductOptions = ProductOptions()
    event: EventInfo = EventInfo()

    @classmethod
    def plan(
        cls, images: tuple[str, str], footprints: str, further: FurtherInputs, settings: Settings, output: JobOutput, *,
        formats: list[str] | None = None, products: ProductOptions = ProductOptions(), event: EventInfo = EventInfo(),
        findings: Sequence[Finding] = (),
    ) -> FileJob:  # fmt: skip
        """Return the job for these options. images : pre and post. Raises InputError; OutputError if it would overwrite its inputs."""
        check_formats(formats or ())
        inputs = FileInputs.parse(images, footprints, further, settings, findings)
        check_counted(further.areas, further.population)
        if output.part is not None and is_to_find(footprints):
            raise InputError(
                "FOOTPRINTS is -, and --part is given; expected footprints, since the buildings must be known before the work is "
                "divided. Find them first with `deepnets4eo predict` and `deepnets4eo polygons`, and give their file."
            )
        output.check_apart(PRODUCTS, *inputs.files, *inputs.other_sources)
        return cls(inputs, output, formats, products, event)

    @property
    def _known_output(self) -> JobOutput:
        """The output with all that its products follow from."""
        others = {"also": self.formats, "event": self.event.to_dict()}
        return self.output.for_job(self.inputs.sources, self.inputs.options, self.products, **others)

    def check(self) -> tuple[list[str], dict[str, Any]]:
        """Open and check everything; lines on what would be done, and the account of the footprints."""
        check_exist(self.inputs.files)  # all at once
        self._known_output.check()
        lines, account, post = self.inputs.foresee(self.output.out)
        formats_of(self.formats, post.grid.crs)
        return lines, account

    def run(self, progress: ProgressBar, executor: Executor | None = None) -> tuple[DamageMap, dict[str, Path]] | None:
        """Make the map and write its files; returns the map and the paths by name. executor : does the long work.

        Returns None for a part, whose share of the long work is kept next to the output for the job that completes the map."""
        settings, further, finds = self.inputs.settings, self.inputs.further, self.inputs.settings.segmenter is not None
        if executor is not None and finds:
            raise InputError(
                "FOOTPRINTS is -, and other processes are to work; expected footprints, which they can read. Find them first with "
                "`deepnets4eo predict` and `deepnets4eo polygons`, and give their file; or give a number of threads as --workers."
            )
        output = self._known_output
        with output.begin() as scratch:
            shared = (self.inputs, scratch.folder, uuid.uuid4().hex)
            remote = None if executor is None else RemoteSteps(executor, open_step, shared)
            if (part := self.output.part) is not None:
                with progress(f"part {part}") as advance:
                    assess_part(self.inputs.open(), part, settings, JobControl(scratch.folder, advance, remote))
                return None
            inputs = self.inputs.open_finding(scratch.folder, progress) if finds else self.inputs.open()
            formats_of(self.formats, inputs.post.grid.crs)  # before long work
            grid = inputs.post.grid
            pixels = grid if settings.outlines_in_pixels else None
            if further.areas is not None:
                check_areas(further.areas, grid.crs and grid.crs.proj, known=True, pixels=pixels)
            with progress("evidence") as advance:
                result = assess_inputs(inputs, settings, JobControl(scratch.folder, advance, remote), self.event)
            if further.areas is not None:
                result.add_areas(further.areas, further.population, pixels=pixels)
            return result, result.save(
                output.out, overwrite=output.replaces, scratch=scratch.folder, also=self.formats,
                options=self.products,
            )  # fmt: skip

    def write_again(self) -> tuple[DamageMap, dict[str, Path]]:
        """Write further formats of the map that is there, or another language. Errors: InputError."""
        return write_again(self.inputs.open_pair(), self.output.out, self.formats, self.products)
