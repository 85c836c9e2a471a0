"""Reasons as codes: why a building is not assessed, or a row of a file is not used. Their sentences are in `outputs/texts`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, Self

import numpy as np

from deepnets4eo.arrays import Texts
from deepnets4eo.outputs.wording import LANGUAGES, Language, Phrase, Verbatim


class ReasonCode(StrEnum):
    """Reasons of one kind. The value is the code, and `reason_CODE` is the key of its sentence in every language.

    Tables state the English sentence. Sentences of plugins, which have no code, stay as they are everywhere.
    """

    @property
    def phrase(self) -> Phrase:
        """Return the sentence in any language."""
        return Phrase(f"reason_{self.value}")

    @property
    def sentence(self) -> str:
        """Return the sentence that tables state."""
        return self.phrase.text()

    @classmethod
    def by_sentence(cls) -> dict[str, Self]:
        """Return the reasons by the sentence that tables state."""
        return {reason.sentence: reason for reason in cls}

    @classmethod
    def sentences(cls, reasons: Texts) -> Texts:
        """Return the sentences of codes (N,) for a table; texts that are no code stay."""
        known = {str(reason): reason.sentence for reason in cls}
        return np.array([known.get(reason, reason) for reason in reasons], object)

    @classmethod
    def phrases(cls, counts: Mapping[str, int], noun: Literal["building", "row"]) -> list[Phrase]:
        """Return how many buildings of a map, or rows of a file, have each reason. counts : by the sentence of the table"""
        known = cls.by_sentence()
        return [
            Phrase(
                f"{noun}s_by_reason",
                {"number": count, "reason": known[text].phrase if text in known else Verbatim(text)},
            )
            for text, count in counts.items()
        ]

    @classmethod
    def translations(cls, language: Language) -> dict[str, str]:
        """Return English → words of the language for a page that shows a table; empty for English."""
        if language == LANGUAGES[0]:
            return {}
        return {reason.sentence: reason.phrase.text(language) for reason in cls}
