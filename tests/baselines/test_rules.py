"""Expert rules: the table as users write it, each rule against a plain loop over pixels, bad tables and missing bands."""

import numpy as np
import pytest
import yaml
from refusals import raises_naming

from deepnets4eo.baselines import ExpertRules
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.rules import RuleTable
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError, LabelError, RunError
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec, Segmenter
from deepnets4eo.tiling import Tiling

LEGEND = Legend.load("dfc2015")
BANDS = {"image": ["red", "green", "blue", "nir"], "dsm": ["height"]}
PUBLISHED = RuleTable.load()


def make_scene(seed=0, shape=(40, 50)):
    rng = np.random.default_rng(seed)
    grey = rng.integers(0, 250, shape)
    image = np.clip(grey + rng.integers(-5, 6, (4, *shape)), 0, 255).astype(np.uint8)
    image[3] = rng.integers(0, 256, shape)
    return Scene.open(image=image, dsm=rng.uniform(43, 56, (1, *shape)).astype(np.float32))


SCENE = make_scene()
INPUTS = InputSpec.measure([SCENE], ("image", "dsm"))
PREPARED = INPUTS.prepare(SCENE.read())


def rules(*listed, otherwise="clutter", **keywords):
    table = RuleTable.from_dict({"rules": list(listed), "otherwise": otherwise})
    return ExpertRules(table, INPUTS, LEGEND, bands=BANDS, **keywords)


def test_the_published_thresholds_are_the_defaults():
    found = {rule["class"]: {key: value for key, value in rule.items() if key != "class"} for rule in PUBLISHED.to_dict()["rules"]}  # fmt: skip
    assert found == {
        "water": {"height": {"below": 45.4}},
        "building": {"height": {"above": 50.5}},
        "impervious": {"colour_range": {"below": 6.0}, "height": {"below": 52.0}},
        "low_vegetation": {"ndvi": {"above": 0.6}},
    }


def test_published_rules_agree_with_a_plain_loop_over_pixels():
    segmenter = ExpertRules(PUBLISHED, INPUTS, LEGEND, bands=BANDS)
    proba = segmenter.predict_proba(PREPARED[None])[0]
    image, height = SCENE.read()["image"].astype(int), SCENE.read()["dsm"][0]
    for row in range(40):
        for col in range(50):
            red, green, blue, near = image[:, row, col]
            index = (near - red) / (near + red) if near + red else np.nan
            if height[row, col] < 45.4:
                expected = "water"
            elif index > 0.6:
                expected = "low_vegetation"
            elif height[row, col] > 50.5:
                expected = "building"
            elif max(red, green, blue) - min(red, green, blue) < 6 and height[row, col] < 52:
                expected = "impervious"
            else:
                expected = "clutter"
            assert proba[:, row, col].tolist() == [float(name == expected) for name in LEGEND.names]


def test_it_is_a_segmenter_whose_margin_is_cut_off():
    segmenter = rules({"class": "water", "height": {"below": 46}}, {"class": "building", "brightness": {"above": 0.5}})
    assert isinstance(segmenter, Segmenter)
    batch = np.stack([PREPARED, PREPARED[:, ::-1].copy()])
    np.testing.assert_array_equal(
        segmenter.predict_classes(batch, margin_px=3), segmenter.predict_classes(batch)[:, 3:-3, 3:-3]
    )


def test_masks_are_each_rule_by_itself_whatever_stands_before_it():
    both = ({"class": "water", "height": {"below": 50}}, {"class": "building", "height": {"below": 48}},
            {"class": "water", "height": {"above": 55}})  # fmt: skip
    segmenter = rules(*both)
    height = SCENE.read()["dsm"]
    masks = segmenter.masks(Bands(height, ("dsm.height",)))
    np.testing.assert_array_equal(masks["water"], (height[0] < 50) | (height[0] > 55))
    np.testing.assert_array_equal(masks["building"], height[0] < 48)


def test_a_list_of_ranges_and_any_of_are_alternatives_and_the_rest_holds_together():
    segmenter = rules({
        "class": "tree", "height": [{"below": 45}, {"above": 50, "below": 54}],
        "any_of": [{"red": {"above": 200}}, {"green": {"below": 60}, "nir": {"above": 100}}],
    })  # fmt: skip
    image, height = SCENE.read()["image"], SCENE.read()["dsm"][0]
    expected = ((height < 45) | ((height > 50) & (height < 54))) & (
        (image[0] > 200) | ((image[1] < 60) & (image[3] > 100))
    )
    np.testing.assert_array_equal(segmenter.predict_classes(PREPARED[None])[0] == LEGEND.index("tree"), expected)
    assert RuleTable.from_dict(segmenter.table.to_dict()) == segmenter.table


