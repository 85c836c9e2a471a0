"""The run of a task whose network labels views, opened for prediction."""

from __future__ import annotations

from pathlib import Path

from deepnets4eo.device import choose
from deepnets4eo.errors import RunError
from deepnets4eo.segmenters.run import Run, load_run


def open_view_run(run: str | Path | Run, task: str, use: str) -> Run:
    """Open a run of a task, its network on a GPU where there is one, computing in float32. Raises RunError where the
    folder is no run, or one of another task; `use` says what those do not do."""
    loaded = run if isinstance(run, Run) else load_run(run)
    own_task = loaded.recipe.get("task")
    if own_task != task:
        raise RunError(
            f"{loaded.folder} is a run of the task {own_task!r}, which does not {use}. Train one with deepnets4eo train "
            f"points/{task}."
        )
    loaded.segmenter.to(choose(precision="float32"))
    return loaded
