"""Parts that all verbs share that make a map: the dry run, progress, the result in a line, its files and its findings."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepnets4eo.cli.options import part_is_done
from deepnets4eo.cli.output import echo, end_with_findings, is_stdout, progress, show_json, show_result

if TYPE_CHECKING:
    from deepnets4eo.jobs import Workers
    from deepnets4eo.maps import MapJob


def run_map(
    job: MapJob[Any, Any], *, dry_run: bool = False, json: str | Path | None = None, workers: Workers | None = None
) -> None:
    """Run the job of a verb and print its result, or only what would be done.

    Parameters
    ----------
    job : of one map
    dry_run : whether only the checks are run
    json : file for the contents of summary.json, or `-` for stdout; the lines for people go to stderr then
    workers : who computes the tiles; by default the job decides

    Raises
    ------
    typer.Exit
        The map is written but must not be used.
    """
    if dry_run:
        echo(job.describe())
        return
    with nullcontext() if workers is None else workers.executor() as executor, progress(job.name) as advance:
        result = job.run(advance, executor)
    if result is None:
        assert job.output.part is not None
        echo(part_is_done(job.output.part, job.output.out))
        return
    silent = is_stdout(json)
    if json is not None:
        show_json(result.summary, json)
    echo(f"Open report.html in a browser, {job.name}.gpkg in QGIS.", err=silent)
    show_result(result.headline(), *result.paths.values(), err=silent)
    end_with_findings(result.findings)
