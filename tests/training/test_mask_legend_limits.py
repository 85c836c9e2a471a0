"""Legends made of masks: classes that are added, their values and colours, and what is listed of unknown ones."""

import pytest

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.training.mask_legend import (
    MAX_LISTED,
    MaskContent,
    _free_colour,
    check_known,
    describe_legend,
    extend_legend,
    key_text,
)

START = Legend.from_dict(
    {
        "name": "own",
        "classes": [
            {"value": 0, "name": "ground", "color": [9, 9, 9]},
            {"value": 1, "name": "roof", "color": [255, 0, 0]},
        ],
    }
)


def content_of(pixels: dict, palette: dict | None = None) -> MaskContent:
    return MaskContent(pixels, dict.fromkeys(pixels, "a.png"), palette or {})  # type: ignore[arg-type]


def test_values_that_a_legend_lacks_become_classes_with_the_colour_of_the_palette() -> None:
    content = content_of({(0,): 50, (1,): 30, (7,): 15, (300,): 5}, {7: (1, 2, 3)})
    asked: list[str] = []
    legend = extend_legend(
        START, content, lambda question: asked.append(question) or ("tree" if "7" in question else "")
    )
    assert [(entry.value, entry.name) for entry in legend.classes][:3] == [(0, "ground"), (1, "roof"), (7, "tree")]
    assert legend.classes[2].color == (1, 2, 3)
    assert legend.file_values[300] == legend.classes[3].value == 2
    assert "15.0% of the pixels" in asked[0]
    void = extend_legend(START, content_of({(0,): 5, (7,): 5}), lambda _: "Void")
    assert (void.names, dict(void.file_values) or void.void_values) != (START.names, {})


def test_a_colour_of_the_palette_that_a_class_has_is_replaced_by_a_free_one() -> None:
    content = content_of({(7,): 5}, {7: (255, 0, 0), 8: (4, 5, 6)})
    found = _free_colour((7,), START.classes, content)
    assert found not in {(255, 0, 0), (9, 9, 9), (4, 5, 6)}
    assert _free_colour((8,), START.classes, content) == (4, 5, 6)
    assert _free_colour((7, 8, 9), START.classes, content) == (7, 8, 9)


@pytest.mark.parametrize("extra", [0, 1])
def test_unknown_values_are_listed_and_further_ones_counted(extra: int) -> None:
    pixels = {(10 + number,): 1000 - number for number in range(MAX_LISTED + extra)}
    with pytest.raises(InputError, match=r"10 \(1,000 px, e\.g\. a\.png\)") as refused:
        check_known(START, content_of({(0,): 5} | pixels), "own")
    assert (" and 1 more" in str(refused.value)) is bool(extra)
    check_known(START, content_of({(0,): 5, (255,): 3}), "own")


def test_the_table_of_a_legend_has_the_shares_of_classes_and_of_void() -> None:
    rows = describe_legend(START, content_of({(0,): 60, (1,): 30, (255,): 10})).splitlines()
    assert [row.split()[-1] for row in rows] == ["pixels", "60.0%", "30.0%", "10.0%"]
    assert key_text((1, 2, 3)) == "1,2,3"
