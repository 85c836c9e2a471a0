"""What the page and the sheet of a damage map say in other languages, from assets/words.yaml; a test names what is
missing."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import get_args

from deepnets4eo.damage.inputs.settings import Language
from deepnets4eo.damage.products.content import DamageMapContent
from deepnets4eo.damage.vocabulary import UNKNOWN_COUNT
from deepnets4eo.files import read_yaml
from deepnets4eo.outputs.map_page.page import PageLanguage

LANGUAGES: tuple[Language, ...] = get_args(Language)  # English, then the order of the table
RIGHT_TO_LEFT = ("ar",)
ASSETS = Path(__file__).parent / "assets"
SEPARATORS = {"en": ",.", "fr": "\u202f,", "es": ".,", "ar": ",.", "pt": ".,"}  # of thousands and of decimals
IN_ENGLISH = "Findings, reasons and evidence are in English."


@cache
def words_of(language: Language) -> dict[str, str]:
    """English → the language; empty for English."""
    table: dict[str, list[str]] = {} if language == "en" else read_yaml(ASSETS / "words.yaml")
    return {english: others[LANGUAGES.index(language) - 1] for english, others in table.items()}


def translate(text: str, language: Language) -> str:
    """What a sheet says instead of English words. Errors: KeyError for words that the table has not."""
    return text if language == "en" else words_of(language)[text]


def number_text(value: float, language: Language, form: str = ",.0f") -> str:
    """A number as the language writes it; form : Python's, with a comma between thousands.

    >>> number_text(12345.6, "pt", ",.1f"), number_text(0.5, "en", ".0%")
    ('12.345,6', '50%')
    """
    return format(value, form).translate(str.maketrans(SEPARATORS["en"], SEPARATORS[language]))


def count_sentence(damage_map: DamageMapContent, language: Language) -> str:
    """How many buildings are named damaged, and how many are expected, in one sentence."""
    text, numbers = damage_map.count_words()
    counted = translate(text, language).format(*(number_text(value, language) for value in numbers))
    return f"{translate(UNKNOWN_COUNT, language)}: {counted}" if damage_map.is_wide else counted


def page_language(language: Language) -> PageLanguage:
    """What the page of a damage map says."""
    words = words_of(language)
    return PageLanguage(language, words, language in RIGHT_TO_LEFT, words.get(IN_ENGLISH, ""))
