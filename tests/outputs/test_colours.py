"""Colours of regions and dots stand out from the surfaces of the pages: a contrast of 3 in the dark, as WCAG 2.2 asks of graphics."""

import re

import numpy as np
import pytest

from deepnets4eo.change.page import COLOURS as OF_CHANGES
from deepnets4eo.damage.comparison.report import CLASSES
from deepnets4eo.floods.page import COLOURS as OF_WATER
from deepnets4eo.outputs import COLOURS, asset_text

SHEET = asset_text("deepnets4eo.outputs", COLOURS)


def rgb(code):
    return tuple(int(code[at : at + 2], 16) for at in (1, 3, 5))


def luminance(colour):
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in np.array(colour) / 255]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


DARK = rgb(re.search(r"prefers-color-scheme: dark.*?--surface: (#\w{6})", SHEET, re.S)[1])
OF_DIFFERENCES = [colour for _, colour in CLASSES]


def test_contrast_is_that_of_known_pairs():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("colour", [*OF_WATER.values(), *OF_CHANGES, *OF_DIFFERENCES])
def test_regions_and_differences_are_seen_in_the_dark(colour):
    assert contrast(colour, DARK) >= 3


def test_each_text_colour_is_readable_on_each_surface_in_both_modes():
    for mode in re.findall(r":root \{(.*?)\}", SHEET, re.S)[:2]:
        named = dict(re.findall(r"--(\w+): (#\w{3,6})", mode))
        shades = {
            name: rgb(code if len(code) == 7 else "#" + "".join(2 * letter for letter in code[1:]))
            for name, code in named.items()
        }
        for ground in ("ground", "surface", "raised"):
            for text in ("ink", "soft", "accent", "good"):
                assert contrast(shades[text], shades[ground]) >= 4.5, (text, ground)
