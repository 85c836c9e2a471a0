"""No verb writes over what it reads: directly, through a link, in a mosaic or a run, as a side file, in a dry run."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from geotiff import write_geotiff
from made_up_clouds import scattered, write_las
from sklearn.linear_model import LogisticRegression
from small_disk import small_disk

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import VERBS, main
from deepnets4eo.damage.map import PRODUCTS
from deepnets4eo.jobs import RowJournal, output_lock
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling

# words of each verb, what they read that an output may hit, and the option of that output
CASES: dict[str, list[tuple[str, str, str]]] = {
    "damage": [
        ("damage pre.tif post.tif out/damage.gpkg --out out", "out/damage.gpkg", ""),
        ("damage out/damage.gpkg post.tif houses.gpkg --out out", "out/damage.gpkg", ""),
        ("damage pre.tif post.tif houses.gpkg --dsm-pre dsm.tif --dsm-post dsm.tif --out dsm.tif", "dsm.tif", ""),
        ("damage pre.tif post.tif houses.gpkg --prior wind:mph=dsm.tif --out dsm.tif", "dsm.tif", ""),
        ("damage - tiles houses.gpkg --out tiles", "tiles", ""),
        ("damage pre.tif post.tif - --set segmenter=run --out run", "run", ""),
        ("damage rules.yaml --out rules.yaml", "rules.yaml", ""),
    ],
    "find": [
        ("find --catalogue rules.yaml --bbox 0 0 1 1 --date 2011-05-22 --out rules.yaml", "rules.yaml", ""),
        ("find --catalogue scores.json --place rules.yaml --date 2011-05-22 --out rules.yaml", "rules.yaml", ""),
    ],
    "review": [
        ("review out out/review.json", "out/review.json", ""),
        ("review out houses.gpkg --areas out/review.json", "out/review.json", ""),
    ],
    "rubble": [
        ("rubble post.tif --pre pre.tif --footprints houses.gpkg --out post.tif", "post.tif", ""),
        ("rubble post.tif --pre out/score.tif --footprints houses.gpkg --out out/score.tif", "out/score.tif", ""),
        ("rubble post.tif --footprints out/rubble.gpkg --out out", "out/rubble.gpkg", ""),
    ],
    "flood": [
        ("flood pre.tif post.tif --out pre.tif", "pre.tif", ""),
        ("flood tiles post.tif --out tiles", "tiles", ""),
        ("flood post.tif --out labels.tif --permanent-water labels.tif", "labels.tif", ""),
        ("flood post.tif --out houses.gpkg --footprints houses.gpkg", "houses.gpkg", ""),
    ],
    "change": [
        ("change pre.tif post.tif --out pre.tif", "pre.tif", ""),
        ("change tiles post.tif --out tiles", "tiles", ""),
        ("change pre.tif post.tif --model run --out run", "run", ""),
        ("change out/score.tif post.tif --out out", "out/score.tif", ""),
        ("change pre.tif post.tif --out new --set cover_pre=labels.tif --json labels.tif", "labels.tif", ""),
        ("change pre.tif post.tif --out new --cloud-mask-post labels.tif --json labels.tif", "labels.tif", ""),
    ],
    "predict": [
        ("predict run image.tif", "image.tif", "--out"),
        ("predict run image.tif --out new.tif", "image.tif", "--entropy"),
        ("predict run image.tif --out new.tif", "image.tif", "--probabilities"),
        ("predict run image=mosaic.vrt", "tiles/b.tif", "--out"),
        ("predict run tiles", "tiles/a.tif", "--out"),
        ("predict run image.tif", "run/card.json", "--out"),
        ("predict run image.tif", "run/estimator.skops", "--out"),
        ("predict run image.tif --ensemble other", "other/estimator.skops", "--out"),
    ],
    "layers": [
        ("layers transitions labels.tif image.tif", "labels.tif", "--out"),
        ("layers transitions image.tif labels.tif", "labels.tif", "--out"),
        ("layers transitions image.tif labels.tif --out new.csv", "labels.tif", "--json"),
        ("layers refine labels.tif image.tif", "labels.tif", "--out"),
        ("layers refine labels.tif image.tif", "image.tif", "--out"),
        ("layers refine labels.tif pre.tif post.tif", "post.tif", "--out"),
        ("layers osm image.tif houses.gpkg", "image.tif", "--out"),
        ("layers osm image.tif houses.gpkg", "houses.gpkg", "--out"),
        ("layers osm image.tif buildings=houses.gpkg", "houses.gpkg", "--out"),
        ("layers osm image.tif roads.shp", "roads.dbf", "--out"),
        ("layers osm image.tif houses.gpkg --coverage area.geojson", "area.geojson", "--out"),
        ("layers osm image.tif houses.gpkg --rules rules.yaml", "rules.yaml", "--out"),
        ("layers heights dsm.tif", "dsm.tif", "--out"),
        ("layers pansharpen image.tif dsm.tif", "image.tif", "--out"),
        ("layers pansharpen image.tif dsm.tif", "dsm.tif", "--out"),
        ("layers coherence image.tif dsm.tif", "dsm.tif", "--out"),
        ("layers heights dsm.tif --dtm image.tif", "image.tif", "--out"),
        ("layers heights dsm.tif --channels ndvi --image image.tif", "image.tif", "--out"),
    ],
    "polygons": [
        ("polygons table.gpkg", "table.gpkg", "--out"),
        ("polygons labels.tif --legend card.geojson", "card.geojson", "--out"),
    ],
    "objects": [
        ("objects table.gpkg car", "table.gpkg", "--out"),
        ("objects labels.tif car --out cars.gpkg", "labels.tif", "--density"),
    ],
    "clicks": [
        ("clicks run image.tif", "image.tif", "--out"),
    ],
    "suspects": [("suspects labels.tif reference.tif", "reference.tif", "--out")],
    "evaluate": [
        ("evaluate labels.tif reference.tif", "labels.tif", "--json"),
        ("evaluate labels.tif reference.tif", "reference.tif", "--csv"),
        ("evaluate tiles tiles", "tiles/a.tif", "--figure"),
        ("evaluate labels.tif reference.tif --legend rules.yaml", "rules.yaml", "--markdown"),
        ("evaluate labels.tif reference.tif --set against=scores.json", "scores.json", "--json"),
    ],
    "register": [
        ("register pre.tif post.tif", "pre.tif", "--json"),
        ("register pre.tif post.tif --footprints houses.gpkg", "houses.gpkg", "--tie-points"),
    ],
    "train": [
        ("train out/recipe.yaml --data tiles --out out", "out/recipe.yaml", ""),
        ("train out/recipe.yaml --data tiles --out tiles", "tiles", ""),
        ("train rules.yaml --data tiles --set legend=out/legend.yaml --out out", "out/legend.yaml", ""),
    ],
    "label-points": [
        ("label-points cloud.laz --model rules", "cloud.laz", "--out"),
        ("label-points cloud.laz --model rules --out new.laz", "cloud.laz", "--json"),
        ("label-points cloud.laz --model rules --neighbour east.laz", "east.laz", "--out"),
        ("label-points cloud.laz --model rules --colour image.tif --out new.laz", "image.tif", "--json"),
        ("label-points cloud.laz --model run --out new.laz", "run/card.json", "--json"),
    ],
    "export": [
        ("export run", "run/estimator.skops", "--onnx"),
        ("export run", "run/card.json", "--onnx"),
        ("export run --hub run", "run", ""),
        ("export run --page run", "run", ""),
    ],
    "check": [("check image.tif scores.json", "scores.json", "--json"), ("check tiles", "tiles/a.tif", "--json")],
    "series": [
        ("series dates --bands red,green,blue --out dates", "dates", ""),
        ("series dates --masks masks --out masks", "masks", ""),
        ("series dates --out new", "dates/2020-01-01.tif", "--json"),
    ],
    "datasets": [("datasets rules.yaml", "rules.yaml", "--json")],
    "compare": [
        ("compare houses.gpkg houses.gpkg --out new", "houses.gpkg", "--json"),
        ("compare houses.gpkg houses.gpkg --out houses.gpkg", "houses.gpkg", ""),
    ],
}
NO_INPUT_FILES = {"demo", "mcp", "models"}
NO_OVERWRITE = {
    "review",
    "clicks",
    "evaluate",
    "check",
    "datasets",
}  # they replace their outputs without being asked to
FLAT = [pytest.param(*case, id=f"{case[0]} {case[2]} {case[1]}") for cases in CASES.values() for case in cases]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with an input of every kind."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("out", "tiles", "other_tiles"):
        (folder / name).mkdir()
    image, after = (
        np.kron(np.random.default_rng(seed).integers(1, 255, (3, 4, 4)), np.ones((1, 8, 8))).astype(np.uint8)
        for seed in (0, 1)
    )
    for column, name in enumerate(("image", "pre", "post", "tiles/a", "tiles/b")):
        left = 32.0 * column if "/" in name else 0.0
        write_geotiff(
            folder / f"{name}.tif",
            after if name == "post" else image,
            crs="EPSG:32633",
            origin=(500_000 + left, 5_000_000),
        )
    singles = ("dsm", image[:1]), ("labels", image[:1] % 2), ("reference", image[:1] % 2), ("out/score", image)
    for name, values in singles:
        write_geotiff(folder / f"{name}.tif", values, crs="EPSG:32633")
    for name in ("dates", "masks"):
        for month in (1, 2):
            write_geotiff(
                folder / name / f"2020-0{month}-01.tif", image if name == "dates" else image[:1], crs="EPSG:32633"
            )
    rasterio.shutil.copy(folder / "tiles" / "b.tif", folder / "mosaic.vrt", driver="VRT")
    outlines = gpd.GeoDataFrame(
        {"building": ["yes"]}, geometry=[shapely.box(500_004, 4_999_980, 500_020, 4_999_996)], crs="EPSG:32633"
    )
    for name in ("houses.gpkg", "out/damage.gpkg", "out/rubble.gpkg", "roads.shp", "area.geojson", "card.geojson"):
        outlines.to_file(folder / name)
    with rasterio.open(folder / "labels.tif") as file:
        rasterio.shutil.copy(file, folder / "table.gpkg", driver="GPKG")
    for name in ("cloud.laz", "east.laz"):
        write_las(folder / name, scattered(50))
    for name in ("rules.yaml", "out/recipe.yaml", "out/legend.yaml"):
        (folder / name).write_text("task: segmentation\n")
    for name in ("scores.json", "out/review.json"):
        (folder / name).write_text("{}")
    scene = Scene.open(image=image, labels=(image[0] > 127).astype(np.uint8))
    spec = InputSpec.measure([scene])
    segmenter = PixelClassifier(LogisticRegression(), spec, Legend.load("isprs"), tiling=Tiling(32, 0))
    segmenter.fit([scene], max_pixels=200)
    for name in ("run", "other"):
        save_run(segmenter, folder / name)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def words_of(command: str, output: str, option: str, *more: str) -> list[str]:
    """The command line, with leave to overwrite wherever a verb takes it."""
    words = [*command.split(), *([option, output] if option else []), *more]
    return words if words[0] in NO_OVERWRITE else [*words, "--overwrite"]


def test_every_verb_that_reads_and_writes_files_has_cases() -> None:
    assert set(CASES) | NO_INPUT_FILES == set(VERBS)
    assert all(command.split()[0] == verb for verb, cases in CASES.items() for command, _, _ in cases)


@pytest.mark.parametrize(("command", "hit", "option"), FLAT)
def test_an_output_that_is_an_input_is_refused(
    place: Path,
    command: str,
    hit: str,
    option: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place)
    before = contents(place)
    assert main(words_of(command, hit, option)) == 1
    error = capsys.readouterr().err
    assert f"{hit} is read by this job, so it cannot be written by it." in error
    assert "Choose another name for the output." in error
    assert contents(place) == before


def hard_link(source: Path, link: Path) -> None:
    os.link(source, link)


def symbolic_link(source: Path, link: Path) -> None:
    link.symlink_to(source)


@pytest.mark.parametrize("make_link", [hard_link, symbolic_link])
@pytest.mark.parametrize(
    ("command", "hit", "option"), [case for case in FLAT if case.values[2] and "run/" not in str(case.values[1])]
)
def test_links_and_other_letters_do_not_hide_an_input(
    place: Path,
    command: str,
    hit: str,
    option: str,
    make_link: Callable[[Path, Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A link in capitals: what the same file looks like where the file system does not tell letters apart."""
    monkeypatch.chdir(place)
    before = contents(place)
    link = place / f"LINK{Path(hit).suffix}"
    make_link(place / hit, link)
    try:
        assert main(words_of(command, str(link), option)) == 1
    finally:
        link.unlink()
    assert f"{link} (the same as " in capsys.readouterr().err
    assert contents(place) == before