def test_whole_numbers_on_a_threshold_stay_on_it():
    """Scaling and back must not move a colour range of 6 below 6."""
    image = np.random.default_rng(1).integers(20, 200, (4, 60, 60), dtype=np.uint8)
    image[1], image[2] = image[0] + 6, image[0] + 3
    scene = Scene.open(image=image, dsm=np.zeros((1, 60, 60), np.float32))
    inputs = InputSpec.measure([scene], ("image", "dsm"))
    table = RuleTable.from_dict(
        {"rules": [{"class": "impervious", "colour_range": {"below": 6}}], "otherwise": "clutter"}
    )
    found = ExpertRules(table, inputs, LEGEND, bands=BANDS).predict_classes(inputs.prepare(scene.read())[None])
    assert (found == LEGEND.index("clutter")).all()


def test_values_that_are_not_known_satisfy_no_rule():
    segmenter = rules({"class": "water", "height": {"below": 46}}, {"class": "building", "height": {"above": 46}})
    height = np.array([[[40, np.nan, 60]]], np.float32)
    masks = segmenter.masks(Bands(height, ("dsm.height",)))
    assert masks["water"].tolist() == [[True, False, False]]
    assert masks["building"].tolist() == [[False, False, True]]
    black = Bands(np.zeros((4, 1, 1), np.float32), tuple(f"image.{name}" for name in BANDS["image"]))
    index = rules({"class": "tree", "ndvi": {"below": 0.5}}, {"class": "water", "ndvi": {"above": -2}}).masks(black)
    assert not index["tree"].any()
    assert not index["water"].any()


def test_near_infrared_may_be_the_lidar_intensity_scaled_like_red():
    names = ("image.red", "image.green", "image.blue", "intensity.intensity")
    span = np.array([[0, 255]] * 3 + [[100, 1100]], np.float32)
    values = np.array([[51.0], [0], [0], [900]], np.float32)[:, :, None]
    bands = Bands(values, names, None, span)
    table = RuleTable.from_dict({"ndvi_band": "intensity", "rules": [{"class": "tree", "ndvi": {"above": 0.59, "below": 0.61}}], "otherwise": "clutter"})  # fmt: skip
    scene = Scene.open(image=np.zeros((3, 9, 9), np.uint8), intensity=np.zeros((1, 9, 9), np.float32))
    spec = InputSpec.measure([scene], ("image", "intensity"))
    assert ExpertRules(table, spec, LEGEND).masks(bands)["tree"].all()  # (0.8 − 0.2) / (0.8 + 0.2)


def test_height_above_ground_is_a_band_or_the_difference_of_two():
    table = RuleTable.load("rules-ndsm.yaml")
    own = Bands(np.array([[[3.0]]], np.float32), ("ndsm.ndsm",))
    two = Bands(np.array([[[103.0]], [[100.0]]], np.float32), ("dsm.height", "dtm.ground"))
    image = np.full((4, 9, 9), 7, np.uint8)
    for layers in ({"ndsm": np.ones((1, 9, 9), np.float32)}, {"dsm": np.ones((1, 9, 9), np.float32), "dtm": np.ones((1, 9, 9), np.float32)}):  # fmt: skip
        spec = InputSpec.measure([Scene.open(image=image, **layers)], ("image", *layers))
        segmenter = ExpertRules(table, spec, Legend.load("isprs"))
        assert segmenter.predict_classes(np.zeros((1, spec.in_channels, 5, 5), np.float32)).shape == (1, 5, 5)
    from deepnets4eo.baselines.rules import height_above_ground

    assert height_above_ground(own).item() == height_above_ground(two).item() == 3


def test_height_alone_is_measured_from_the_lowest_around_it():
    spec = InputSpec.measure(
        [Scene.open(image=np.full((4, 9, 9), 7, np.uint8), dsm=np.ones((1, 9, 9), np.float32))], ("image", "dsm")
    )
    assert ExpertRules(RuleTable.load("rules-ndsm.yaml"), spec, LEGEND).halo_px == 56
    height = np.full((1, 99, 99), 50, np.float32)
    height[0, 40:60, 40:60] += 6
    table = RuleTable.from_dict(
        {"rules": [{"class": "building", "ndsm": {"above": 5, "below": 7}}], "otherwise": "water"}
    )
    mask = ExpertRules(table, spec, LEGEND).masks(Bands(height, ("dsm.height",)))["building"]
    assert mask[40:60, 40:60].all()
    assert mask.sum() == 400


