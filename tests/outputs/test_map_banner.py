"""The first line of the page holds the worst finding as text, whatever it says, and the others behind it."""

import re
from xml.etree import ElementTree as ET

from deepnets4eo.outputs import Finding
from deepnets4eo.outputs.findings import findings_banner

CAUTION = Finding("coarse_pre", "caution", {"message": "Pre is coarse.", "remedy": "Give a finer one."})
WORTHLESS = Finding("swapped", "worthless", {"message": 'Dates <look> "swapped" & wrong.', "remedy": "Swap them."})
NOTE = Finding("dropped", "note", {"message": "3 rows were dropped."})


def test_without_findings_there_is_no_banner() -> None:
    assert findings_banner([]) == ""


def test_the_worst_comes_first_whatever_the_order_and_is_text() -> None:
    section = ET.fromstring(re.sub(r" hidden>", ">", findings_banner([NOTE, CAUTION, WORTHLESS])))
    assert section.get("class") == "findings worthless"
    assert section.get("role") == "alert"
    assert "".join(section.find("p").itertext()) == 'Do not use Dates <look> "swapped" & wrong. Swap them.'
    button = section.find("button")
    assert ("".join(button.itertext()), button.get("aria-controls")) == (
        "How sure is this? 2 cautions, 1 note",
        "findings-more",
    )
    others = ["".join(item.itertext()) for item in section.find("ul")]
    assert others == ["Caution Pre is coarse. Give a finer one.", "Note 3 rows were dropped."]


def test_one_finding_may_be_read_whole() -> None:
    section = ET.fromstring(re.sub(r" hidden>", ">", findings_banner([NOTE])))
    assert (section.get("role"), section.get("aria-label")) == (None, "Note"), (
        "a region that readers reach, which interrupts nobody"
    )
    assert "".join(section.find("p").itertext()) == "Note 3 rows were dropped."
    assert section.find("button").get("aria-controls") == "findings-worst"
    assert "".join(section.find("button").itertext()) == "How sure is this? 1 note"
    assert section.find("ul") is None


def test_commands_and_columns_are_set_as_code_and_what_files_are_called_stays_text() -> None:
    finding = Finding(
        "seen", "note", {"message": "See `damage_set` of <a`b>.tif.", "remedy": "Run `deepnets4eo check`."}
    )
    section = ET.fromstring(re.sub(r" hidden>", ">", findings_banner([finding])))
    assert [code.text for code in section.iter("code")] == ["damage_set", "deepnets4eo check"]
    assert "".join(section.find("p").itertext()) == "Note See damage_set of <a`b>.tif. Run deepnets4eo check."


def test_what_the_first_lines_state_is_not_repeated_but_for_its_remedy() -> None:
    section = ET.fromstring(re.sub(r" hidden>", ">", findings_banner([NOTE, CAUTION], stated=["coarse_pre"])))
    assert section.get("role") == "alert"
    assert "".join(section.find("p").itertext()) == "Note 3 rows were dropped."
    assert ["".join(item.itertext()) for item in section.find("ul")] == ["Caution Give a finer one."]
    alone = ET.fromstring(re.sub(r" hidden>", ">", findings_banner([CAUTION], stated=["coarse_pre"])))
    assert "".join(alone.find("p").itertext()) == "Caution Give a finer one."
    assert alone.find("ul") is None
    worthless = findings_banner([WORTHLESS, NOTE], stated=["swapped"])
    assert "and wrong" in worthless or "&amp; wrong" in worthless, "never left out"
