"""The files that commands of the documentation name, each made up (SYNTHETIC) where a command asks for it."""

from __future__ import annotations

import atexit
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache, partial
from pathlib import Path

import numpy as np
from geotiff import write_geotiff
from made_up_inputs import (
    SIDE_PX,
    archive,
    bigearthnet,
    bright,
    catalogue,
    change_pairs,
    charter,
    chips,
    cities,
    city,
    clicks,
    cloud,
    clouds,
    complex_radar,
    cover,
    cube,
    cubes,
    districts,
    embedded,
    embedding,
    height,
    houses_of_city,
    houses_of_turkey,
    image,
    isprs,
    labels,
    layer_in_parts,
    legend,
    mapped,
    optical,
    other_map,
    outlines,
    pair_of_resolutions,
    patches,
    pbf,
    photos,
    probabilities,
    radar,
    raster,
    river,
    scenes_with_heights,
    score,
    sentinel,
    series,
    shakemap,
    stacks,
    surface,
    surface_water,
    tiles,
    town,
    vaihingen,
    whole_scene,
    xbd,
    years,
)

from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.training import load_recipe

Maker = Callable[[Path], object]
MODELS = Path(__file__).parents[1] / "models"

# of these a recipe gets what it has
SMALL = (
    "data.num_workers=0", "train.epochs=1", "train.batch_size=4", "data.windows_per_epoch=4", "data.tile_px=64",
    "predict.tile_px=128", "predict.halo_px=32", "data.pixels_per_class=30", "estimator.trees=5", "views.gsd_m=1.0",
    "views.overlap=0.1", "views.headings=1", "surface.voxel_m=2.0",
)  # fmt: skip