def test_slope_is_the_angle_of_a_plane_and_needs_one_pixel_around():
    segmenter = rules({"class": "water", "height": {"below": 0}})
    assert segmenter.halo_px == 0
    ramp = np.broadcast_to(np.arange(9, dtype=np.float32) * 0.5, (1, 9, 9)).copy()
    from deepnets4eo.baselines.rules import slope

    assert np.allclose(slope(Bands(ramp, ("dsm.height",), 0.5))[:, 1:-1], 45)
    with raises_naming(InputError, "rule 1"):
        rules({"class": "building", "slope": {"above": 20}})


def test_any_band_and_any_column_of_a_feature_can_be_asked_for():
    segmenter = rules({"class": "car", "neighbourhood.mean5.image.red": {"above": 120}, "image.blue": {"above": 99}})
    assert segmenter.halo_px == 5
    tile = segmenter.predict_classes(PREPARED[None], margin_px=5)
    inside = segmenter.predict_classes(PREPARED[None, :, :30, :30].copy(), margin_px=5)
    np.testing.assert_array_equal(tile[0, :20, :20], inside[0])
    with raises_naming(InputError, "1", "'mean5.image.rod'", "mean5.image.red"):
        rules({"class": "car", "neighbourhood.mean5.image.rod": {"above": 120}})


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ({"class": "water", "hieght": {"below": 45}}, r"rule 2 \(water\): unknown key 'hieght'. Did you mean 'height'"),
        ({"class": "water", "height": {"bellow": 45}}, r"rule 2 \(water\): unknown key 'height.bellow'. Did you mean 'below'"),
        ({"class": "water", "height": {"below": "low"}}, r"rule 2 \(water\): height.below is 'low'"),
        ({"class": "water", "height": 45}, r"rule 2 \(water\): height is 45"),
        ({"class": "water", "height": {"above": 5, "below": 4}}, "rule 2 .*takes no value"),
        ({"class": "water", "height": {}}, "rule 2 .*neither above nor below"),
        ({"class": "water"}, "rule 2 .*no condition"),
        ({"class": "water", "any_of": [{"height": {"beloww": 1}}]}, "rule 2 .*Did you mean 'below'"),
        ({"height": {"below": 45}}, "rule 2: class is missing"),
        ("water", "rule 2 is .water."),
    ],
)  # fmt: skip
def test_bad_rules_are_named_by_number_key_and_nearest_key(listed, message):
    with pytest.raises(InputError, match=message):
        RuleTable.from_dict({"rules": [{"class": "tree", "ndvi": {"above": 0}}, listed], "otherwise": "clutter"})


def test_bad_tables_are_refused():
    with pytest.raises(InputError, match="otherwise is missing"):
        RuleTable.from_dict({"rules": [{"class": "tree", "ndvi": {"above": 0}}]})
    with raises_naming(InputError, "'otherwize'", "'otherwise'"):
        RuleTable.from_dict({"rules": [{"class": "tree", "ndvi": {"above": 0}}], "otherwise": "a", "otherwize": "b"})
    with pytest.raises(InputError, match="has a list"):
        RuleTable.from_dict([])
    with pytest.raises(InputError, match="does not exist"):
        RuleTable.load("no-such-rules.yaml")


def test_a_class_that_the_legend_lacks_is_named_with_its_rule():
    with raises_naming(LabelError, "1", '"watter"', "'water'"):
        rules({"class": "watter", "height": {"below": 45}})
    with raises_naming(LabelError, '"rest"'):
        rules({"class": "water", "height": {"below": 45}}, otherwise="rest")


def test_a_missing_band_is_named_with_the_rule_that_needs_it():
    spec = InputSpec.measure([SCENE], ("dsm",))
    with raises_naming(InputError, "2", "low_vegetation"):
        ExpertRules(PUBLISHED, spec, LEGEND)
    left = PUBLISHED.without("low_vegetation", "impervious")
    assert [rule.name for rule in left.rules] == ["water", "building"]
    assert ExpertRules(left, spec, LEGEND).predict_classes(np.zeros((1, 1, 4, 4), np.float32)).shape == (1, 4, 4)


def test_saved_and_restored_it_gives_the_same_bits(tmp_path):
    segmenter = ExpertRules(PUBLISHED, INPUTS, LEGEND, bands=BANDS, tiling=Tiling(64, 4))
    assert segmenter.save(tmp_path) == ["rules.yaml"]
    assert yaml.safe_load((tmp_path / "rules.yaml").read_text())["rules"][0]["class"] == "water"
    again = ExpertRules.restore(tmp_path, segmenter.describe(), INPUTS, LEGEND, segmenter.tiling)
    np.testing.assert_array_equal(again.predict_raw(PREPARED[None]), segmenter.predict_raw(PREPARED[None]))
    (tmp_path / "rules.yaml").write_text("rules: []")
    with pytest.raises(RunError, match="Copy the run again"):
        ExpertRules.restore(tmp_path, segmenter.describe(), INPUTS, LEGEND, segmenter.tiling)
