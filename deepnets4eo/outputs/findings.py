"""Findings that a reader of a map must see before its figures: doubts about the inputs or about the result, if measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal, get_args

from deepnets4eo.addresses import file_name_of
from deepnets4eo.outputs.wording import Language, Phrase, Value, Verbatim, from_plain, has_words, plain, with_tuples

Severity = Literal["note", "caution", "worthless"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)

MIN_SHARE_OF_MOST = 0.5  # of the ground
CODE = re.compile("`([^`<>]+)`")  # commands and columns, as messages quote them
OF_PLUGIN = "of_plugin"  # key of the sentences of others
QUESTION = "How sure is this?"
LABELS: dict[Severity, str] = {"worthless": "Do not use", "caution": "Caution", "note": "Note"}


@dataclass(frozen=True)
class Finding:
    """One limit of a map: stable `code`, `severity` ("note", "caution", "worthless"), and the values that its sentences name.

    affected : how many buildings it concerns, 0 if it does not concern single buildings.
    share : share of the ground of the map that it concerns, 0–1, if the rest of the map does not depend on it; else 0.
    wording : key of its sentences in `outputs/texts`, if it differs from the code. KEY.remedy has the remedy, if there is any.
    A finding of a plugin, whose code is in no table, has its English in the values "message" and "remedy".
    """

    code: str
    severity: Severity
    values: Mapping[str, Value] = field(default_factory=dict)
    affected: int = 0
    wording: str = ""
    share: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", with_tuples(self.values))

    @property
    def concerns_most(self) -> bool:
        """Return whether it concerns at least half of the ground, so that it comes before others of its severity."""
        return self.share >= MIN_SHARE_OF_MOST

    @property
    def requests_hazard(self) -> bool:
        """Return whether its sentences request the name of the hazard."""
        return Phrase(self.code, self.values).contains("name_the_hazard")

    @property
    def order(self) -> tuple[int, bool, int]:
        """Return the sort key of findings, worst first: falling severity, most of the ground, number of buildings."""
        return -SEVERITIES.index(self.severity), not self.concerns_most, -self.affected

    verbatim = staticmethod(Phrase.verbatim)

    @staticmethod
    def file_name(source: object) -> Verbatim:
        """Return the name of a file without its folders, which a page that is passed on does not show."""
        return Phrase.verbatim(file_name_of(source))

    @property
    def message(self) -> str:
        """Return the limit of the map, in English."""
        return self.text()

    @property
    def remedy(self) -> str:
        """Return the remedy, in English; empty if there is none."""
        return self.text(".remedy")

    @property
    def whole(self) -> str:
        """The message and what to do about it, in English."""
        return f"{self.message} {self.remedy}".strip()

    def text(self, part: Literal["", ".remedy"] = "", language: Language = "en") -> str:
        """Return the message, or the remedy, in a language; in English if the language has no words."""
        return self._render(part, Phrase.text, language)

    def html(self, part: Literal["", ".remedy"] = "", language: Language = "en") -> str:
        """Return the message, or the remedy, as HTML in a language."""
        return self._render(part, Phrase.html, language)

    def _render(self, part: str, render: Callable[[Phrase, Language], str], language: Language) -> str:
        key = self.wording or self.code
        if key == OF_PLUGIN or not has_words(key):
            text = self.values.get(part.removeprefix(".") or "message")
            return render(Phrase(OF_PLUGIN, {"text": text}), language) if text else ""
        return render(Phrase(key + part, self.values), language) if has_words(key + part) else ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON: the sentences in English, and the values in them."""
        return {
            "code": self.code, "severity": self.severity, "message": self.message, "remedy": self.remedy, "affected": int(self.affected),
            "values": {name: plain(value) for name, value in self.values.items()}, "wording": self.wording, "share": float(self.share),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Finding:
        """Return the finding that `to_dict` wrote, or a finding with only a code, a severity and a message. Errors: KeyError."""
        if "values" not in facts:
            words = {"message": facts["message"], "remedy": facts.get("remedy", "")}
            return cls(facts["code"], facts["severity"], words, facts.get("affected", 0), OF_PLUGIN)
        values = {name: from_plain(value) for name, value in facts["values"].items()}
        return cls(
            facts["code"], facts["severity"], values, facts["affected"], facts["wording"], facts.get("share", 0.0)
        )


def image_of(role: str) -> Phrase:
    """Return the name of the image of a role in sentences."""
    if role in ("pre", "post"):
        return Phrase(f"{role}_image")
    return Phrase("image_of_role", {"role": Verbatim(role)}) if role else Phrase("any_image")


def count_of(number: int, noun: str) -> str:
    """Return the number with its noun.

    >>> count_of(1, "building"), count_of(0, "building"), count_of(12, "outline")
    ('1 building', '0 buildings', '12 outlines')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def one_or_many(number: int, one: str, many: str) -> str:
    """Return the words for one thing, or for none and several.

    >>> one_or_many(1, "was", "were")
    'was'
    """
    return one if number == 1 else many


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings by `Finding.order`; equal findings keep their order."""
    return tuple(sorted(findings, key=lambda finding: finding.order))


def findings_banner(
    findings: Sequence[Finding],
    say: Callable[[str], str] = str,
    language: Language = "en",
    *,
    stated: Collection[str] = (),
) -> str:
    """Return a section with the worst finding first, in two lines at most until opened, and each other finding once behind a question.

    say : translates severities and numbers
    stated : codes of findings whose message the page's first lines state; only their remedy is repeated, behind the question
    """
    if not findings:
        return ""
    ordered = worst_first(findings)
    known = [
        finding for finding in ordered if finding.code in stated and finding.severity != "worthless" and finding.remedy
    ]
    worst, *others = [finding for finding in ordered if finding not in known] or known
    items = [_html(finding, say, language, only_remedy=True) for finding in known if finding is not worst]
    items += [_html(finding, say, language) for finding in others if finding not in known]
    more = f'<ul id="findings-more">{"".join(f"<li>{item}</li>" for item in items)}</ul>' if items else ""
    controls = "findings-more" if items else "findings-worst"
    button = (
        f'<button id="findings-button" aria-controls="{controls}" aria-expanded="true" hidden><span>{escape(say(QUESTION))}</span> '
        f'<span class="counts">{escape(_counts(ordered, say))}</span></button>'
    )
    role = f'aria-label="{escape(say(LABELS["note"]))}"' if ordered[0].severity == "note" else 'role="alert"'
    return (
        f'<section id="findings" class="findings {worst.severity}" {role}>'
        f'<p id="findings-worst">{_html(worst, say, language, only_remedy=worst in known)}</p>{button}{more}</section>'
    )


def _counts(findings: Sequence[Finding], say: Callable[[str], str]) -> str:
    """Return how many cautions and notes there are."""
    notes = sum(finding.severity == "note" for finding in findings)
    counts = {"caution": len(findings) - notes, "note": notes}
    return ", ".join(
        say(f"1 {noun}") if count == 1 else say(f"{{}} {noun}s").replace("{}", str(count))
        for noun, count in counts.items() if count
    )  # fmt: skip


def _html(finding: Finding, say: Callable[[str], str], language: Language, *, only_remedy: bool = False) -> str:
    message, remedy = finding.html(language=language), finding.html(".remedy", language)
    remedy = f' <span class="remedy">{remedy}</span>' if remedy else ""
    text = f"<b>{escape(say(LABELS[finding.severity]))}</b>{'' if only_remedy else f' {message}'}{remedy}"
    return CODE.sub(r'<code dir="ltr">\1</code>', text)


def duration_text(seconds: float) -> str:
    """Return a duration in everyday units.

    >>> duration_text(50), duration_text(600), duration_text(9000)
    ('50 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