@pytest.mark.parametrize(
    "command",
    [
        "predict run image.tif --out image.tif --dry-run",
        "predict run image.tif --out new.tif --entropy image.tif --dry-run",
        "predict run image.tif --out image --probabilities image.tif --dry-run",
        "predict run image.tif --ensemble other --out other/card.json --dry-run",
        "damage pre.tif post.tif out/damage.gpkg --out out --dry-run",
        "damage pre.tif post.tif houses.gpkg --out pre.tif --dry-run",
        "change pre.tif post.tif --out pre.tif --dry-run",
    ],
)
def test_a_dry_run_refuses_the_same(
    place: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    assert main([*command.split(), "--overwrite"]) == 1
    assert "is read by this job" in capsys.readouterr().err
    assert main(["predict", "run", "image.tif", "--out", "pre.tif", "--dry-run"]) == 1
    assert "pre.tif exists already. Pass --overwrite" in capsys.readouterr().err


@pytest.mark.parametrize("side", [".qml", ".tif.aux.xml"])
def test_a_side_file_of_an_output_does_not_replace_an_input(
    place: Path, side: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    raster = place / f"fresh{side}"  # GDAL opens by content
    raster.write_bytes((place / "image.tif").read_bytes())
    try:
        assert main(["predict", "run", raster.name, "--out", "fresh.tif"]) == 1
    finally:
        raster.unlink()
    assert f"fresh{side} is read by this job" in capsys.readouterr().err
    assert not (place / "fresh.tif").exists()


@pytest.mark.parametrize(
    "command",
    [
        "evaluate labels.tif reference.tif --json a.json --csv ./a.json",
        "objects labels.tif car --out cars.gpkg --density cars.gpkg",
        "predict run image.tif --out a.tif --entropy a.qml",
    ],
)
def test_two_outputs_of_one_name_are_refused(
    place: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    assert main(command.split()) == 1
    assert "would be written twice. Give each output its own name." in capsys.readouterr().err


def test_an_input_beside_the_products_is_no_hindrance(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    assert main(["damage", "out/../pre.tif", "post.tif", "houses.gpkg", "--out", ".", "--overwrite", "--dry-run"]) == 0
    assert "1 building would be assessed" in capsys.readouterr().out


def test_a_run_may_be_used_and_predicted_into_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    for _ in range(2):
        assert main(["predict", "run", "image.tif", "--out", "run/new.tif", "--overwrite"]) == 0
    for path in (place / "run").glob("new*"):
        path.unlink()


def test_the_products_of_a_damage_map_are_named() -> None:
    from deepnets4eo.damage.products import content as map_content, write

    assert PRODUCTS[-1] == "manifest.json"
    source = Path(write.__file__).read_text(encoding="utf-8") + Path(map_content.__file__).read_text(encoding="utf-8")
    assert all(f'"{name}"' in source for name in PRODUCTS[:-1])


WRITING = [
    "damage pre.tif post.tif houses.gpkg --out OUT",
    "damage pre.tif post.tif houses.gpkg --out OUT --resume",
    "demo --out OUT",
    "change pre.tif post.tif --out OUT",
    "change pre.tif post.tif --out OUT --resume",
    "layers refine labels.tif image.tif --out OUT",
    "layers refine labels.tif image.tif --out OUT --resume",
    "layers transitions labels.tif labels.tif --out OUT",
    "predict run image.tif --out OUT",
    "predict run image.tif --out free.tif --probabilities OUT",
    "predict run image.tif --out OUT --resume",
    "train recipe.yaml --data tiles --out OUT",
    "train recipe.yaml --data tiles --out OUT --resume",
    "export run --onnx OUT",
    "export run --hub OUT",
    "layers osm image.tif houses.gpkg --out OUT",
    "layers heights dsm.tif --out OUT",
    "polygons labels.tif --out OUT",
    "objects labels.tif car --legend isprs --out OUT",
    "series dates --out OUT",
    "objects labels.tif car --legend isprs --out free.gpkg --density OUT",
]


@pytest.mark.parametrize("command", WRITING)
def test_a_verb_does_not_write_what_another_job_is_writing(
    place: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    Path("recipe.yaml").write_text("task: segmentation\n", encoding="utf-8")
    before, statuses = contents(place), []
    taken = "taken.gpkg" if command.startswith(("polygons", "objects")) else "taken.tif"
    words = command.replace("OUT", taken).split()
    second = threading.Thread(target=lambda: statuses.append(main(words)))
    with output_lock(taken):
        second.start()
        second.join()
    assert statuses == [1]
    assert f"{taken} is being written by another job (process " in capsys.readouterr().err
    assert contents(place) == before


def test_the_second_of_two_predictions_is_refused_and_the_first_is_whole(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    out, statuses = tmp_path / "labels.tif", []
    words = ["predict", "run", "image.tif", "--out", str(out)]
    really = RowJournal.record

    def record_while_another_comes(self: RowJournal, *more: Any) -> None:
        second = threading.Thread(target=lambda: statuses.append(main([*words, "--overwrite"])))
        second.start()
        second.join()
        really(self, *more)

    with monkeypatch.context() as patch:
        patch.setattr(RowJournal, "record", record_while_another_comes)
        assert main(words) == 0
    assert statuses == [1]
    assert "is being written by another job" in capsys.readouterr().err
    assert main([*words[:-1], str(tmp_path / "alone.tif")]) == 0
    assert out.read_bytes() == (tmp_path / "alone.tif").read_bytes()
    assert not list(tmp_path.glob(".partial-*"))


RASTER_OF_LABELS = {"a.tif", "a.qml", "a.tif.aux.xml"}


@pytest.mark.parametrize(
    ("command", "made"),
    [
        ("predict run image.tif --out new/a.tif --entropy new/e.tif", RASTER_OF_LABELS | {"e.tif"}),
        ("layers osm image.tif houses.gpkg --out new/a.tif", {"a.tif"}),
        ("layers osm image.tif houses.gpkg --out new/a.tif --encoding distance", {"a.tif"}),
        ("layers heights dsm.tif --out new/a.tif", {"a.tif"}),
        ("polygons labels.tif --out new/a.gpkg", {"a.gpkg"}),
        ("polygons labels.tif --out new/a.geojson", {"a.geojson"}),
        ("polygons labels.tif --out new/a.parquet", {"a.parquet"}),
        (
            "objects labels.tif building --legend isprs --out new/a.fgb --density new/d.tif",
            {"a.fgb", "d.tif"},
        ),
        (
            "evaluate labels.tif reference.tif --legend isprs --json new/a.json --csv new/a.csv --markdown new/a.md "
            "--figure new/a.png",
            {"a.json", "a.csv", "a.md", "a.png"},
        ),
        ("check image.tif labels.tif houses.gpkg run --json new/a.json", {"a.json"}),
        ("datasets isprs_vaihingen --json new/a.json", {"a.json"}),
    ],
)
def test_a_verb_leaves_its_outputs_and_nothing_else(
    place: Path, command: str, made: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    before = contents(place)
    assert main(command.split()) == 0
    assert {path.name for path in (place / "new").iterdir()} == made
    shutil.rmtree(place / "new")
    assert contents(place) == before


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("predict run image.tif --out new/a.tif", {".partial-rows-a.tif"}),
        ("layers osm image.tif houses.gpkg --out new/a.tif --encoding distance", set()),
        ("layers heights dsm.tif --out new/a.tif", set()),
        ("polygons labels.tif --out new/a.gpkg", set()),
        ("objects labels.tif building --legend isprs --out new/a.parquet", set()),
        ("evaluate labels.tif reference.tif --legend isprs --json new/a.json", set()),
        ("check image.tif labels.tif run --json new/a.json", set()),
        (
            "train recipe.yaml --data tiles --set data.layers.image='*.tif' --set data.layers.labels='*.tif' --out new/a",
            set(),
        ),
        ("damage - post.tif houses.gpkg --out new/a", {".partial-scratch-a"}),
    ],
)
def test_a_full_disk_is_reported_in_the_same_words_by_every_verb(
    place: Path, command: str, kept: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file can grow beyond 400 bytes; what an interrupted job can go on with stays."""
    monkeypatch.chdir(place)
    Path("recipe.yaml").write_text("task: segmentation\nlegend: minicity\n", encoding="utf-8")
    with small_disk(400):
        assert main(command.split()) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("Error: could not write ")
    assert "Free some space or choose another path." in error
    left = {path.name for path in (place / "new").iterdir()} if (place / "new").exists() else set()
    shutil.rmtree(place / "new", ignore_errors=True)
    assert left == kept
