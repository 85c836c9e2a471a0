"""What a reader of a map must know before its figures: doubts about the inputs or about the result, where measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any, Literal, get_args

Severity = Literal["note", "caution", "worthless"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)

LABELS: dict[Severity, str] = {"worthless": "Do not use", "caution": "Caution", "note": "Note"}


@dataclass(frozen=True)
class Finding:
    """One thing that limits a map: stable `code`, `severity` ("note", "caution", "worthless"), `message` with values, `remedy`.

    `affected`: how many buildings it concerns, 0 where it is not of some.
    """

    code: str
    severity: Severity
    message: str
    remedy: str = ""
    affected: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def count_of(number: int, noun: str) -> str:
    """The number with its noun.

    >>> count_of(1, "building"), count_of(0, "building"), count_of(12, "outline")
    ('1 building', '0 buildings', '12 outlines')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def reasons_text(counts: Mapping[str, int], noun: str) -> str:
    """How many things have each reason.

    >>> reasons_text({"under cloud": 2, "too small": 1}, "building")
    '2 buildings: under cloud; 1 building: too small'
    """
    return "; ".join(f"{count_of(count, noun)}: {reason}" for reason, count in counts.items())


def one_or_many(number: int, one: str, many: str) -> str:
    """The words for one thing, or for none and several.

    >>> one_or_many(1, "was", "were")
    'was'
    """
    return one if number == 1 else many


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings by falling severity, those of one severity by how many buildings they concern; else they keep their order."""
    return tuple(sorted(findings, key=lambda finding: (-SEVERITIES.index(finding.severity), -finding.affected)))


def in_english(text: str) -> str:
    """HTML of English text, on a page of any language."""
    return f'<bdi lang="en">{escape(text)}</bdi>'


def findings_banner(
    findings: Sequence[Finding], say: Callable[[str], str] = str, html_of: Callable[[str], str] = in_english
) -> str:
    """A section with the worst finding in its first line, the others folded; `say` translates severities and numbers,
    `html_of` the sentences of a finding."""
    if not findings:
        return ""
    worst, *others = worst_first(findings)
    more = ""
    if others:
        count = escape(
            say("1 more finding") if len(others) == 1 else say("{} more findings").replace("{}", str(len(others)))
        )
        button = (
            f'<button id="findings-button" aria-controls="findings-more" aria-expanded="true" hidden>{count}</button>'
        )
        items = "".join(f"<li>{_text(finding, say, html_of)}</li>" for finding in others)
        more = f'{button}</p><ul id="findings-more">{items}</ul>'
    role = "note" if worst.severity == "note" else "alert"
    return f'<section id="findings" class="findings {worst.severity}" role="{role}"><p>{_text(worst, say, html_of)}{more or "</p>"}</section>'


def _text(finding: Finding, say: Callable[[str], str], html_of: Callable[[str], str]) -> str:
    remedy = f' <span class="remedy">{html_of(finding.remedy)}</span>' if finding.remedy else ""
    return f"<b>{escape(say(LABELS[finding.severity]))}</b> {html_of(finding.message)}{remedy}"


def duration_text(seconds: float) -> str:
    """A duration as people say it.

    >>> duration_text(50), duration_text(600), duration_text(9000)
    ('50 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
