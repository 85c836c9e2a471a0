"""Sentences by key and language: the tables of `texts/`, and the values that are put into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args

import numpy as np

from deepnets4eo.files import read_yaml
from deepnets4eo.options import key

Language = Literal["en", "fr", "es", "ar", "pt"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
InLanguage: TypeAlias = Annotated[Language, key("Language of report.html: en, fr, es, ar or pt.")]
TEXTS = Path(__file__).parent / "texts"  # a folder a language, a file a part of the package
SEPARATORS = {"en": ",.", "fr": "\u202f,", "es": ".,", "ar": ",.", "pt": ".,"}  # of thousands and of decimals
JOINTS: dict[Language, str] = {"ar": "؛ "}  # between clauses, else "; "

Value: TypeAlias = Union["Verbatim", float, "Phrase", Sequence["Phrase"], None]


class Verbatim(str):
    """A text that is the same in every language: a name, date or path of the user's, numbers, or the text of an error."""

    __slots__ = ()


@dataclass(frozen=True)
class Phrase:
    """Words of a table by their key, with their values: the text depends on the language.

    values : name → number, text that stays as it is, phrase, phrases of a list (kept as a tuple), or None if unknown
    """

    key: str
    values: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A kept phrase comes back with tuples, so that a resumed job compares equal and writes the same bytes.
        object.__setattr__(self, "values", with_tuples(self.values))

    @staticmethod
    def verbatim(text: object) -> Verbatim:
        """Return the text of a value that is the same in every language: see `Verbatim`."""
        return Verbatim(text)

    def text(self, language: Language = "en") -> str:
        """Return the words of a phrase as plain text, in English if the language has none. A sentence with a None value is left out.

        >>> Phrase("not_in_pre.remedy").text(), Phrase("not_in_pre.remedy").text("es")
        ('Use footprints from before the event.', 'Use contornos de antes del evento.')
        """
        return _Writer(language, str, str).phrase(self)

    def contains(self, key: str) -> bool:
        """Return whether the phrase, or one among its values at any depth, has this key."""
        return self.key == key or any(_contains(value, key) for value in self.values.values())

    def html(self, language: Language = "en") -> str:
        """Return the words of a phrase as HTML, with words that stay English marked as English."""
        return in_english(self.text()) if language == "en" else _Writer(language, escape, in_english).phrase(self)


def _contains(value: Value, key: str) -> bool:
    """Return whether a value of a phrase has a phrase of this key."""
    if isinstance(value, Phrase):
        return value.contains(key)
    return isinstance(value, Sequence) and not isinstance(value, str) and any(_contains(item, key) for item in value)


def with_tuples(values: Mapping[str, Value]) -> dict[str, Value]:
    """Return the values of a phrase or finding with lists as tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def number_text(value: float, language: Language, form: str = ",.0f") -> str:
    """Return a number as the language writes it; form : Python's, with a comma between thousands.

    >>> number_text(12345.6, "pt", ",.1f"), number_text(0.5, "en", ".0%")
    ('12.345,6', '50%')
    """
    return format(value, form).translate(str.maketrans(SEPARATORS["en"], SEPARATORS[language]))


def in_english(text: str) -> str:
    """Return HTML of English text, on a page of any language."""
    return f'<bdi lang="en">{escape(text)}</bdi>'


@cache
def texts_of(language: Language) -> dict[str, str | list[str]]:
    """Return key → sentences of a language; sentences that the language lacks are missing."""
    tables = [read_yaml(path) for path in sorted((TEXTS / language).glob("*.yaml"))]
    return {key: text for table in tables for key, text in table.items()}


def has_words(key: str, language: Language = "en") -> bool:
    """Return whether a language has words for a key."""
    return key in texts_of(language)


@dataclass(frozen=True)
class _Writer:
    """Puts values into the sentences of a language. own : shows its words, foreign : English ones."""

    language: Language
    own: Callable[[str], str]
    foreign: Callable[[str], str]

    def phrase(self, phrase: Phrase) -> str:
        """Return all sentences of a phrase whose values are known."""
        if not has_words(phrase.key, self.language) and self.language != "en":
            return self.foreign(phrase.text())
        text = texts_of(self.language)[phrase.key]
        sentences = (
            self._sentence(sentence, phrase.values) for sentence in ([text] if isinstance(text, str) else text)
        )
        return " ".join(filter(None, sentences))

    def _sentence(self, sentence: str, values: Mapping[str, Value]) -> str:
        pieces = list(Formatter().parse(sentence))
        if any(name is not None and values.get(name) is None for _, name, _, _ in pieces):
            return ""
        return "".join(
            self.own(words) + ("" if name is None else self._value(values[name], form or ""))
            for words, name, form, _ in pieces
        )

    def _value(self, value: Value | str, form: str) -> str:
        """Format a value.

        form : Python's of a number, or singular and plural, "building|buildings", chosen by the number."""
        if "|" in form:
            return self.own(form.split("|")[value != 1])
        if isinstance(value, str):
            return self.foreign(value) if value else ""
        if isinstance(value, Phrase):
            return self.phrase(value)
        if isinstance(value, Sequence):
            return self.own(JOINTS.get(self.language, "; ")).join(self._value(item, "") for item in value)
        assert value is not None
        return self.own(number_text(value, self.language, form))


def plain(value: Any) -> Any:
    """Return a value of a phrase in the form that JSON has; numbers of numpy become Python's."""
    if isinstance(value, Phrase):
        return {"phrase": value.key, "values": {name: plain(item) for name, item in value.values.items()}}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def from_plain(value: Any) -> Any:
    """Return the value that `plain` wrote."""
    if isinstance(value, Mapping):
        return Phrase(value["phrase"], {name: from_plain(item) for name, item in value["values"].items()})
    if isinstance(value, list):
        return tuple(from_plain(item) for item in value)
    return Verbatim(value) if isinstance(value, str) else value
