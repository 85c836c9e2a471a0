"""A damage job given as paths and words: check it, compute one part, or write the map."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepnets4eo.damage.areas import check_areas, check_counted
from deepnets4eo.damage.files.inputs import FileInputs, ProgressBar
from deepnets4eo.damage.files.worker import open_step
from deepnets4eo.damage.files.written_again import write_again
from deepnets4eo.damage.job import assess_inputs, assess_part
from deepnets4eo.damage.journal import JobControl
from deepnets4eo.damage.map import PRODUCTS, DamageMap
from deepnets4eo.damage.network.find_buildings import is_to_find
from deepnets4eo.damage.products.write import check_formats, formats_of
from deepnets4eo.damage.settings import FurtherInputs, ProductOptions, Settings
from deepnets4eo.errors import InputError
from deepnets4eo.formats import check_exist
from deepnets4eo.jobs import Executor, FileJob, JobOutput, RemoteSteps, Scratch
from deepnets4eo.outputs import EventInfo, Finding


@dataclass(frozen=True)
class DamageJob(FileJob[tuple[list[str], dict[str, Any]], tuple[DamageMap, dict[str, Path]] | None]):
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
    ) -> DamageJob:  # fmt: skip
        """Return the job for these options. images : pre and post. Raises InputError."""
        check_formats(formats or ())
        inputs = FileInputs.parse(images, footprints, further, settings, findings)
        check_counted(further.areas, further.population)
        if output.part is not None and is_to_find(footprints):
            raise InputError(
                "FOOTPRINTS is -, and --part is given; expected footprints, since the buildings must be known before the work is "
                "divided. Find them first with `deepnets4eo predict` and `deepnets4eo polygons`, and give their file."
            )
        return cls(inputs, output, formats, products, event)

    @property
    def known_products(self) -> tuple[str, ...]:
        """Names of all files that such a map may have."""
        return PRODUCTS

    @property
    def sources(self) -> dict[str, Any]:
        """All that is read, by role."""
        return self.inputs.sources

    @property
    def shaping(self) -> tuple[Any, ...]:
        """Formats, the event and all options."""
        return {"also": self.formats, "event": self.event.to_dict()}, self.inputs.options, self.products

    def check_inputs(self) -> None:
        """Refuse all missing files at once. Errors: InputError."""
        check_exist(self.inputs.files)

    def foresee(self) -> tuple[list[str], dict[str, Any]]:
        """Open and check everything; return lines on what would be done, and the account of the footprints."""
        lines, account, post = self.inputs.foresee(self.output.out)
        formats_of(self.formats, post.grid.crs)
        return lines, account

    def make(
        self, scratch: Scratch, progress: ProgressBar, executor: Executor | None
    ) -> tuple[DamageMap, dict[str, Path]] | None:
        """Make the map and write its files; return the map and the paths by name. executor : does the long work.

        Returns None for a part, whose share of the long work is kept next to the output for the job that completes the map."""
        settings, further, finds = self.inputs.settings, self.inputs.further, self.inputs.settings.segmenter is not None
        if executor is not None and finds:
            raise InputError(
                "FOOTPRINTS is -, and other processes are to work; expected footprints, which they can read. Find them first with "
                "`deepnets4eo predict` and `deepnets4eo polygons`, and give their file; or give a number of threads as --workers."
            )
        shared = (self.inputs, scratch.folder, uuid.uuid4().hex)
        remote = None if executor is None else RemoteSteps(executor, open_step, shared)
        if (part := self.output.part) is not None:
            with progress(f"part {part}") as advance:
                assess_part(self.inputs.open(), part, settings, JobControl(scratch.folder, advance, remote))
            return None
        inputs = self.inputs.open_finding(scratch.folder, progress) if finds else self.inputs.open()
        grid = inputs.post.grid
        formats_of(self.formats, grid.crs)  # before long work
        pixels = grid if settings.outlines_in_pixels else None
        if further.areas is not None:
            check_areas(further.areas, grid.crs and grid.crs.proj, known=True, pixels=pixels)
        with progress("evidence") as advance:
            result = assess_inputs(inputs, settings, JobControl(scratch.folder, advance, remote), self.event)
        if further.areas is not None:
            result.add_areas(further.areas, further.population, pixels=pixels)
        return result, result.save(
            self.output.out, overwrite=self.output.replaces, scratch=scratch.folder, also=self.formats,
            options=self.products,
        )  # fmt: skip

    def write_again(self) -> tuple[DamageMap, dict[str, Path]]:
        """Write further formats of the map that is there, or another language. Errors: InputError; OutputError if they would replace inputs."""
        self.check()
        return write_again(self.inputs.open_pair(), self.output.out, self.formats, self.products)
