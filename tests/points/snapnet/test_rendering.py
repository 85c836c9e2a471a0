"""Snapshots of a training: no view to learn from shows what is validated on, and each view is kept as it was rendered."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_field import BUILDING, GROUND, LEGEND, CloudInMemory, make_cloud, write_las
from refusals import raises_naming

from deepnets4eo.cards import VOID, SplitPart
from deepnets4eo.errors import InputError
from deepnets4eo.grid import whole
from deepnets4eo.points.cloud_data import LabelledCloud, PointPart, find_clouds, point_parts, split_clouds
from deepnets4eo.points.snapnet.labeller import check_measured
from deepnets4eo.points.snapnet.recipe import SnapNetRecipe
from deepnets4eo.points.snapnet.training import render_views, without_mixed_faces
from deepnets4eo.points.views import SurfaceOptions, Views, make_surface
from deepnets4eo.points.views.snapshots import ViewLayer
from deepnets4eo.points.views.training import ValidationViews, ViewSamples, ViewStore, ViewWindow, read_view
from deepnets4eo.training import load_recipe

CELL_M = 0.5
RED = 250


def recipe(**data):
    """Few views of a surface with closed walls; four blocks of 20 m, one of them validated on."""
    return SnapNetRecipe.model_validate(
        {
            "data": {"block_m": 10, "buffer_m": 1, "val_share": 0.5, "windows_per_epoch": 8, "num_workers": 0} | data,
            "surface": {"voxel_m": CELL_M},
            "views": {"directions": 8, "area_m2": 800, "distances_m": [12, 20]},
            "model": {"layers": ["image", "composite"]},
            "train": {"batch_size": 4},
        }
    )


def named(cloud):
    return LabelledCloud("field", CloudInMemory(cloud), CELL_M)


@pytest.fixture(scope="module")
def told_apart(tmp_path_factory):
    """Views of a cloud whose withheld points alone are red and are buildings."""
    cloud = make_cloud()
    options = recipe()
    parts = point_parts(split_clouds([named(cloud)], options.data), 0, cloud.xyz[:, :2])
    withheld = parts == PointPart.withheld
    colour = np.where(withheld[:, None], (RED, 0, 0), (0, 0, RED)).astype(np.uint8)
    marked = replace(cloud, colour=colour, classification=np.where(withheld, BUILDING, GROUND).astype(np.uint8))
    return render_views(options, LEGEND, [named(marked)], tmp_path_factory.mktemp("views"))


def test_views_to_learn_from_show_no_face_and_no_label_of_withheld_points(told_apart):
    samples = ViewSamples(told_apart, recipe())
    views = [samples.read(ViewWindow(number)) for number in sorted(set(told_apart.learnt))]
    assert len(views) > 5
    for view in views:
        red = view["image"][0] > 0.4
        assert not red.any()
        assert set(np.unique(view["mask"])) <= {LEGEND.index("ground"), VOID}
        assert (view["mask"] != VOID).any()
    shown = [read_view(told_apart, number, PointPart.withheld)["image"][0] > 0.4 for number in told_apart.learnt]
    assert any(image.any() for image in shown)  # it is hidden, not absent


def test_views_to_validate_on_have_the_labels_of_withheld_points_alone(told_apart):
    batches = list(ValidationViews(told_apart, 4))
    assert sum(len(batch["mask"]) for batch in batches) == len(told_apart.withheld)
    for batch in batches:
        assert set(np.unique(batch["mask"])) <= {LEGEND.index("building"), VOID}
        assert (batch["valid"] | (batch["composite"] == 0).all(axis=1)).all()


def test_training_pixels_are_those_of_the_masks(told_apart):
    masks = [read_view(told_apart, number, PointPart.learnt)["mask"] for number in told_apart.learnt]
    assert told_apart.training_pixels == [sum(int((mask == index).sum()) for mask in masks) for index in range(2)]


def test_an_epoch_shows_every_view_as_often_and_follows_from_its_number(told_apart):
    samples = ViewSamples(told_apart, recipe(windows_per_epoch=2 * len(told_apart.learnt)))
    first = samples.windows(0)
    assert sorted(window.number for window in first) == sorted(2 * told_apart.learnt)
    assert {window.third_factor for window in first} == {1.0}
    assert first == samples.windows(0) != samples.windows(1)


def test_heights_of_views_to_learn_from_are_multiplied_by_factors_of_the_epoch(told_apart):
    samples = ViewSamples(told_apart, recipe(windows_per_epoch=400), 2.0)
    windows = samples.windows(0)
    factors = np.array([window.third_factor for window in windows])
    assert 0.5 <= factors.min() < 0.55
    assert 1.8 < factors.max() <= 2
    assert windows == samples.windows(0)
    plain, high = (samples.read(ViewWindow(windows[0].number, factor)) for factor in (1.0, 1.5))
    third = np.rint((plain["composite"][2] + 0.5) * 255)
    expected = np.minimum(np.rint(third * 1.5), 255) / 255 - 0.5
    shown = plain["valid"]
    np.testing.assert_allclose(high["composite"][2][shown], expected[shown], atol=1e-6)
    np.testing.assert_array_equal(high["composite"][:2], plain["composite"][:2])
    np.testing.assert_array_equal(high["image"], plain["image"])


def test_triangles_of_several_classes_are_not_learnt_from():
    pytest.importorskip("open3d", exc_type=ImportError)
    cloud = make_cloud()
    east = cloud.xyz[:, 0] > np.median(cloud.xyz[:, 0])
    cloud = replace(cloud, classification=np.where(east, BUILDING, GROUND).astype(np.uint8))
    surface = make_surface(cloud, SurfaceOptions(voxel_m=CELL_M, mesh="ball_pivoting"))
    kept = without_mixed_faces(Views(surface)).surface
    mixed = {tuple(face) for face in surface.faces.tolist()} - {tuple(face) for face in kept.faces.tolist()}
    assert 0 < len(mixed) < len(kept.faces)
    assert all(len(set(surface.classes[list(face)])) > 1 for face in mixed)
    assert all(len(set(codes)) == 1 for codes in surface.classes[kept.faces])
    splats = Views.of_cloud(cloud, SurfaceOptions(voxel_m=CELL_M))
    assert without_mixed_faces(splats) is splats


def test_heights_vary_only_where_the_third_band_shows_them():
    varied = ["legend=semantic3d", "views.height_factor=2"]
    for shown in ("height", "height_root"):
        load_recipe("points/snapnet-composite", overrides=[*varied, f"views.third={shown}"])
    with raises_naming(InputError, "views.third"):
        load_recipe("points/snapnet-composite", overrides=varied)


def test_parts_of_points_are_those_of_the_split_as_a_raster():
    cloud, data = make_cloud(), recipe().data
    split = split_clouds([named(cloud)], data)
    grid = split.scenes[0].grid
    rasters = {part: split.mask(0, part, whole(grid)) for part in (SplitPart.train, SplitPart.val)}
    row = np.minimum(((grid.affine.f - cloud.xyz[:, 1]) / CELL_M).astype(int), grid.shape[0] - 1)
    col = ((cloud.xyz[:, 0] - grid.affine.c) / CELL_M).astype(int)
    expected = np.where(
        rasters[SplitPart.val][row, col],
        PointPart.withheld,
        np.where(rasters[SplitPart.train][row, col], PointPart.learnt, PointPart.neither),
    )
    np.testing.assert_array_equal(point_parts(split, 0, cloud.xyz[:, :2]), expected)
    assert {PointPart.learnt, PointPart.withheld, PointPart.neither} == set(expected)


def test_points_without_a_class_are_void_and_unknown_codes_are_refused_or_void(tmp_path):
    cloud = make_cloud()
    codes = cloud.classification.copy()
    codes[:800] = 1
    pieces = list(named(replace(cloud, classification=codes)).pieces(LEGEND, recipe().data, 0.0, tmp_path))
    assert (pieces[0].cloud.classification[:800] == VOID).all()
    assert (pieces[0].cloud.classification[800:] < 2).all()
    codes[:800] = 99
    strange = named(replace(cloud, classification=codes))
    with raises_naming(InputError, "99 (800 points)"):
        list(strange.pieces(LEGEND, recipe().data, 0.0, tmp_path))
    pieces = list(strange.pieces(LEGEND, recipe(unknown_labels="void").data, 0.0, tmp_path))
    assert (pieces[0].cloud.classification[:800] == VOID).all()


def test_clouds_without_labels_to_learn_from_are_refused(tmp_path):
    cloud = make_cloud()
    empty = replace(cloud, classification=np.ones(len(cloud), np.uint8))
    with raises_naming(InputError, "1 clouds"):
        render_views(recipe(), LEGEND, [named(empty)], tmp_path)


def test_clouds_without_colours_are_refused_for_networks_that_see_them():
    with raises_naming(InputError, "'image'", "points/snapnet-composite"):
        check_measured(make_cloud(colours=False), ["image", "composite"])
    check_measured(make_cloud(colours=False), ["composite"])


def test_folders_without_clouds_are_refused(tmp_path):
    with raises_naming(InputError, "--data"):
        find_clouds(recipe().data, CELL_M)
    with raises_naming(InputError, "**/*.laz"):
        find_clouds(recipe(folders=[str(tmp_path)]).data, CELL_M)


def test_clouds_have_names_of_their_own_and_open_once(tmp_path):
    field = write_las(make_cloud(), tmp_path / "field.las")
    for copy in ("field.copy.las", "part/field.las"):
        (tmp_path / copy).parent.mkdir(exist_ok=True)
        (tmp_path / copy).write_bytes(field.read_bytes())
    (tmp_path / "field.laz").write_bytes(field.read_bytes())
    patterns = ["**/*.las", "*.laz", "field*"]
    found = find_clouds(recipe(folders=[str(tmp_path)], clouds=patterns).data, CELL_M)
    assert [named.name for named in found] == ["field-1", "field-2", "field.copy", "part-field"]
    assert len({named.file.path for named in found}) == 4


def test_the_store_returns_what_was_written(tmp_path):
    rng = np.random.default_rng(0)
    written = [
        {
            "image": rng.integers(256, size=(3, 4, 5), dtype=np.uint8),
            ViewLayer.labels: rng.integers(9, size=(4, 5), dtype=np.uint8),
        }
        for _ in range(5)
    ]
    store = ViewStore(tmp_path)
    for number, layers in enumerate(written[:3]):
        assert store.append(layers) == number
    np.testing.assert_array_equal(store.read(2)["image"], written[2]["image"])
    for layers in written[3:]:
        store.append(layers)
    assert len(store) == 5
    for number, layers in enumerate(written):
        for name, layer in layers.items():
            np.testing.assert_array_equal(store.read(number)[name], layer)
    assert list(Path(tmp_path).iterdir()) == []  # the file has no name, and disappears with the process


def test_recipes_that_name_a_layer_twice_are_refused():
    with pytest.raises(InputError, match="expected each layer once"):
        load_recipe("points/snapnet-composite", overrides=["model.layers=[image, image]"])
