"""The run of a task whose network labels views, opened for prediction."""

from __future__ import annotations

from pathlib import Path

from deepnets4eo.device import choose
from deepnets4eo.errors import RunError
from deepnets4eo.segmenters.run import Run, load_run


def open_view_run(run: str | Path | Run, task: str, use: str) -> Run:
    """Open a run of a task, its network on a GPU where there is one.

    Parameters
    ----------
    run
        Its folder, or the run itself.
    task
        Name of the task, and of the recipe `points/TASK`.
    use
        What runs of other tasks do not do, for the error.

    Returns
    -------
    Run
        Computes in float32.

    Raises
    ------
    RunError
        The folder is no run, or one of another task.
    """
    loaded = run if isinstance(run, Run) else load_run(run)
    own_task = loaded.recipe.get("task")
    if own_task != task:
        raise RunError(
            f"{loaded.folder} is a run of the task {own_task!r}, which does not {use}. Train one with deepnets4eo train "
            f"points/{task}."
        )
    loaded.segmenter.to(choose(precision="float32"))
    return loaded
