"""Texts of the page and the sheet in other languages: assets/words.yaml; texts of findings are in `outputs/texts`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from deepnets4eo.damage.products.content import DamageMapContent
from deepnets4eo.files import read_yaml
from deepnets4eo.outputs import LANGUAGES, Language, number_text
from deepnets4eo.outputs.map_page import PageLanguage

RIGHT_TO_LEFT = ("ar",)
ASSETS = Path(__file__).parent / "assets"
IN_ENGLISH = "Reasons and evidence are in English."


@cache
def words_of(language: Language) -> dict[str, str]:
    """Return English → words of the language; empty for English."""
    table: dict[str, list[str]] = {} if language == "en" else read_yaml(ASSETS / "words.yaml")
    return {english: others[LANGUAGES.index(language) - 1] for english, others in table.items()}


def is_right_to_left(language: Language) -> bool:
    """Return True if a language is written from right to left."""
    return language in RIGHT_TO_LEFT


def translate(text: str, language: Language) -> str:
    """Translate English words of a sheet. Raises KeyError."""
    return text if language == "en" else words_of(language)[text]


def count_sentence(damage_map: DamageMapContent, language: Language) -> str:
    """Return how many buildings are classified as damaged, and the interval of the true number, in a sentence."""
    counted = damage_map.count_sentence(
        lambda text: translate(text, language), lambda value: number_text(value, language)
    )
    return damage_map.after_warning(counted, language)


def page_language(language: Language) -> PageLanguage:
    """Return the texts of the page of a damage map."""
    words = words_of(language)
    return PageLanguage(language, words, is_right_to_left(language), words.get(IN_ENGLISH, ""))
