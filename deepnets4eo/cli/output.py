"""Output of the verbs: lines without control characters, progress, findings, JSON; results to stdout, all else to stderr."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from deepnets4eo.addresses import without_secrets
from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.files import plain, read_json, write_json

if TYPE_CHECKING:
    from deepnets4eo.outputs import Finding
    from deepnets4eo.outputs.served_page import PageServer

WORTHLESS = 3  # exit status of a job whose map was written, to be looked into, and must not be used
LOG_EVERY_S = 10.0  # progress, where stderr is no terminal
STDOUT = Path("-")
PROGRAM = "deepnets4eo"
_format_warning = warnings.formatwarning

# Control characters but tab and newline, marks that turn the direction of writing, and halves of characters
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROL_OR_BREAKING = re.compile(_CONTROL.pattern[:-1] + "\t\n]")


def visible(text: Any, *, one_line: bool = False) -> str:
    """Return text with control characters escaped as in JSON, and addresses without secrets; `one_line` also escapes tabs and newlines.

    >>> visible("red\\x1b[31m\\nroof"), visible("a\\nb", one_line=True)
    ('red\\\\u001b[31m\\nroof', 'a\\\\nb')
    """
    pattern = _CONTROL_OR_BREAKING if one_line else _CONTROL
    return pattern.sub(lambda match: json.dumps(match[0])[1:-1], without_secrets(str(text)))


def echo(message: Any, *, err: bool = False, nl: bool = True) -> None:
    """Print a line, to stderr with `err`. OutputError if the line cannot be written; a lost line of stderr ends no job."""
    try:
        typer.echo(visible(message), err=err, nl=nl)
    except OSError as error:
        if err:
            return
        if isinstance(error, BrokenPipeError):
            raise  # the reader has seen enough, e.g. `head`
        raise OutputError(f"nothing can be printed: {error.strerror}. Free some space, or print elsewhere.") from error


def own_command(*words: Any) -> str:
    """Return a command of this program for this shell, with its words quoted.

    The program is its name, or its file if the name is not on the path, as without an activated environment."""
    return " ".join([_own_program(), *(_quoted(str(word)) for word in words)])


def _own_program() -> str:
    """Return what calls this program in this shell."""
    script, on_path = Path(sys.argv[0]), shutil.which(PROGRAM)
    if script.name == "__main__.py" and on_path is None:
        return f"{_called(sys.executable)} -m {PROGRAM}"
    if script.stem != PROGRAM or (on_path is not None and _same_program(Path(on_path), script)):
        return PROGRAM
    file, here = script.absolute(), Path.cwd()
    if file.parent == here:
        return os.path.join(".", file.name)
    return _called(str(file.relative_to(here) if file.is_relative_to(here) else file))


def _same_program(a: Path, b: Path) -> bool:
    """Return whether both are one file; on Windows a script's own name lacks `.exe`."""
    return a.resolve().with_suffix("") == b.resolve().with_suffix("")


def _called(program: str) -> str:
    """Return a program as this shell calls it."""
    return f"& {_quoted(program)}" if os.name == "nt" and " " in program else _quoted(program)


def _quoted(word: str) -> str:
    """Return a word as this shell takes it; no quotes on Windows unless there is a space."""
    if os.name != "nt":
        return shlex.quote(word)
    return f'"{word}"' if " " in word else word


def open_closed_streams() -> None:
    """Open closed streams (`2>&-`) on the null device, so that no file of the job gets their text."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            file = os.open(os.devnull, os.O_RDWR)
            try:
                os.fstat(number)
            except OSError:  # still free: the lowest, unless it is taken by then
                os.dup2(file, number)
            setattr(sys, name, os.fdopen(file, "w" if number else "r", encoding="utf-8"))


class VisibleFormatter(logging.Formatter):
    """Log lines whose control characters are escaped; libraries' traces of errors are for debugging."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message of a record."""
        if not logging.getLogger().isEnabledFor(logging.DEBUG):
            record = copy(record)
            record.exc_info = record.exc_text = record.stack_info = None
        return visible(super().format(record))


def visible_warning(*parts: Any, **named: Any) -> str:
    """Return a library's warning as Python formats it, without control characters; replaces `formatwarning`."""
    return visible(_format_warning(*parts, **named))


def show_result(line: str, *paths: Any, err: bool = False) -> None:
    """Show the result of a verb: one line on stderr, then its files on stdout (with `err` on stderr, too)."""
    echo(line, err=True)
    for path in paths:
        echo(path, err=err)


