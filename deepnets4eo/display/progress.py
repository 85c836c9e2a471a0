"""A bar of progress where a person sees it: in a notebook, or on a terminal; nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which draws what is displayed."""
    shell = sys.modules.get("IPython")
    current = shell.get_ipython() if shell is not None else None
    return current is not None and "ZMQ" in type(current).__name__


@contextmanager
def notebook_progress(title: str) -> Iterator[Callable[[float], None] | None]:
    """A context whose value takes the share of the work that is done, 0–1; None elsewhere."""
    notebook = in_notebook()
    if not notebook and not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(force_jupyter=True) if notebook else Console(stderr=True)
    with Progress(console=console, transient=not notebook) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda share: bar.update(task, completed=share)
