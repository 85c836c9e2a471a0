"""The detector learns cars of miniature cities, finds those of another one, and behaves as a segmenter does."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from refusals import raises_naming

from deepnets4eo.baselines import PartDetector
from deepnets4eo.baselines.parts import PartSettings, reference_polygons
from deepnets4eo.baselines.parts.detection import logits
from deepnets4eo.baselines.parts.references import references, training_windows
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.grid import Grid
from deepnets4eo.metrics import evaluate_detections
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, Segmenter
from deepnets4eo.tiling import Tiling

CAR = 4
SIZE = 192
GSD_M = 0.25
SMALL = PartSettings(components=1, headings=4, cell_px=3, scales=(1.0,), rounds=3, max_windows=12)


def car_park(seed, cars=9, size=SIZE):
    """A made-up car park: cars of two colours with dark glass, kerbs and boxes as clutter, all at any heading."""
    rng = np.random.default_rng(seed)
    image = rng.normal(110, 6, (3, size, size))
    labels = np.zeros((size, size), np.uint8)
    rows, cols = np.mgrid[:size, :size] + 0.5
    step = size // 3
    for place in range(9):
        middle = np.array(divmod(place, 3)) * step + step / 2 + rng.uniform(-6, 6, 2)
        heading = rng.uniform(0, np.pi)
        down, right = rows - middle[0], cols - middle[1]
        along = right * np.cos(heading) + down * np.sin(heading)
        across = down * np.cos(heading) - right * np.sin(heading)

        def stamp(length, width, value, along=along, across=across):
            inside = (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2)
            image[:, inside] = value + rng.normal(0, 4, (3, inside.sum()))
            return inside

        if place < cars:
            labels[stamp(18 * rng.uniform(0.93, 1.07), 8, rng.choice([50, 190]))] = CAR
            stamp(11, 6, 20)
            stamp(6, 5.5, rng.choice([60, 180]))
        else:
            stamp(13, 13, rng.choice([50, 190]))
    grid = Grid((size, size), Affine(GSD_M, 0, 400_000, 0, -GSD_M, 5_000_000), "EPSG:32633")
    return Scene(
        {"image": Layer.open(image.clip(0, 255).astype(np.uint8), grid=grid), "labels": Layer.open(labels, grid=grid)}
    )


@pytest.fixture(scope="module")
def legend():
    return Legend.load("isprs")


@pytest.fixture(scope="module")
def training():
    return [car_park(seed, cars) for seed, cars in ((1, 7), (2, 6), (3, 7), (4, 5), (5, 7))]


@pytest.fixture(scope="module")
def detector(training, legend):
    return PartDetector(InputSpec.measure(training), legend, settings=SMALL).fit(training)


def reference_of(scene, legend):
    """Rectangles around the cars of a labelled scene, as `evaluate_detections` takes them."""
    regions = reference_polygons(scene, legend, "car")
    usable = references([scene], legend, "car")[0].usable
    boxes = regions.set_geometry(regions.geometry.minimum_rotated_rectangle())
    return boxes.assign(difficult=~usable)


def test_four_of_five_unseen_cars_are_found_with_few_false_alarms(detector, legend):
    hits = missed = alarms = 0
    for seed in (11, 12, 13):
        scene = car_park(seed, cars=7)
        found = evaluate_detections(detector.detect(scene), reference_of(scene, legend))
        hits, missed, alarms = hits + found.hits, missed + found.missed, alarms + found.false_alarms
    assert hits / (hits + missed) >= 0.8
    assert alarms <= hits / 4


def test_detections_of_less_than_the_minimum_score_are_left_out(detector, legend, monkeypatch):
    scene = car_park(11, cars=7)
    every = detector.detect(scene, min_score=0.01)
    middle = float(every["score"].median())
    monkeypatch.setattr(detector, "settings", replace(detector.settings, min_score=middle))
    kept = detector.detect(scene)
    assert 0 < len(kept) < len(every)
    assert kept["score"].tolist() == every.loc[every["score"] >= middle, "score"].tolist()


def test_the_papers_correlation_score_finds_them_too(training, legend):
    settings = replace(SMALL, score="ncc", rounds=1)
    detector = PartDetector(InputSpec.measure(training), legend, settings=settings).fit(training)
    scene = car_park(11, cars=7)
    found = evaluate_detections(detector.detect(scene), reference_of(scene, legend))
    assert found.recall >= 0.7
    assert found.false_alarms <= 2


def test_mining_lowers_false_alarms(training, legend):
    known = references(training, legend, "car")
    inputs = InputSpec.measure(training)
    detector = PartDetector(inputs, legend, settings=SMALL)
    rng = np.random.default_rng(0)
    windows = training_windows(training, known, inputs, detector.grey, margin_px=24, max_windows=12, rng=rng)
    from deepnets4eo.baselines.parts.mining import TemplateTrainer
    from deepnets4eo.baselines.parts.templates import Shapes

    boxes = np.concatenate([one.boxes[one.usable] for one in windows])
    shapes = Shapes.from_medians(np.median(boxes[:, 2:4], axis=0)[None], SMALL.headings, 3)
    trainer = TemplateTrainer(windows, np.zeros(len(boxes), np.int64), shapes, SMALL, 0)
    first = trainer.fit()
    assert trainer.mine(first) > 0
    second = trainer.fit(first)

    def alarms(bank):
        return sum(
            int((logits(window.cells_at(1.0, 3)[0], bank, SMALL)[template] > -0.5).sum())
            for window in windows
            for template in range(len(shapes))
        )

    assert alarms(second) < alarms(first)


def test_learning_twice_gives_the_same_bits(training, legend, detector):
    again = PartDetector(detector.inputs, legend, settings=SMALL).fit(training)
    assert np.array_equal(again.bank.weights, detector.bank.weights)


def test_a_constant_image_has_no_car(detector):
    grid = Grid((SIZE, SIZE), Affine(GSD_M, 0, 400_000, 0, -GSD_M, 5_000_000), "EPSG:32633")
    values = np.full((3, SIZE, SIZE), 120, np.uint8)
    assert len(detector.detect(Scene({"image": Layer.open(values, grid=grid)}))) == 0


def test_cars_cut_by_tile_edges_are_found_once(detector, legend):
    scene = car_park(21, cars=9)
    whole = detector.detect(scene)
    small = PartDetector(detector.inputs, legend, settings=SMALL, tiling=Tiling(60 + 2 * 48, 48), bank=detector.bank)
    cut = small.detect(scene)
    assert len(whole) >= 7
    assert len(cut) == len(whole)
    best = [
        max(shape.intersection(other).area / shape.union(other).area for other in whole.geometry)
        for shape in cut.geometry
    ]
    assert min(best) > 0.6


def test_boxes_are_in_map_coordinates_with_metres(detector):
    found = detector.detect(car_park(22, cars=7))
    assert found.crs == "EPSG:32633"
    assert found.total_bounds[0] > 399_990
    assert found["length_m"].between(3.5, 5.5).all()
    assert found["score"].between(0.5, 1).all()
    assert (np.diff(found["score"]) <= 0).all()


def test_a_scene_of_half_the_resolution_is_brought_to_that_of_training(detector, legend):
    scene = car_park(23, cars=7)
    image = scene.read(names=["image"])["image"]
    finer = np.repeat(np.repeat(image, 2, axis=1), 2, axis=2).astype(np.uint8)
    grid = Grid((2 * SIZE, 2 * SIZE), Affine(GSD_M / 2, 0, 400_000, 0, -GSD_M / 2, 5_000_000), "EPSG:32633")
    found = detector.detect(Scene({"image": Layer.open(finer, grid=grid)}))
    assert evaluate_detections(found, reference_of(scene, legend)).recall >= 0.6


def test_as_a_segmenter_it_paints_the_probability_of_its_boxes(detector, legend):
    assert isinstance(detector, Segmenter)
    sample = car_park(24, cars=7).read(names=["image"])
    batch = detector.inputs.prepare(sample)[None]
    chance = detector.predict_proba(batch)
    assert chance.shape == (1, 6, SIZE, SIZE)
    assert np.allclose(chance.sum(axis=1), 1, atol=1e-6)
    car = legend.index("car")
    others = np.delete(chance[0], car, axis=0)
    assert np.array_equal(others, np.broadcast_to(others[:1], others.shape))
    assert ((detector.predict_classes(batch)[0] == car) == (chance[0, car] > 0)).all()
    assert np.array_equal(detector.predict_proba(batch, margin_px=10), chance[:, :, 10:-10, 10:-10])


def test_a_damaged_file_of_templates_is_refused(tmp_path, detector, legend):
    detector.save(tmp_path)
    path = tmp_path / "templates.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RunError, match="cannot be read"):
        PartDetector.restore(tmp_path, detector.describe(), detector.inputs, legend, detector.tiling)


def test_boxes_may_come_from_a_vector_layer(training, legend, detector):
    layers = [reference_polygons(scene, legend, "car").to_crs("EPSG:4326") for scene in training]
    bare = [Scene({"image": scene.layers["image"]}) for scene in training]
    from_layers = references(bare, legend, "car", layers)
    from_labels = references(training, legend, "car")
    for one, other in zip(from_layers, from_labels, strict=True):
        assert np.allclose(one.boxes[:, :4], other.boxes[:, :4], atol=0.3)
    with raises_naming(InputError, "4 layers"):
        references(bare, legend, "car", layers[:4])


def test_outlines_without_a_geometry_are_left_out(training, legend):
    scene = training[0]
    layer = reference_polygons(scene, legend, "car")
    nothing = [None, shapely.Polygon(), shapely.MultiPolygon()]
    padded = gpd.GeoDataFrame(geometry=[*nothing, *layer.geometry, *nothing], crs=layer.crs)
    (plain,), (found,) = (references([scene], legend, "car", [one]) for one in (layer, padded))
    assert len(plain.boxes) == 7
    np.testing.assert_array_equal(found.boxes, plain.boxes)
    np.testing.assert_array_equal(found.usable, plain.usable)
    with raises_naming(InputError, "'car'", "'isprs'"):
        references([scene], legend, "car", [gpd.GeoDataFrame(geometry=nothing, crs=layer.crs)])


def test_scenes_without_the_class_are_refused(legend):
    empty = car_park(31, cars=0)
    with raises_naming(InputError, "'car'"):
        PartDetector(InputSpec.measure([empty]), legend).fit([empty])
    with pytest.raises(InputError, match="is no class"):
        PartDetector(InputSpec.measure([empty]), legend, class_name="tram")


def test_scenes_whose_only_cars_touch_the_edge_are_refused(legend):
    scene = car_park(32, cars=0)
    layer = gpd.GeoDataFrame(geometry=[shapely.box(399_999, 4_999_990, 400_003, 4_999_992)], crs="EPSG:32633")
    with pytest.raises(InputError, match="touch"):
        PartDetector(InputSpec.measure([scene]), legend).fit([scene], outlines=[layer])


def test_nothing_is_detected_before_learning(legend, training):
    with pytest.raises(InputError, match="fit"):
        PartDetector(InputSpec.measure(training), legend).detect(training[0])


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"components": 0}, "components"),
        ({"scales": ()}, "scales"),
        ({"score": "ncc", "parts": 4}, "parts"),
        ({"penalty": 0}, "penalty"),
    ],
)
def test_settings_out_of_range_are_named(wrong, word):
    with pytest.raises(InputError, match=word):
        PartSettings(**wrong)


def test_settings_survive_a_card_and_unknown_ones_are_named():
    assert PartSettings.from_dict(SMALL.to_dict()) == SMALL
    with raises_naming(InputError, "'component'"):
        PartSettings.from_dict({"component": 3})
