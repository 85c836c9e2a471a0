"""Texts of the page and the sheet of a damage map in other languages: assets/words.yaml, and what all pages share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from deepnets4eo.damage.products.content import DamageMapContent
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.footprints import Unusable
from deepnets4eo.outputs import Language, map_page, number_text
from deepnets4eo.outputs.map_page import PageLanguage

ASSETS = Path(__file__).parent / "assets"
TABLE = ASSETS / "words.yaml"
IN_ENGLISH = "Reasons and evidence are in English."


def words_of(language: Language) -> dict[str, str]:
    """Return English → words of the language; empty for English."""
    shared = map_page.words_of(language, TABLE)
    return {**shared, **Reason.translations(language), **Unusable.translations(language)}


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
    return replace(map_page.page_language(language, TABLE, in_english=IN_ENGLISH), words=words_of(language))
