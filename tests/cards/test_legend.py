"""Legends: colours and values there and back, names across label orders, and clear refusals."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, strategies as st
from refusals import raises_naming

from deepnets4eo.cards import VOID, Legend, LegendClass
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.files import write_yaml

ISPRS = Legend.load("isprs")


def by_loop(legend: Legend, image: np.ndarray) -> np.ndarray:
    """The plain way: one comparison a colour."""
    labels = np.full(image.shape[1:], VOID, np.uint8)
    for one in legend.classes:
        labels[(image == np.array(one.color)[:, None, None]).all(axis=0)] = one.value
    return labels


@pytest.mark.parametrize("name", Legend.available())
def test_every_shipped_legend_survives_dict_and_yaml_and_colours(name, tmp_path):
    legend = Legend.load(name)
    assert legend.name == name
    assert legend.title
    assert Legend.from_dict(legend.to_dict()) == legend
    assert Legend.load(write_yaml(tmp_path / "card.yaml", legend.to_dict())) == legend
    labels = np.array([[*legend.values, VOID]], np.uint8)
    np.testing.assert_array_equal(legend.encode(legend.decode(labels)), labels)


@pytest.mark.parametrize(
    ("order", "lookup"),
    [
        ("isprs", [0, 1, 2, 3, 4, 5, VOID]),
        ("isprs-torchgeo", [5, 0, 1, 2, 3, 4, VOID]),
        ("isprs-mmseg", [VOID, 0, 1, 2, 3, 4, 5]),
        ("isprs-delta", [1, 3, 4, 2, 0, 5, VOID]),
    ],
)
def test_the_four_isprs_label_orders_become_one(order, lookup):
    there = Legend.load(order).remap_to(ISPRS)
    assert there[:7].tolist() == lookup
    back = ISPRS.remap_to(Legend.load(order))
    np.testing.assert_array_equal(there[back[np.arange(6)]], np.arange(6))


def test_water_and_boats_are_clutter_in_the_isprs_legend():
    assert Legend.load("dfc2015").remap_to(ISPRS)[:8].tolist() == [0, 1, 2, 3, 4, 5, 5, 5]
    assert Legend.load("minicity").names == Legend.load("dfc2015").names


def test_damage_grades_cross_over_between_agencies():
    xbd = Legend.load("xbd")
    assert xbd.names == ("no-damage", "minor-damage", "major-damage", "destroyed")
    assert xbd.remap_to(Legend.load("cems_damage"))[:4].tolist() == [0, 1, 2, 3]
    assert xbd.remap_to(Legend.load("bright"))[:4].tolist() == [1, 2, 2, 3]
    assert xbd.remap_to(Legend.load("unosat_damage"))[:4].tolist() == [VOID, 4, 2, 1]
    assert Legend.load("unosat_damage").remap_to(xbd)[1:5].tolist() == [3, 2, 2, 1]
    assert Legend.load("xbd-targets").remap_to(xbd)[:5].tolist() == [VOID, 0, 1, 2, 3]


def test_a_class_without_counterpart_is_an_error_without_missing_void():
    with raises_naming(LabelError, '"dfc2015"', '"isprs-delta"'):
        Legend.load("dfc2015").remap_to(Legend.load("isprs-delta"))
    lookup = Legend.load("dfc2015").remap_to(Legend.load("isprs-delta"), missing="void")
    assert lookup[6:8].tolist() == [VOID, VOID]


@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(1, 40))
def test_encoding_equals_a_comparison_per_colour(seed, height, width):
    labels = np.random.default_rng(seed).choice([*ISPRS.values, VOID], (height, width)).astype(np.uint8)
    image = ISPRS.decode(labels)
    np.testing.assert_array_equal(ISPRS.encode(image), labels)
    np.testing.assert_array_equal(by_loop(ISPRS, image), labels)


def test_encoding_takes_strided_images():
    labels = np.tile(np.arange(6, dtype=np.uint8), (8, 2))
    image = np.ascontiguousarray(ISPRS.decode(labels).transpose(1, 2, 0)).transpose(2, 0, 1)[:, ::2]
    np.testing.assert_array_equal(ISPRS.encode(image), labels[::2])


def test_unknown_colours_are_listed_with_their_counts():
    image = ISPRS.decode(np.zeros((4, 4), np.uint8))
    image[:, 0, :3] = np.array([1, 2, 3])[:, None]
    image[:, 1, 0] = (9, 9, 9)
    with raises_naming(LabelError, "2 colours", "(1, 2, 3)", "(9, 9, 9)"):
        ISPRS.encode(image)
    labels = ISPRS.encode(image, unknown="void")
    assert (labels == VOID).sum() == 4


def test_masks_with_jpeg_noise_and_masks_in_other_colours_are_told_apart():
    labels = np.random.default_rng(0).integers(0, 6, (40, 40)).astype(np.uint8)
    image = ISPRS.decode(labels)
    noisy = (image + np.random.default_rng(1).normal(0, 8, image.shape)).clip(0, 255).astype(np.uint8)
    with raises_naming(LabelError, "within 48"):
        ISPRS.encode(noisy)
    with pytest.raises(LabelError, match="the classes are listed with other colours than the masks have"):
        ISPRS.encode(image // 2 + 60)
    one = image.copy()
    one[:, 0, 0] = 1, 2, 3
    with pytest.raises(LabelError, match="Choose the legend that has them"):
        ISPRS.encode(one)


def test_a_legend_of_all_255_classes_is_encoded_and_unknown_colours_are_listed():
    legend = Legend("full", tuple(LegendClass(v, f"class {v}", (v, 255 - v, 7)) for v in range(VOID)), (9, 9, 9))
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = legend.decode(labels)
    np.testing.assert_array_equal(legend.encode(image), labels)
    image[:, 0, :2] = 1
    with raises_naming(LabelError, "1", '"full"', "2"):
        legend.encode(image)
    assert legend.encode(image, unknown="void")[0].tolist() == [VOID, VOID, *range(2, 16)]


def test_an_image_that_is_not_rgb_bytes_is_refused():
    with raises_naming(LabelError, "3", "uint8"):
        ISPRS.encode(np.zeros((4, 5, 5), np.uint8))
    with raises_naming(LabelError, "float32"):
        ISPRS.encode(np.zeros((3, 5, 5), np.float32))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_values_that_are_no_class_are_listed_with_the_file(dtype):
    ISPRS.check(np.array([[0, 5, VOID]], dtype))
    with raises_naming(LabelError, "roof.tif", '"isprs"', "7", "2", "6", "1"):
        ISPRS.check(np.array([[0, 6, 7, 7]], dtype), "roof.tif")


def test_void_values_of_a_source_pass_the_check_and_become_void():
    mmseg = Legend.load("isprs-mmseg")
    mmseg.check(np.array([0, 1, 6, VOID]))
    assert mmseg.to_index()[[0, 1, 6, 7]].tolist() == [VOID, 0, 5, VOID]
    assert mmseg.from_index()[[0, 5, 6, VOID]].tolist() == [1, 6, VOID, VOID]


def test_names_are_found_by_alias_in_any_spelling():
    assert ISPRS.index("Low Vegetation") == ISPRS.index("low_veg") == ISPRS.index("low-vegetation") == 2
    assert Legend.load("unosat_damage").value("severe") == 2
    assert Legend.load("unosat_damage").index("severe") == 1
    assert Legend.load("xbd").value("un-classified") == VOID
    assert Legend.load("cems_damage").value("Not Analysed") == VOID
    with raises_naming(LabelError, "'building'"):
        ISPRS.index("bilding")


def test_the_qgis_style_has_an_entry_for_each_class_and_for_void():
    legend = Legend("odd", (LegendClass(3, 'a<b & "c"', (1, 2, 3)),))
    entries = list(ElementTree.fromstring(legend.qml().split("\n", 1)[1]).iter("paletteEntry"))
    assert [entry.attrib for entry in entries] == [
        {"value": "3", "color": "#010203", "alpha": "255", "label": 'a<b & "c"'},
        {"value": "255", "color": "#000000", "alpha": "0", "label": "void"},
    ]


def test_the_colour_table_covers_classes_and_transparent_void():
    table = ISPRS.color_table()
    assert table[4] == (255, 255, 0, 255)
    assert table[VOID] == (0, 0, 0, 0)
    assert ISPRS.category_names()[4] == "car"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": []}, "has no classes"),
        ({"colour": 1}, 'unknown key "colour"'),
        ({"void_color": [255, 255, 255]}, "the color .*255, 255, 255.* twice"),
        ({"void_color": [0, 0]}, "is not three integers"),
        ({"void_color": [0, 0, 256]}, r"has colour \(0, 0, 256\); expected three integers 0–255"),
        ({"void_color": [-1, 0, 0]}, r"has colour \(-1, 0, 0\)"),
        ({"classes": [{"value": 0, "name": "x", "color": [1, 256, 3]}]}, r"has colour \(1, 256, 3\)"),
        ({"classes": [{"value": 0, "name": "x", "color": [1, -1, 3]}]}, r"has colour \(1, -1, 3\)"),
        ({"classes": [{"value": -1, "name": "x", "color": [1, 2, 3]}]}, "has value -1; label values are 0–254"),
        ({"classes": [{"value": 255, "name": "x", "color": [1, 2, 3]}]}, "has value 255; label values are 0–254"),
        ({"void_values": [3]}, "the value 3 twice"),
        ({"void_values": [255]}, "label values are 0–254"),
        ({"void_names": ["Trees"]}, "the name trees twice"),
        ({"void_values": 0.5}, "void_values is 0.5, expected a list"),
        ({"classes": "all"}, "classes is 'all', expected a list"),
        ({"classes": [{"value": "one", "name": "x", "color": [1, 2, 3]}]}, "value 'one', expected an integer"),
        (
            {"classes": [{"value": 1, "name": "x", "color": [1, 2, 3], "aliases": "y"}]},
            "aliases is 'y', expected a list",
        ),
        ({"remaps": {"xbd": "same"}}, "expected {other legend: {own class: its class}}"),
    ],
)
def test_a_bad_card_is_refused_with_what_is_wrong(change, message):
    with pytest.raises(InputError, match=message):
        Legend.from_dict(ISPRS.to_dict() | change, where="card.yaml")


def test_the_ends_of_the_byte_are_allowed_as_values_and_colours():
    ends = (LegendClass(0, "first", (255, 255, 255)), LegendClass(254, "last", (0, 255, 0)))
    legend = Legend("ends", ends, void_color=(0, 0, 0))
    labels = np.array([[0, 254, VOID]], np.uint8)
    np.testing.assert_array_equal(legend.encode(legend.decode(labels)), labels)


def test_a_card_that_is_no_mapping_or_lacks_a_key_is_refused(tmp_path):
    with pytest.raises(InputError, match="got list, expected a mapping"):
        Legend.load(write_yaml(tmp_path / "list.yaml", [1, 2]))
    with raises_naming(InputError, '"classes"'):
        Legend.load(write_yaml(tmp_path / "bare.yaml", {"name": "bare"}))


@pytest.mark.real_data
def test_the_real_vaihingen_crop_fits_the_stored_order(real_data):
    import rasterio

    folder = real_data / "isprs_vaihingen_crop"
    with rasterio.open(next(path for path in sorted(folder.rglob("*.png")) if "ann" in str(path).lower())) as file:
        labels = file.read(1)
    mmseg = Legend.load("isprs-mmseg")
    mmseg.check(labels, "the crop")
    places = mmseg.remap_to(ISPRS)[labels]
    np.testing.assert_array_equal(places[labels > 0], labels[labels > 0] - 1)
    assert (places[labels == 0] == VOID).all()


def test_remaps_in_cards_name_real_classes():
    for name in Legend.available():
        legend = Legend.load(name)
        for other, names in legend.remaps.items():
            target = Legend.load(other)
            for own, theirs in names.items():
                legend.index(own)
                target.value(theirs)


def test_class_names_with_control_characters_are_refused():
    """They would reach terminals, and XML of styles, which cannot hold them."""
    for name in ("roof\x1b[31m", "roof\nroad", "roof\u202e"):
        card = {"name": "own", "classes": [{"value": 0, "name": name, "color": [0, 0, 0]}]}
        with pytest.raises(InputError, match="control characters"):
            Legend.from_dict(card)


def test_values_out_of_range_have_the_colour_of_void() -> None:
    legend = Legend.load("isprs")
    colors = legend.decode(np.array([[-252, 300, -1, 4]], np.int16))
    assert colors[:, 0].T.tolist() == [list(legend.void_color)] * 3 + [list(legend.classes[4].color)]


def test_options_that_are_misspelt_are_refused() -> None:
    legend = Legend.load("isprs")
    with raises_naming(InputError, "'viod'", "'void'"):
        legend.encode(np.zeros((3, 2, 2), np.uint8), unknown="viod")
    with raises_naming(InputError, "'errror'", "'error'"):
        legend.remap_to(legend, missing="errror")
