"""A bar of progress where a person sees it: in a notebook, or on a terminal; nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, which draws what is displayed."""
    shell = sys.modules.get("IPython")
    current = shell.get_ipython() if shell is not None else None
    return current is not None and "ZMQ" in type(current).__name__


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float], None]]:
    """Provide a function that takes the finished share of the work, 0–1, and draws it: in a notebook, else on the terminal."""
    from rich.console import Console
    from rich.progress import Progress

    notebook = in_notebook()
    console = Console(force_jupyter=True) if notebook else Console(stderr=True)
    with Progress(console=console, transient=not notebook) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda share: bar.update(task, completed=share)


@contextmanager
def watched_progress(title: str) -> Iterator[Callable[[float], None] | None]:
    """Provide a progress bar as `progress_bar` does if a person can see it, else None."""
    if not in_notebook() and not sys.stderr.isatty():
        yield None
        return
    with progress_bar(title) as advance:
        yield advance
