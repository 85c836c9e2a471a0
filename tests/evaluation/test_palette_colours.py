"""Palettes of label rasters that give the colours of a legend to other values than the legend does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from deepnets4eo.cards import Legend
from deepnets4eo.evaluation.label_reader import palette_colours

RED, GREEN, BLUE, VOID = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
CLASSES = [
    {"value": 0, "name": "a", "color": list(RED)}, {"value": 1, "name": "b", "color": list(GREEN)}, {"value": 2, "name": "c", "color": list(BLUE)},
]  # fmt: skip
LEGEND = Legend.from_dict({"name": "three", "void_color": list(VOID), "classes": CLASSES})


@pytest.mark.parametrize(
    ("table", "by_colour"),
    [
        (None, False),
        ({0: RED, 1: GREEN, 2: BLUE}, False),  # as the legend
        ({0: VOID, 1: RED, 2: GREEN, 3: BLUE}, True),  # each class at the next number
        ({0: VOID, 7: RED, 9: (9, 9, 9)}, False),  # one colour alone may be by chance
        ({0: VOID, 7: RED}, True),  # unless there is no other
        ({0: VOID, 7: RED, 8: GREEN, 9: (9, 9, 9)}, True),
        ({0: RED, 1: GREEN, 9: BLUE}, True),
        ({0: RED, 1: GREEN}, False),
        ({5: (9, 9, 9)}, False),
    ],
)
def test_a_palette_counts_if_it_has_colours_of_the_legend_at_other_numbers(table: Any, by_colour: bool) -> None:
    layer: Any = SimpleNamespace(palette=table)
    colours = palette_colours(layer, LEGEND)
    assert (colours is not None) is by_colour
    if colours is not None:
        for number, colour in table.items():
            assert tuple(colours[:, number].tolist()) == colour
        assert colours.shape == (3, 256)
        assert not colours[:, [n for n in range(256) if n not in table]].any()
