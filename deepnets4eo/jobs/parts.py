"""Division of a job: into contiguous parts that several processes or computers share, and into steps with one progress."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias, TypeVar

from deepnets4eo.errors import InputError

T = TypeVar("T")
Progress: TypeAlias = Callable[[float], None]  # called with the share that is done, 0–1


@dataclass(frozen=True)
class Part:
    """One of parts of about the same size. Errors: InputError (there is no such part).

    Parameters
    ----------
    number : which one, 1 to `total`
    total : how many there are

    Examples
    --------
    >>> [Part(number, 3).share("abcdefg") for number in (1, 2, 3)]
    ['ab', 'cd', 'efg']
    """

    whole: ClassVar[Part]
    marks: ClassVar[str] = "part-*"  # pattern of the names of `mark`
    number: int = 1
    total: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.total:
            most = max(self.total, 1)
            raise InputError(
                f"there is no part {self.number} of {self.total}; parts are counted from 1. Give 1/{most} to {most}/{most}."
            )

    @classmethod
    def parse(cls, text: str) -> Part:
        """Parse the part that `3/16` names. Raises InputError for other text, and if there is no such part."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
        if match is None:
            raise InputError(f"the part is {text!r}, expected its number and how many there are, such as 3/16.")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of_marks(cls, names: Iterable[str]) -> list[Part]:
        """Return the parts whose `mark` is among names."""
        matches = (re.fullmatch(r"part-(\d+)-of-(\d+)", name) for name in names)
        return [cls(int(match[1]), int(match[2])) for match in matches if match is not None]

    @property
    def mark(self) -> str:
        """Name of the file in a journal that states that the part is done."""
        return f"part-{self.number}-of-{self.total}"

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return the items of this part; the parts together have each item once, in order."""
        begin, end = ((len(items) * number) // self.total for number in (self.number - 1, self.number))
        return items[begin:end]

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"


Part.whole = Part()


def between(progress: Progress | None, begin: float, end: float) -> Progress | None:
    """Return the progress of a step that does the work from `begin` to `end`; None if it does no work, or without `progress`.

    >>> between(print, 0.5, 1.0)(0.5)
    0.75
    """
    if progress is None or begin == end:
        return None
    return lambda share: progress(begin + (end - begin) * share)
