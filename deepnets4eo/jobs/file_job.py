"""The frame of every job that reads files and writes products: checked, described, run, continued."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

from deepnets4eo.jobs.blocks import Executor
from deepnets4eo.jobs.output import JobOutput, Scratch

Plan = TypeVar("Plan")
Result = TypeVar("Result")


class FileJob(ABC, Generic[Plan, Result]):
    """A job that reads files and writes products into a folder, or one file.

    Subclasses are frozen dataclasses with the field `output`. They state what is read and what shapes the products, and make them.
    The frame refuses products that are inputs, locks the folder, decides what may be replaced, and keeps what is finished.
    """

    output: JobOutput

    @property
    @abstractmethod
    def known_products(self) -> tuple[str, ...]:
        """Names of all files that such a job may write into its folder."""

    @property
    @abstractmethod
    def sources(self) -> Mapping[str, Any]:
        """Role → what is read; None for what is not given."""

    @property
    @abstractmethod
    def shaping(self) -> tuple[Any, ...]:
        """Groups of options, or mappings of values by name, that the products follow from in addition to `sources`."""

    @abstractmethod
    def foresee(self) -> Plan:
        """Open and check the inputs, and return what would be done."""

    @abstractmethod
    def make(self, scratch: Scratch, progress: Any, executor: Executor | None) -> Result:
        """Do the work, and write the products into `output`, which is locked. scratch : for what is finished"""

    def check_inputs(self) -> None:
        """Refuse inputs that the work could not use, by what is quick to read; by default nothing is read. Errors: InputError.

        It runs before finished work is removed, so that a job with a mistaken path costs nothing."""

    def check(self) -> None:
        """Refuse outputs that are inputs. Errors: OutputError."""
        self.output.check_apart(self.known_products, *self.sources.values())

    @property
    def known_output(self) -> JobOutput:
        """The output with all that its products follow from."""
        return self.output.for_job(self.sources, *self.shaping)

    def describe(self) -> Plan:
        """Return what would be done, after all checks. Errors: as for the job."""
        self.check()
        self.known_output.check()
        self.check_inputs()
        return self.foresee()

    def run(self, progress: Any = None, executor: Executor | None = None) -> Result:
        """Do the job.

        Parameters
        ----------
        progress : called with the finished share, 0–1, unless the job states another form
        executor : does the long work in other processes
        """
        self.check()  # before anything large is read
        output = self.known_output
        self.check_inputs()
        with output.begin() as scratch:
            return replace(self, output=output).make(scratch, progress, executor)  # type: ignore[type-var]
