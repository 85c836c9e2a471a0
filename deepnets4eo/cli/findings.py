"""The last lines of a job: what limits the worth of its map, and an exit status that says whether there is one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from deepnets4eo.cli.output import echo

if TYPE_CHECKING:
    from deepnets4eo.outputs.findings import Finding

WORTHLESS = 3  # exit status of a job whose map was written, to be looked into, and must not be used


def show_footprints(account: dict[str, Any]) -> None:
    """One line on stderr where rows of the footprints' file were left out or changed."""
    from deepnets4eo.outputs.findings import count_of

    if account and (account["dropped"] or account["repaired"] or account["renamed"]):
        dropped = json.dumps(account["dropped"], ensure_ascii=False)
        echo(
            f"footprints: {account['used']} of {count_of(account['read'], 'row')} used, {account['repaired']} repaired, "
            f"{count_of(account['renamed'], 'id')} renamed, left out: {dropped}",
            err=True,
        )


def end_with_findings(findings: Sequence[Finding]) -> None:
    """Every finding on stderr, worst last, so that it is the last line; exit status 3 where one is "worthless"."""
    for finding in reversed(findings):
        label = {"note": "note", "caution": "CAUTION", "worthless": "DO NOT USE THIS MAP"}[finding.severity]
        echo(f"{label}: {finding.message}{f' {finding.remedy}' if finding.remedy else ''}", err=True)
    if any(finding.severity == "worthless" for finding in findings):
        raise typer.Exit(WORTHLESS)