def ask_on_terminal() -> Callable[[str], str] | None:
    """Return a function that shows a question on the terminal and returns the answer; None without a terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    return lambda question: str(typer.prompt(visible(question), default="", show_default=False, err=True))


def is_stdout(target: str | Path | None) -> bool:
    """Return whether a target is `-`, standard output."""
    return target is not None and Path(target) == STDOUT


def show_json(value: Any, target: str | Path) -> None:
    """Write JSON to `target` and print its path; `-` prints the JSON itself. What a killed job has left at `target` goes."""
    if is_stdout(target):
        echo(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))
        return
    from deepnets4eo.jobs import output_lock

    with output_lock(target):
        echo(write_json(target, value))


def show_footprints(account: dict[str, Any]) -> None:
    """Write one line to stderr if rows of the footprints file were left out or changed."""
    from deepnets4eo.outputs import count_of

    if account and (account["dropped"] or account["repaired"] or account["renamed"]):
        parts = [f"{account['used']} of {count_of(account['read'], 'row')} used"]
        parts += [f"{account['repaired']} repaired"] if account["repaired"] else []
        parts += [f"{count_of(account['renamed'], 'id')} renamed"] if account["renamed"] else []
        left_out = "; ".join(f"{number} {reason}" for reason, number in account["dropped"].items())
        echo(f"footprints: {', '.join(parts)}{f'; left out: {left_out}' if left_out else ''}", err=True)


def end_with_findings(findings: Sequence[Finding]) -> None:
    """Show the findings, and end with exit status 3 if one is "worthless"."""
    if status := show_findings(findings):
        raise typer.Exit(status)


def show_findings(findings: Sequence[Finding]) -> int:
    """Write findings to stderr, worst last; returns the exit status: 3 if one is "worthless"."""
    for finding in reversed(findings):
        label = {"note": "note", "caution": "CAUTION", "worthless": "DO NOT USE THIS MAP"}[finding.severity]
        echo(f"{label}: {finding.whole}", err=True)
    return WORTHLESS if any(finding.severity == "worthless" for finding in findings) else 0


def ask_for_hazard(name: str = "", findings: Sequence[Finding] = ()) -> None:
    """Write the request to name the hazard to stderr, unless the event has a name or one of the findings requests it already.

    A name without a word for a hazard is a finding of the map."""
    from deepnets4eo.outputs import Phrase

    if not name and not any(finding.requests_hazard for finding in findings):
        echo(f"note: {Phrase('name_the_hazard').text()}", err=True)


def findings_of(out: Path | None) -> list[Finding]:
    """Return the findings in the manifest of a finished job; none if it cannot be read."""
    from deepnets4eo.outputs import Finding

    try:
        return [Finding.from_dict(finding) for finding in read_json(f"{out}/manifest.json")["findings"]]
    except (InputError, KeyError, TypeError):
        return []


@contextmanager
def progress(title: str) -> Iterator[Callable[[float], None]]:
    """Provide a function that takes the share of the work that is done, 0–1."""
    if not sys.stderr.isatty():
        yield _log_progress(title)
        return
    from deepnets4eo.display import progress_bar

    with progress_bar(title) as advance:
        yield advance


@contextmanager
def new_output(title: str, *outputs: Path | None, overwrite: bool) -> Iterator[Callable[[float], None]]:
    """Lock the outputs of a verb, refuse those that exist, and show its progress."""
    from deepnets4eo import jobs

    with jobs.new_output(*outputs, overwrite=overwrite), progress(title) as advance:
        yield advance


def _log_progress(title: str) -> Callable[[float], None]:
    """Log lines with the share that is done and the time left, by the pace since the first share."""
    from deepnets4eo.outputs import duration_text

    last = began = time.monotonic()
    first: float | None = None

    def advance(share: float) -> None:
        nonlocal last, began, first
        now = time.monotonic()
        if first is None:
            first, began = share, now
        if now - last >= LOG_EVERY_S:
            last = now
            pace = (share - first) / max(now - began, 1e-9)
            left = f", about {duration_text((1 - share) / pace)} left" if 0 < share < 1 and pace > 0 else ""
            logging.getLogger(__name__).info("%s: %.0f %%%s", title, 100 * share, left)

    return advance


def serve(server: PageServer, act: str, *, browser: bool) -> None:
    """Serve a page until it is interrupted, and open it in a browser. act : what is done there."""
    import webbrowser
    from threading import Thread

    echo(server.address)
    echo(f"{act} in the browser; end with Ctrl-C.", err=True)
    if browser:
        # in a thread, as some browsers return only when they are closed
        Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()
    server.serve()
