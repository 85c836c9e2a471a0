"""Without footprints the buildings come from a segmenter, through the same job."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from sklearn.linear_model import LogisticRegression

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.damage import Settings, buildings_of
from deepnets4eo.damage.network.find_buildings import join_pieces
from deepnets4eo.damage.network.unsure_outlines import MIN_PROBABILITY, unsure_outlines
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import read_json
from deepnets4eo.footprints import Footprints
from deepnets4eo.grid import Grid, whole
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.prediction import PredictOptions
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.segmenters import InputSpec, LayerInput, load_run
from deepnets4eo.segmenters.any_size import WORLD_TASK
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling

ROOFS = [(20, 20, 24, 36), (30, 100, 40, 24), (100, 40, 28, 50), (120, 130, 36, 36)]  # row, col, height, width in px
GRID = Grid((192, 192), Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000), "EPSG:32615")


def view(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Image (3, H, W) uint8 of bright roofs on dark textured ground, and its labels."""
    rng = np.random.default_rng(seed)
    texture = np.kron(np.random.default_rng(1).integers(0, 60, (48, 48)), np.ones((4, 4)))
    image, labels = np.tile(40 + texture, (3, 1, 1)), np.zeros(GRID.shape, np.uint8)
    for row, col, height, width in ROOFS:
        image[:, row : row + height, col : col + width] = [[[215]], [[180]], [[170]]]
        labels[row : row + height, col : col + width] = 1
    return np.clip(image + rng.normal(0, 4, image.shape), 1, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    for name, seed in (("pre", 2), ("post", 3)):
        with CogWriter(folder / f"{name}.tif", GRID, count=3) as file:
            file.write(whole(GRID), view(seed)[0])
    image, labels = view(2)
    scene = Scene({"image": Layer.open(image, grid=GRID), "labels": Layer.open(labels, grid=GRID)})
    segmenter = PixelClassifier(
        LogisticRegression(), InputSpec.measure([scene]), Legend.load("isprs"), tiling=Tiling(96, 0)
    )
    save_run(segmenter.fit([scene], max_pixels=800), folder / "run")
    return folder


def test_roofs_that_a_run_sees_become_right_angled_outlines(case: Path, tmp_path: Path) -> None:
    found = buildings_of(case / "run", Layer.open(case / "pre.tif"), tmp_path / "labels.tif")
    assert sorted(found["area_m2"]) == pytest.approx(sorted(h * w / 4 for _, _, h, w in ROOFS), rel=0.03)
    assert found.geometry.count_coordinates().tolist() == [5] * 4
    assert found.crs.to_epsg() == 32615


def test_the_job_runs_without_footprints(case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["damage", str(case / "pre.tif"), str(case / "post.tif"), "-", "--set", f"segmenter={case / 'run'}"]
    out = tmp_path / "out"
    assert main([*arguments, "--out", str(out), "--dry-run"]) == 0
    assert "would be assessed" in capsys.readouterr().out
    assert main([*arguments, "--out", str(out)]) == 0
    assert len(gpd.read_file(out / "damage.gpkg", layer="buildings")) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert str(case / "run") in (out / "manifest.json").read_text()


def test_a_map_from_the_image_after_alone_says_that_destroyed_buildings_are_missing(case: Path, tmp_path: Path) -> None:
    arguments = ["damage", "-", str(case / "post.tif"), "-", "--set", f"segmenter={case / 'run'}"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    summary = read_json(tmp_path / "out" / "summary.json")
    assert "outlines_after_event" in [finding["code"] for finding in summary["findings"]]
    assert (
        "destroyed buildings, which the image after the event no longer shows, are not counted" in summary["headline"]
    )
    destroyed = summary["by_grade"]["destroyed"]
    assert (destroyed["count"], destroyed["interval_95"], destroyed["expected"]) == (None, None, None)
    assert "does not show destroyed buildings" in destroyed["reason"]
    assert summary["estimates"]["buildings"]["destroyed"] is None
    bare = gpd.read_file(tmp_path / "out" / "damage.gpkg", layer="imaged_without_outlines").geometry.union_all()
    outlines = gpd.read_file(tmp_path / "out" / "damage.gpkg", layer="buildings").geometry.union_all()
    assert 5 < bare.distance(outlines) < 20  # rubble between buildings is hatched, too


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_images_of_different_places_are_refused_before_buildings_are_looked_for(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    far = Grid(GRID.shape, Affine(0.5, 0, 600_000, 0, -0.5, 4_000_000), GRID.crs)
    with CogWriter(tmp_path / "far.tif", far, count=3) as file:
        file.write(whole(far), view(4)[0])
    monkeypatch.setattr(
        "deepnets4eo.damage.network.find_buildings.load_run", lambda _: pytest.fail("looked for buildings")
    )
    arguments = ["damage", str(case / "pre.tif"), str(tmp_path / "far.tif"), "-", "--set", f"segmenter={case / 'run'}"]
    assert main([*arguments, "--out", str(tmp_path / "out"), *options]) == 2
    assert "do not overlap" in " ".join(capsys.readouterr().err.split())


def test_a_pre_image_taken_as_registered_that_is_not_there_is_refused_before_buildings_are_looked_for(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "deepnets4eo.damage.network.find_buildings.load_run", lambda _: pytest.fail("looked for buildings")
    )
    arguments = [
        "damage",
        "-",
        str(case / "post.tif"),
        "-",
        "--set",
        f"segmenter={case / 'run'}",
        "--assume-registered",
    ]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert "but there is none" in " ".join(capsys.readouterr().err.split())


def test_a_killed_job_does_not_look_for_the_buildings_again(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["damage", str(case / "pre.tif"), str(case / "post.tif"), "-", "--set", f"segmenter={case / 'run'}",
                 "--water", "none", "--out", str(tmp_path / "out")]  # fmt: skip

    def killed(*_positional: object, **_named: object) -> None:
        raise KeyboardInterrupt

    predicted = []
    with monkeypatch.context() as patch:
        patch.setattr("deepnets4eo.registration.pair.register", killed)
        assert main(arguments) == 130
    monkeypatch.setattr("deepnets4eo.prediction.predict", lambda *_, **__: predicted.append(1))
    assert main([*arguments, "--resume"]) == 0
    assert predicted == []
    assert len(gpd.read_file(tmp_path / "out" / "damage.gpkg", layer="buildings")) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_how_sure_the_network_was_of_an_outline_is_evidence_that_decides_nothing(case: Path, tmp_path: Path) -> None:
    found = buildings_of(case / "run", Layer.open(case / "pre.tif"), tmp_path / "labels.tif")
    for name, probabilities in (("sure", ["0.9", "0.8", "0.95", "unknown"]), ("other", None)):
        table = found if probabilities is None else found.assign(building_prob=probabilities)
        table.to_file(tmp_path / f"{name}.gpkg")
        images = [str(case / "pre.tif"), str(case / "post.tif")]
        assert main(["damage", *images, str(tmp_path / f"{name}.gpkg"), "--out", str(tmp_path / name)]) == 0
    sure, other = (
        gpd.read_file(tmp_path / name / "damage.gpkg", layer="buildings").set_index("id").sort_index()
        for name in ("sure", "other")
    )
    assert sure["ev_building"].tolist() == pytest.approx([0.9, 0.8, 0.95, np.nan], nan_ok=True)
    assert "ev_building" not in other
    assert sure["damage_prob"].tolist() == other["damage_prob"].tolist()
    assert "not in the decision" in (tmp_path / "sure" / "summary.json").read_text()


def test_both_footprints_and_a_segmenter_are_refused(case: Path, tmp_path: Path, capsys) -> None:
    images = [str(case / "pre.tif"), str(case / "post.tif")]
    assert (
        main(["damage", *images, "a.gpkg", "--set", f"segmenter={case / 'run'}", "--out", str(tmp_path / "out")]) == 2
    )


def test_an_image_without_buildings_or_with_other_bands_is_refused(case: Path, tmp_path: Path) -> None:
    ground = np.full((3, 96, 96), 60, np.uint8) + np.random.default_rng(0).integers(0, 40, (3, 96, 96), np.uint8)
    grid = Grid((96, 96), GRID.affine, GRID.crs)
    with pytest.raises(InputError, match="finds no building"):
        buildings_of(case / "run", Layer.open(ground, grid=grid), tmp_path / "labels.tif")
    with pytest.raises(RunError, match="bands"):
        buildings_of(case / "run", Layer.open(ground[:2], grid=grid), tmp_path / "labels.tif")


class PaintedRun:
    """A run with borders whose prediction is painted: two houses that touch, one alone, and a shed."""

    recipe: dict = {}
    legend = Legend.load("buildings")


def paint_prediction(_run: object, _image: object, path: Path, _options: object, *, progress: object) -> None:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[20:40, 20:60] = 1
    labels[20:40, 38:42] = 2
    labels[100:140, 100:130] = 1
    labels[160:166, 160:166] = 1
    with CogWriter(path, GRID, count=1) as file:
        file.write(whole(GRID), labels[None])


def test_touching_houses_are_two_where_the_run_knows_their_border(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepnets4eo.damage.network.find_buildings.load_run", lambda _: PaintedRun)
    monkeypatch.setattr("deepnets4eo.prediction.predict", paint_prediction)
    found = buildings_of("painted", Layer.open(case / "pre.tif"), tmp_path / "labels.tif")
    assert sorted(found["area_m2"].round()) == [100, 100, 300]
    assert found["id"].tolist() == ["1", "2", "3"]
    assert found.geometry.area.to_numpy() == pytest.approx(found["area_m2"].to_numpy(), rel=1e-6)
    assert found.iloc[0].geometry.intersection(found.iloc[1].geometry).area < 0.1


def test_a_small_outline_along_a_larger_one_is_a_piece_of_its_roof() -> None:
    roof, other = shapely.box(0, 0, 20, 20), shapely.box(40, 0, 60, 20)
    strip, corner = (
        shapely.box(20.5, 0, 24, 20),
        shapely.box(60.5, 18, 72, 30),
    )  # along a whole side, beside two metres of one
    between, pieces = join_pieces(np.array([roof, strip, other, corner, shapely.box(20.5, 30, 40.5, 50)], object))
    assert pieces.tolist() == [False, True, False, False, False]
    assert between[0].area == pytest.approx(24 * 20, abs=1)
    assert between[2:4].tolist() == [other, corner]


def test_pieces_between_two_roofs_never_make_one_of_both() -> None:
    left, right, piece = shapely.box(0, 0, 20, 20), shapely.box(24, 0, 46, 20), shapely.box(20, 0, 24, 20)
    whole, pieces = join_pieces(np.array([left, right, piece], object))
    assert pieces.tolist() == [False, False, True]
    assert sorted(round(area) for area in shapely.area(whole[:2])) in ([400, 520], [440, 480])
    assert join_pieces(np.zeros(0, object))[1].tolist() == []


class PaintedBoxRun(PaintedRun):
    """The same as if it came with the toolbox."""

    recipe: dict = {"task": WORLD_TASK}
    inputs = InputSpec({"image": LayerInput.display_rgb}, GRID.affine.a)


def test_outlines_that_the_network_in_the_box_is_not_sure_of_are_left_out(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted = []

    def paint(run: object, image: object, path: Path, options: PredictOptions, *, progress: object) -> None:
        paint_prediction(run, image, path, options, progress=progress)
        shares = np.zeros((3, *GRID.shape), np.uint8)
        shares[1, 20:40, 20:60] = 210
        shares[1:, 20:40, 38:42] = [[[100]], [[110]]]  # together as sure as the houses on both sides
        shares[1, 100:140, 100:130] = 150  # sure by 0.67 on the whole
        shares[1, 100:110, 100:130] = 230
        shares[0] = 254 - shares[1:].sum(axis=0)
        assert options.probabilities is not None
        with CogWriter(options.probabilities, GRID, count=3) as file:
            file.write(whole(GRID), shares)
        predicted.append(path)

    monkeypatch.setattr("deepnets4eo.damage.network.find_buildings.load_run", lambda _: PaintedBoxRun)
    monkeypatch.setattr("deepnets4eo.prediction.predict", paint)
    options = PredictOptions(resume=True, scratch=True)
    for _ in range(2):  # the second time from the files of the first
        found = buildings_of("painted", Layer.open(case / "pre.tif"), tmp_path / "labels.tif", options=options)
        assert found["area_m2"].round().tolist() == [100, 100]
        assert found["id"].tolist() == ["1", "2"]
        assert found["building_prob"].to_numpy() == pytest.approx([210 / 254, 210 / 254], abs=0.01)
    assert len(predicted) == 1
    (tmp_path / "labels_probabilities.tif").unlink()
    buildings_of("painted", Layer.open(case / "pre.tif"), tmp_path / "labels.tif", options=options)
    assert len(predicted) == 2
    kept = buildings_of("painted", Layer.open(case / "pre.tif"), tmp_path / "more.tif", keep_unsure=True)
    sure = (kept["building_prob"] >= MIN_PROBABILITY).to_numpy()
    assert sure.tolist() == sorted(sure, reverse=True)  # the others follow
    assert kept[sure].geometry.tolist() == found.geometry.tolist()
    assert (~sure).any()
    table = Footprints(kept, attributes=kept)
    assert unsure_outlines(table, Settings(segmenter="painted")).tolist() == (~sure).tolist()
    assert not unsure_outlines(table, Settings()).any()  # outlines that were given


def test_labels_without_their_probabilities_are_made_again_on_resuming(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_any_size = replace(load_run(case / "run"), recipe={"task": WORLD_TASK})
    monkeypatch.setattr("deepnets4eo.damage.network.find_buildings.load_run", lambda _: of_any_size)
    image, labels = Layer.open(case / "pre.tif"), tmp_path / "labels.tif"
    outlines = buildings_of("any", image, labels, options=PredictOptions(resume=True))
    assert len(outlines) == len(ROOFS)
    (tmp_path / "labels_probabilities.tif").unlink()
    again = buildings_of("any", image, labels, options=PredictOptions(resume=True))
    assert again["building_prob"].tolist() == outlines["building_prob"].tolist()


def test_where_the_network_is_sure_of_no_outline_the_image_is_refused(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paint(run: object, image: object, path: Path, options: PredictOptions, *, progress: object) -> None:
        paint_prediction(run, image, path, options, progress=progress)
        assert options.probabilities is not None
        with CogWriter(options.probabilities, GRID, count=3) as file:
            file.write(whole(GRID), np.full((3, *GRID.shape), 84, np.uint8))

    monkeypatch.setattr("deepnets4eo.damage.network.find_buildings.load_run", lambda _: PaintedBoxRun)
    monkeypatch.setattr("deepnets4eo.prediction.predict", paint)
    with pytest.raises(InputError, match="that it is sure of"):
        buildings_of("painted", Layer.open(case / "pre.tif"), tmp_path / "labels.tif")


@pytest.mark.parametrize("damage", ["no card", "cut weights"])
def test_without_good_weights_one_line_says_what_to_do(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    folder = tmp_path / "shipped"
    folder.mkdir()
    for file in (case / "run").iterdir():
        content = file.read_bytes()
        if not (damage == "no card" and file.name == "card.json"):
            (folder / file.name).write_bytes(content if file.name in ("card.json", "legend.yaml") else content[:-9])
    monkeypatch.setattr(
        "deepnets4eo.damage.network.find_buildings.ShippedModel", lambda _: SimpleNamespace(folder=folder)
    )
    assert main(["damage", str(case / "pre.tif"), str(case / "post.tif"), "-", "--out", str(tmp_path / "out")]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "FOOTPRINTS is -, but the buildings cannot be found" in error
    assert error.endswith("Or give a run of your own with --set segmenter=RUN, or footprints.")


def test_without_torch_the_extra_is_named(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_torch(_folder: object) -> None:
        with name_missing_extra():
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("deepnets4eo.damage.network.find_buildings.load_run", without_torch)
    assert main(["damage", str(case / "pre.tif"), str(case / "post.tif"), "-", "--out", str(tmp_path / "out")]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert 'pip install "deepnets4eo[deep]" Or give a run of your own with --set segmenter=RUN, or footprints.' in error
