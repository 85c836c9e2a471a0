"""A reader: one way by which a file comes into the package, a function of Python or a verb of the command line."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuzzing.seed import Seed

    Seeds = dict[str, list[Seed]]
    Read = Callable[[Path, Path, Seeds], object]

GOOD_STATUS = (0, 1, 2, 3, 130)


@dataclass(frozen=True)
class Reader:
    """One way in: its name, the kinds of seeds that are damaged for it, and the function or verb."""

    name: str
    kinds: tuple[str, ...]
    read: Read


class WrongStatusError(Exception):
    """The command line ended with a status that it does not have, or printed a traceback."""


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Run with a folder as the current one."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def verb(*arguments: str) -> Read:
    """The command line within this process.

    In the arguments `{main}` is the damaged path, `{out}` a folder to write to, `{KIND}` the first sound seed of a kind.
    """

    def read(main: Path, out: Path, sound: Seeds) -> object:
        from deepnets4eo.cli.main import main as run_command

        paths = {kind: str(seeds[0].path) for kind, seeds in sound.items()} | {
            "main": str(main),
            "folder": str(main.parent),
            "out": str(out),
        }
        filled = [_fill_in(argument, paths) for argument in arguments]
        output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict", write_through=True)
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = run_command(filled)
        text = output.buffer.getvalue().decode()
        if status not in GOOD_STATUS or "Traceback" in text or (status == 2 and not text.strip()):
            shown = text[max(text.find("Traceback"), 0) :][-4000:] if "Traceback" in text else text[-500:]
            raise WrongStatusError(f"status {status}, printed {shown}")
        if status == 2:
            from deepnets4eo.errors import InputError

            raise InputError(text[-500:])
        return status

    return read


def _fill_in(argument: str, paths: dict[str, str]) -> str:
    for name, path in paths.items():
        argument = argument.replace(f"{{{name}}}", path)
    return argument
