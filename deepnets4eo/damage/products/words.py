"""What the page and the sheet say in other languages: assets/words.yaml and, of findings, findings.yaml."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from pathlib import Path
from typing import get_args

from deepnets4eo.damage.inputs.settings import Language
from deepnets4eo.damage.products.content import DamageMapContent
from deepnets4eo.damage.vocabulary import UNKNOWN_COUNT
from deepnets4eo.files import read_yaml
from deepnets4eo.outputs.findings import in_english
from deepnets4eo.outputs.map_page.page import PageLanguage

LANGUAGES: tuple[Language, ...] = get_args(Language)  # English, then the order of the table
RIGHT_TO_LEFT = ("ar",)
ASSETS = Path(__file__).parent / "assets"
SEPARATORS = {"en": ",.", "fr": "\u202f,", "es": ".,", "ar": ",.", "pt": ".,"}  # of thousands and of decimals
IN_ENGLISH = "Reasons, evidence and some findings are in English."


@cache
def words_of(language: Language) -> dict[str, str]:
    """English → the language; empty for English."""
    table: dict[str, list[str]] = {} if language == "en" else read_yaml(ASSETS / "words.yaml")
    return {english: others[LANGUAGES.index(language) - 1] for english, others in table.items()}


def translate(text: str, language: Language) -> str:
    """What a sheet says instead of English words. Errors: KeyError."""
    return text if language == "en" else words_of(language)[text]


def number_text(value: float, language: Language, form: str = ",.0f") -> str:
    """A number as the language writes it; form : Python's, with a comma between thousands.

    >>> number_text(12345.6, "pt", ",.1f"), number_text(0.5, "en", ".0%")
    ('12.345,6', '50%')
    """
    return format(value, form).translate(str.maketrans(SEPARATORS["en"], SEPARATORS[language]))


def count_sentence(damage_map: DamageMapContent, language: Language) -> str:
    """How many buildings are named damaged and expected, in a sentence."""
    text, numbers = damage_map.count_words()
    counted = translate(text, language).format(*(number_text(value, language) for value in numbers))
    return f"{translate(UNKNOWN_COUNT, language)}: {counted}" if damage_map.is_wide else counted


def page_language(language: Language) -> PageLanguage:
    """What the page of a damage map says."""
    words = words_of(language)
    return PageLanguage(language, words, language in RIGHT_TO_LEFT, words.get(IN_ENGLISH, ""))


def sentences_html(text: str, language: Language) -> str:
    """The sentences of a finding as HTML in the language; those without a template stay English."""
    return " ".join(_sentence(each, language) for each in re.split(r"(?<=[.!?]) (?=[A-Z0-9])", text))


def _sentence(text: str, language: Language) -> str:
    for pattern, template in _templates(language):
        if match := pattern.fullmatch(text):
            return escape(template).replace("{}", "%s") % tuple(_value(each, language) for each in match.groups())
    return in_english(text)


def _value(text: str, language: Language) -> str:
    if re.fullmatch(r"[\d,.]+", text):
        return text.translate(str.maketrans(SEPARATORS["en"], SEPARATORS[language]))
    words = words_of(language)
    return escape(words[text]) if text in words else in_english(text)


@cache
def _templates(language: Language) -> list[tuple[re.Pattern[str], str]]:
    """Patterns of English sentences, and those of the language."""
    if language == "en":
        return []
    parts = {"{": "(.+?)", "[": "(?:%s)"}
    return [
        (
            re.compile("".join(parts[piece[0]].replace("%s", piece[1:-1]) if piece[:1] in parts else re.escape(piece) for piece in
                               re.split(r"(\{\}|\[\w+[^\]]*\|[^\]]*\])", english))),
            others[LANGUAGES.index(language) - 1],
        )
        for english, others in read_yaml(ASSETS / "findings.yaml").items()
    ]  # fmt: skip
