"""`deepnets4eo doctor`: what this computer offers, and what is wrong with the installation."""

from __future__ import annotations

import typer

from deepnets4eo.cli.options import Json


def doctor(json: Json = None) -> None:
    """Describe this installation on one page: versions, extras, GDAL, device, weights, memory, and whether files can be written.

    Paste what it prints into a report of a problem; it has no names of users. Exit status: 1 where something is wrong.

    \b
    deepnets4eo doctor
    deepnets4eo doctor --json doctor.json"""
    from deepnets4eo.cli.check import show_inspections
    from deepnets4eo.cli.output import show_json, show_result
    from deepnets4eo.inspection.machine import inspect_machine
    from deepnets4eo.outputs.findings import count_of

    parts = inspect_machine()
    problems = sum(len(part.problems) for part in parts)
    if json is None:
        show_inspections(parts)
    else:
        show_json({part.path: part.to_dict() for part in parts}, json)
    show_result(f"{count_of(problems, 'problem')} found")
    if problems:
        raise typer.Exit(1)
