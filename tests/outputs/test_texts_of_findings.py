"""A text in a finding is a phrase of the tables, in every language, or is marked as a text that no language changes."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import deepnets4eo
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.footprints import Unusable
from deepnets4eo.outputs import Finding, Phrase
from deepnets4eo.outputs.wording import LANGUAGES, Value, Verbatim, texts_of

PACKAGE = Path(deepnets4eo.__file__).parent
PLAIN = {"str", "repr", "format", "join", "text", "count_of"}  # calls that make plain text


def values_of_calls(name: str) -> Iterator[tuple[str, ast.expr]]:
    """The expressions that the package writes as values of a finding or phrase, with their place."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
                for given in node.args:
                    if isinstance(given, ast.Dict):
                        place = f"{path.relative_to(PACKAGE)}:{given.lineno}"
                        yield from ((place, value) for value in given.values)


def is_plain_text(value: ast.expr) -> bool:
    """True for a literal, an f-string, and a call that makes text."""
    if isinstance(value, ast.IfExp):
        return is_plain_text(value.body) or is_plain_text(value.orelse)
    if isinstance(value, ast.Call):
        return (getattr(value.func, "attr", None) or getattr(value.func, "id", None)) in PLAIN
    return isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Constant) and isinstance(value.value, str))


def test_plain_text_is_no_value_of_a_finding() -> None:
    """The type checker refuses every finding whose value may be plain text."""
    given = [*values_of_calls("Finding"), *values_of_calls("Phrase")]
    assert len(given) > 250
    assert [place for place, value in given if is_plain_text(value)] == []
    assert str not in get_args(Value)
    for words in (Finding, Phrase):
        assert words.__annotations__["values"] == "Mapping[str, Value]"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("noun", "reasons"), [("building", Reason), ("row", Unusable)])
def test_reasons_of_buildings_and_rows_have_words_in_every_language(noun, reasons, language):
    stated = reasons.sentences(list(reasons)).tolist()
    assert len({*stated}) == len(reasons)
    for phrase, reason, sentence in zip(reasons.phrases(dict.fromkeys(stated, 3), noun), reasons, stated, strict=True):
        assert phrase.values["reason"] == Phrase(f"reason_{reason}")
        assert phrase.values["reason"].key in texts_of(language), reason
        assert (phrase.values["reason"].text(language) == sentence) is (language == "en")
        assert sentence in phrase.text()


def test_the_reason_of_a_plugin_stays_as_it_is() -> None:
    assert Reason.sentences(np.array(["under scaffolding", "", Reason.CLOUD], object)).tolist() == [
        "under scaffolding", "", "under cloud",
    ]  # fmt: skip
    (phrase,) = Reason.phrases({"under scaffolding": 2}, "building")
    assert phrase.text("fr").endswith("under scaffolding")


def test_a_reason_within_a_finding_is_written_in_the_language_of_the_page() -> None:
    reason = Phrase("skill_of_few_buildings", {"number": 8, "least": 30})
    finding = Finding("network_without_skill", "caution", {"reason": reason})
    assert "it was validated on 8 buildings" in finding.message
    assert "validation sur 8 bâtiments" in finding.text(language="fr")
    assert "validated" not in finding.html(language="es")


def test_texts_read_from_a_manifest_are_marked_again() -> None:
    finding = Finding("outlines_of_network", "note", {"network": Finding.verbatim("roofs.yaml")})
    again = Finding.from_dict(finding.to_dict())
    assert again == finding
    assert isinstance(again.values["network"], Verbatim)