@cache
def small(recipe: str, chosen: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The words that make a training a matter of seconds, next to those that a command has."""
    kept: list[str] = []
    for word in SMALL:
        if any(value.startswith(word.partition("=")[0]) for value in chosen):
            continue
        try:
            load_recipe(recipe, overrides=[*chosen, *kept, word])
        except InputError:
            continue
        kept.append(word)
    return tuple(part for word in kept for part in ("--set", word))


class Run:
    """A run that is trained on one of the folders of the table."""

    def __init__(self, recipe: str, data: str, *words: str) -> None:
        self.recipe, self.data, self.words = recipe, data, words

    def train(self, folder: Path, name: str, page: str) -> None:
        """Train it for a few steps, once for all pages whose folder of data is the same."""
        kept = kept_folder() / f"{self.recipe} {' '.join(self.words)} {id(maker_of(self.data, page))}".replace("/", " ")
        if not kept.exists():
            make(self.data, folder, page)
            words = ["--data", str(folder / self.data), "--out", str(kept), *self.words]
            done(["train", self.recipe, *words, *small(self.recipe, set_words(self.words))])
        shutil.copytree(kept, folder / name)


@cache
def kept_folder() -> Path:
    """Return the folder of what was made once for several pages; it goes with the process."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def set_words(words: Sequence[str]) -> tuple[str, ...]:
    """What follows --set."""
    return tuple(word for before, word in zip(words, words[1:], strict=False) if before == "--set")


def done(words: Sequence[str]) -> None:
    """Run a command that must succeed."""
    assert main([*words]) in (0, 3), words


def map_of_damage(folder: Path) -> None:
    """A finished map, with a sample of it that somebody graded."""
    names = ("pre.tif", "post.tif", "footprints.gpkg")
    for name in names:
        make(name, folder.parent)
        make(name, kept_folder())
    kept = kept_folder() / "damage"
    if not kept.exists():
        done(["damage", *(str(kept.parent / name) for name in names), "--out", str(kept)])
    shutil.copytree(kept, folder)


def fill(sample: Path) -> None:
    """Answer a sample as people do: grades of buildings, or classes of points."""
    answers = ["destroyed", "no-damage"]
    with closing(sqlite3.connect(sample)) as database, database:
        (about,) = (
            next(database.execute("SELECT about FROM drawn"), (None,))
            if "about" in columns_of(database, "drawn")
            else (None,)
        )
        answers = json.loads(about)["classes"] if about else answers
        names = [name for (name,) in database.execute("SELECT id FROM sample")]
        rows = [(answers[number % len(answers)], name) for number, name in enumerate(names)]
        database.executemany("UPDATE sample SET answer = ? WHERE id = ?", rows)


def columns_of(database: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in database.execute(f"PRAGMA table_info({table})")]


def unfilled(folder: Path) -> list[Path]:
    """Samples in a folder, and one below it, that nobody has answered."""
    return [path for path in (*folder.glob("*.gpkg"), *folder.glob("*/review.gpkg")) if is_unanswered(path)]


def is_unanswered(path: Path) -> bool:
    """Whether a file is a sample without an answer."""
    with closing(sqlite3.connect(path)) as database:
        is_sample = "answer" in columns_of(database, "sample")
        return is_sample and not database.execute("SELECT count(answer) FROM sample").fetchone()[0]


def graded(path: Path) -> None:
    """The sample of a map, as somebody graded it."""
    make("damage", path.parent)
    sample = path.parent / "damage" / "review.gpkg"
    if not sample.exists():
        done(["review", str(sample.parent), "--looks", "200"])
    if path != sample:
        path.write_bytes(sample.read_bytes())
    fill(path)


def site(folder: Path) -> None:
    """Both images of the map and its graded sample in one folder."""
    image("pre", folder / "pre.tif")
    image("post", folder / "post.tif")
    make("footprints.gpkg", folder)
    map_of_damage(folder / "damage")
    graded(folder / "damage" / "review.gpkg")


def predicted(folder: Path) -> None:
    """Labels of the benchmark's tiles, by their names."""
    make("vaihingen", folder.parent)
    shutil.copytree(folder.parent / "vaihingen" / "gts_for_participants", folder)


def plan(path: Path) -> None:
    """What `find` chose in a catalogue of this computer."""
    make("copy/catalog.json", path.parent)
    make("town.gpkg", path.parent)
    outlines(path.parent / "houses.geojson")
    words = ["--catalogue", str(path.parent / "copy/catalog.json"), "--place", str(path.parent / "town.gpkg")]
    outputs = ["--outlines", str(path.parent / "houses.geojson"), "--out", str(path)]
    done(["find", *words, "--date", "2011-05-22", *outputs])


ISPRS = ("--set", "legend=isprs")
FUSION = ("--set", "data.layers={image: '*/image.tif', dsm: '*/height.tif', labels: '*/labels.tif'}", *ISPRS)
OSM = ("--set", "data.layers={image: '*/image.tif', osm: '*/osm.tif', labels: '*/labels.tif'}", *ISPRS)
MAKERS: dict[str, Maker | Run] = {
    **dict.fromkeys(
        (
            "pre.tif",
            "scene.tif",
            "image.tif",
            "city.tif",
            "photo.tif",
            "east/a/image.tif",
            "val/image.tif",
            "ortho.tif",
        ),
        partial(image, "pre"),
    ),
    "post.tif": partial(image, "post"),
    "irc.tif": partial(image, "pre"),
    **dict.fromkeys(("footprints.gpkg", "houses.gpkg"), outlines),
    **dict.fromkeys(("tiles", "city", "west"), tiles),
    **dict.fromkeys(("reference.tif", "labels.tif", "landcover.tif", "east/a/labels.tif"), labels),
    **dict.fromkeys(("heights.tif", "ndsm.tif", "val/height.tif"), height),
    **dict.fromkeys(("dsm.tif", "dsm_pre.tif", "dsm_b.tif"), partial(surface, "pre")),
    "dsm_post.tif": partial(surface, "post"),
    "dtm.tif": partial(raster, lambda: np.asarray(city().dtm, np.float32)),
    **dict.fromkeys(("change.tif", "change/score.tif", "dpm.tif"), score),
    "swath.tif": partial(raster, lambda: np.full((SIDE_PX, SIDE_PX), 110, np.float32)),
    "probabilities.tif": probabilities,
    "clicks.gpkg": clicks,
    "osm.tif": partial(raster, lambda: isprs() % 2),
    "multispectral.tif": pair_of_resolutions,
    "pan.tif": partial(raster, lambda: city().pre.image[:3].mean(axis=0).astype(np.uint8)),
    **dict.fromkeys(("tile.laz", "labelled.laz", "pre.laz", "east.laz", "west.laz", "a.laz", "reference.laz"), cloud),
    **dict.fromkeys(("post.laz", "b.laz", "c.laz"), partial(cloud, date="post")),
    "clouds": clouds,
    "FOLDER": cubes,
    "cube.mat": partial(cube, key="cube"),
    "cube_gt.mat": partial(cube, key="cube_gt"),
    "Indian_pines_corrected.mat": partial(cube, key="indian_pines_corrected"),
    "houston.mat": partial(cube, key="hyprImg"),
    "EuroSAT_MS": patches,
    "EuroSAT_RGB": partial(patches, bands=3),
    "BigEarthNet-v2": bigearthnet,
    "patches": patches,
    "test.npz": archive,
    **dict.fromkeys(("2018.tif", "embeddings.tif", "elsewhere/2020.tif"), embedding),
    "2024.tif": partial(embedding, seed=1),
    "years": years,
    "legend.yaml": partial(legend, "isprs"),
    "images": series,
    "cover_2012.tif": partial(cover, year=2012),
    "cover_2020.tif": partial(cover, year=2020),
    "damage": map_of_damage,
    **dict.fromkeys(("anna.gpkg", "ben.gpkg"), graded),
    "districts.gpkg": districts,
    "site": site,
    "haste_predictions.gpkg": partial(other_map, damaged=1, unknown_pct=0.0),
    **dict.fromkeys(("other.geojson", "other.gpkg"), other_map),
    "grid.xml": shakemap,
    "map.osm.pbf": partial(pbf, houses_of_city),
    "turkey-latest.osm.pbf": partial(pbf, houses_of_turkey),
    "copy/catalog.json": catalogue,
    "town.gpkg": town,
    "plan.yaml": plan,
    **dict.fromkeys(("pre2.slc", "pre.slc"), complex_radar),
    "post.slc": partial(complex_radar, own=1.0),
    "s1_before.tif": radar,
    "s1_after.tif": partial(radar, after=True),
    **dict.fromkeys(("s2_before.tif", "S2.tif"), optical),
    "water.tif": lambda path: write_geotiff(path, river(256).astype(np.uint8), gsd=10),
    "cover.tif": partial(cover, year=2012, side_px=256),
    **dict.fromkeys(("before.tif", "may.tif", "june.tif", "july.tif"), surface_water),
    "after.tif": partial(surface_water, wet=True),
    "HandLabeled": chips,
    "stacks": stacks,
    "mapped": mapped,
    "map.tif": lambda path: write_geotiff(path, river(128, after=True).astype(np.uint8), gsd=10),
    "models/damage-network": lambda path: shutil.copytree(MODELS / path.name, path),
    "charter": charter,
    "xbd/train": partial(xbd, ("palu-tsunami", "joplin-tornado")),
    "xbd/tier3": partial(xbd, ("mexico-earthquake", "moore-tornado")),
    "bright": bright,
    **dict.fromkeys(("vaihingen", "data/vaihingen"), vaihingen),
    "predicted": predicted,
    **dict.fromkeys(("runs/unet", "runs/a", "runs/b", "runs/west"), Run("unet-resnet34", "tiles", *ISPRS)),
    "runs/fusion": Run("fusenet", "tiles", *FUSION),
    "runs/fusenet-osm": Run("fusenet-osm", "tiles", *OSM),
    "runs/fc-siam-diff": Run("change/fc-siam-diff", "pairs"),
    "pairs": change_pairs,
    "runs/eurosat": Run("images/eurosat", "EuroSAT_MS"),
    **dict.fromkeys(("runs/forest", "runs/colours"), Run("points/eigen-forest", "clouds")),
    "runs/snapnet": Run("points/snapnet-aerial", "clouds", "--set", "legend=ign_lidar_hd"),
    "runs/hamida": Run(
        "hyperspectral/hamida",
        "FOLDER",
        "--set",
        "data.layers={image: PaviaU.mat, labels: PaviaU_gt.mat}",
        "--set",
        "legend=pavia_university",
    ),
}
PHOTOS: dict[str, Maker] = {
    "images": partial(photos, values=lambda: city().pre.image[:3]),
    "masks": partial(photos, values=isprs),
}
# the same name is another file on these pages
ON_PAGES: dict[str, dict[str, Maker]] = {
    "docs/howto/images.md": {
        "scene.tif": sentinel,
        "FOLDER": partial(patches, bands=3),
        "tiles": lambda folder: layer_in_parts(folder, "abcd", {"image": city().pre.image[:3]}),
    },
    "docs/howto/verbs/flood.md": {
        "reference.tif": lambda path: write_geotiff(path, river(128).astype(np.uint8), gsd=10)
    },
    "README.md": PHOTOS,
    "docs/howto/own_images.md": {**PHOTOS, "reference.tif": partial(raster, isprs)},
    "docs/howto/review_maps.md": {
        **PHOTOS,
        **dict.fromkeys(("before.tif", "after.tif"), partial(image, "pre")),
        **dict.fromkeys(("a.tif", "change.tif"), labels),
        "b.tif": partial(labels, turned=True),
    },
    "docs/howto/earthquake.md": {"cities": cities},
    "docs/howto/verbs/train.md": PHOTOS,
    "docs/howto/verbs/evaluate.md": {"tiles": whole_scene},
    "docs/howto/heights.md": {"city": scenes_with_heights},
    "docs/howto/embeddings.md": {"tiles": embedded, "legend.yaml": partial(legend, "minicity")},
}


def maker_of(name: str, page: str) -> Maker | Run | None:
    """Return what makes the file of a name on a page."""
    return ON_PAGES.get(page, {}).get(name) or MAKERS.get(name)


def make(name: str, folder: Path, page: str = "") -> None:
    """Make the file of a name in a folder, unless it is there, or no file has that name."""
    maker = maker_of(name, page)
    if maker is None or (folder / name).exists():
        return
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    if isinstance(maker, Run):
        maker.train(folder, name, page)
    else:
        maker(folder / name)
