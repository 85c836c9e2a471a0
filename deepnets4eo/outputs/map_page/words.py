"""Texts of the page in other languages: assets/words.yaml has what all maps share; texts of findings are in `outputs/texts`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from deepnets4eo.files import read_yaml
from deepnets4eo.outputs.map_page.page import PageLanguage
from deepnets4eo.outputs.wording import LANGUAGES, Language

RIGHT_TO_LEFT = ("ar",)
SHARED = Path(__file__).parent / "assets" / "words.yaml"


@cache
def words_of(language: Language, *tables: Path) -> dict[str, str]:
    """Return English → words of the language, of the shared table and of a kind's tables; empty for English."""
    if language == "en":
        return {}
    at = LANGUAGES.index(language) - 1
    return {english: others[at] for path in (SHARED, *tables) for english, others in read_yaml(path).items()}


def is_right_to_left(language: Language) -> bool:
    """Return True if a language is written from right to left."""
    return language in RIGHT_TO_LEFT


def page_language(language: Language, *tables: Path, in_english: str = "") -> PageLanguage:
    """Return the texts of a page.

    Parameters
    ----------
    language : of the page
    tables : YAML files of the kind of map; English: [French, Spanish, Arabic, Portuguese]
    in_english : English of a remark on what stays English
    """
    words = words_of(language, *tables)
    return PageLanguage(language, words, is_right_to_left(language), words.get(in_english, ""))
