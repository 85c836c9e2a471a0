"""What findings say: every code has its sentences, every language the same values, and what is written can be read again."""

import ast
import json
import re
from pathlib import Path
from string import Formatter

import numpy as np
import pytest

import deepnets4eo
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.files import read_yaml
from deepnets4eo.outputs import Finding, Phrase, image_of
from deepnets4eo.outputs.wording import LANGUAGES, TEXTS, has_words, plain, texts_of

PACKAGE = Path(deepnets4eo.__file__).parent
FILES = sorted((TEXTS / "en").glob("*.yaml"))
IN_ENGLISH = {"rubble": "the page of volumes has no language"}
TRANSLATED = tuple(path.stem for path in FILES if path.stem not in IN_ENGLISH)


def fields(text: str | list[str]) -> set[str]:
    """The values that the sentences of a key name."""
    sentences = [text] if isinstance(text, str) else text
    return {name for each in sentences for _, name, _, _ in Formatter().parse(each) if name is not None}


def formats(text: str | list[str]) -> set[tuple[str, str]]:
    """The values whose format is not a choice of words."""
    sentences = [text] if isinstance(text, str) else text
    parts = [part for each in sentences for part in Formatter().parse(each)]
    return {(name, form or "") for _, name, form, _ in parts if name is not None and "|" not in (form or "")}


def plain_options(text: str | list[str]) -> list[str]:
    """The options and commands that sentences name, which no language changes."""
    return sorted(re.findall(r"--[a-z][\w-]*(?: ?[a-z_]+=[\w-]+)?|`[^`]+`", str(text)))


def words_in_calls(name: str, position: int, keyword: str) -> set[str]:
    """The words that the package gives to a call: the argument at a position, or that of a keyword; of `a if b else c` both."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
                stated = [each.value for each in node.keywords if each.arg == keyword]
                given = stated or node.args[position : position + 1]
                both = [[one.body, one.orelse] if isinstance(one, ast.IfExp) else [one] for one in given]
                found |= {each.value for one in both for each in one if isinstance(each, ast.Constant)}
    return found


def test_every_finding_of_the_package_has_its_sentences() -> None:
    named = words_in_calls("Finding", 0, "wording") | words_in_calls("Phrase", 0, "key")
    keys = {word for word in named if re.fullmatch(r"[a-z_]{4,}", word)}
    assert len(keys) > 90
    assert [key for key in keys if not has_words(key)] == []


def test_no_key_is_in_two_files_and_every_remedy_belongs_to_one() -> None:
    keys = [key for path in FILES for key in read_yaml(path)]
    assert len(keys) == len(set(keys)) == len(texts_of("en"))
    assert [key for key in keys if key.endswith(".remedy") and key.removesuffix(".remedy") not in keys] == []


@pytest.mark.parametrize("language", LANGUAGES[1:])
@pytest.mark.parametrize("part", TRANSLATED)
def test_every_language_has_every_key_with_the_same_values(language, part):
    english, other = (read_yaml(TEXTS / each / f"{part}.yaml") for each in ("en", language))
    assert other.keys() == english.keys()
    for key, text in english.items():
        plural_alone = {name for name in fields(text) if "{" + name + "}" not in str(text) and "|" in str(text)}
        assert fields(other[key]) <= fields(text), key
        assert fields(text) - fields(other[key]) <= plural_alone, key
        assert isinstance(other[key], list) == isinstance(text, list), key
        assert formats(other[key]) == formats(text) or plural_alone, key
        assert plain_options(other[key]) == plain_options(text), key
    assert {path.stem for path in (TEXTS / language).glob("*.yaml")} == set(TRANSLATED)


def test_numbers_choose_words_and_are_written_as_the_language_does() -> None:
    one, many = (Finding("blank_post", "caution", {"number": number}) for number in (1, 1200))
    assert one.message.startswith("1 building is in a wide part")
    assert many.message.startswith("1200 buildings are in a wide part")
    wide = Finding("count_not_told", "caution", {"low": 1200.4, "high": 10_800.0, "assessed": 12_000})
    assert "1,200 to 10,800 of 12,000" in wide.message
    assert "de 1.200 a 10.800 de 12.000" in wide.text(language="es")
    assert "1\u202f200 à 10\u202f800" in wide.text(language="fr")


def test_a_sentence_of_an_unknown_value_is_left_out() -> None:
    some = {"name": "'heat'", "missing": 3, "assessed": 9}
    assert Finding("evidence_shown", "note", some).message.endswith(" 3 of 9 assessed buildings have no value.")
    none = Finding("evidence_shown", "note", some | {"missing": None})
    assert none.message == "Evidence 'heat' is only shown; the decision does not use it."


def test_reasons_stay_english_and_are_marked_and_escaped_on_a_page() -> None:
    nothing = Finding(
        "nothing_assessed", "worthless", {"reasons": Reason.phrases({"<no> data": 2, "cloud": 1}, "building")}
    )
    assert nothing.message == "No building could be assessed (2 buildings: <no> data; 1 building: cloud)."
    assert nothing.html(language="en") == f'<bdi lang="en">{nothing.message.replace("<no>", "&lt;no&gt;")}</bdi>'
    arabic = nothing.html(language="ar")
    assert '2 من المباني: <bdi lang="en">&lt;no&gt; data</bdi>؛ 1 من المباني: <bdi lang="en">cloud</bdi>' in arabic
    assert nothing.remedy == nothing.html(".remedy", "ar") == ""


def test_a_phrase_without_words_in_a_language_is_english_on_its_page() -> None:
    phrase = Phrase("dates_fit_weakly.remedy")
    assert phrase.text("pt") == phrase.text()
    assert phrase.html("pt") == f'<bdi lang="en">{phrase.text()}</bdi>'


def test_a_finding_of_a_plugin_says_its_own_english() -> None:
    own = Finding("heat_seen", "note", {"message": "Fires <burn>.", "remedy": "Wait."})
    assert (own.message, own.remedy) == ("Fires <burn>.", "Wait.")
    assert own.html(language="fr") == '<bdi lang="en">Fires &lt;burn&gt;.</bdi>'
    assert Finding("heat_seen", "note", {"message": "Fires."}).remedy == ""


def test_a_finding_comes_back_from_json_whole() -> None:
    values = {"image": image_of("post"), "source": "a {b}.tif", "share": np.float32(0.25), "how": Phrase("by_cloud_band", {"band": "mask"})}  # fmt: skip
    made = Finding("clouds_post", "caution", values | {"remedy": Phrase("give_water")}, affected=3, wording="clouds")
    written = json.loads(json.dumps(made.to_dict()))
    again = Finding.from_dict(written)
    assert again.to_dict() == written
    assert (again.message, again.remedy) == (made.message, made.remedy) == (written["message"], written["remedy"])
    assert "25.0% of the post image a {b}.tif, according to its band mask" in again.message
    assert "a {b}.tif" in again.text(language="fr")
    assert plain((1, None, "x")) == [1, None, "x"]
    other = Finding.from_dict({"code": "blank_post", "severity": "worthless", "message": "It shows another place."})
    assert (other.message, other.remedy) == ("It shows another place.", "")
