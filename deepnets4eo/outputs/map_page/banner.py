"""The first line of the report page: the worst finding with its remedy, and the others behind it.

Takes findings; returns HTML text that needs no JavaScript, '' where there are none. All text is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from deepnets4eo.outputs.findings import Finding, Severity, worst_first

LABELS: dict[Severity, str] = {"worthless": "Do not use", "caution": "Caution", "note": "Note"}


def findings_banner(findings: Sequence[Finding]) -> str:
    """A section with the worst finding in its first line; the others are a list that the page folds."""
    if not findings:
        return ""
    worst, *others = worst_first(findings)
    more = ""
    if others:
        count = f"{len(others)} more finding{'s' if len(others) > 1 else ''}"
        button = (
            f'<button id="findings-button" aria-controls="findings-more" aria-expanded="true" hidden>{count}</button>'
        )
        items = "".join(f"<li>{_text(finding)}</li>" for finding in others)
        more = f'{button}</p><ul id="findings-more">{items}</ul>'
    role = "note" if worst.severity == "note" else "alert"
    return f'<section id="findings" class="findings {worst.severity}" role="{role}"><p>{_text(worst)}{more or "</p>"}</section>'


def _text(finding: Finding) -> str:
    remedy = f' <span class="remedy">{escape(finding.remedy)}</span>' if finding.remedy else ""
    return f"<b>{LABELS[finding.severity]}</b> {escape(finding.message)}{remedy}"
