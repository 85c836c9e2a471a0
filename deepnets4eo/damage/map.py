"""The result of the main job: one row per building; `save` writes the whole folder of products or none of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pyogrio

from deepnets4eo.damage.products import FURTHER
from deepnets4eo.damage.products.content import AREAS_FILE, DamageMapContent
from deepnets4eo.damage.products.plots import explore_content, lonboard_layer, plot_content, summarize_content
from deepnets4eo.damage.settings import ProductOptions
from deepnets4eo.display import FigureStyle, Summary, WithSummary
from deepnets4eo.errors import InputError, Reading
from deepnets4eo.files import read_json
from deepnets4eo.formats import vector_file
from deepnets4eo.jobs import JobOutput, KeptFiles
from deepnets4eo.outputs import EventInfo, Finding, worst_first

if TYPE_CHECKING:
    import folium
    import geopandas as gpd
    import lonboard
    from matplotlib.axes import Axes

    from deepnets4eo.damage.evidences.priors import PriorLayer
    from deepnets4eo.damage.site.measured_prior import MeasuredPrior
    from deepnets4eo.damage.site.site import ShownRaster
    from deepnets4eo.grid import Grid
    from deepnets4eo.rasters import Layer, LayerLike
    from deepnets4eo.registration import ImagePair

MANIFEST = "manifest.json"
PRODUCTS = (
    "damage.gpkg",
    "damage.parquet",
    "summary.json",
    "report.html",
    "damage.qgz",
    DamageMapContent.water_file,
    AREAS_FILE,
    *FURTHER.values(),
    MANIFEST,
)


class MapImages(NamedTuple):
    """The images that a map was made of, and the rasters of its evidence."""

    pre: Layer | None
    post: Layer
    scores: Sequence[ShownRaster] = ()


class DamageMap(WithSummary, DamageMapContent):
    """Buildings with their damage, and the inputs and settings behind it.

    Parameters
    ----------
    buildings
        N rows in the post image's CRS with the columns of `COLUMNS`, any number of `ev_…` float columns, and geometry.
        `damage` is one of `GRADES`, or None if `status` is not_assessed (`reason` states why); `damage_prob` is the
        probability of major damage or worse, 0–1.
    assessed_extent : one row: imaged ground near an assessed building
    registration
        `Registration.to_dict()`; its `matrix` (2x3) maps post pixels (col, row) to the pixels whose ground coordinates
        show the same object in the pre image.
    meaning : what each `ev_…` column measures, with its unit
    synthetic : whether an image is synthetic
    parameters : settings of the job by name
    inputs : role to path
    findings : what limits the use of the map, worst first
    damaged_share : `ShareEstimate.to_dict()`; empty if unknown
    estimates
        Numbers of buildings and built areas (m²) of every grade and of major damage or worse ("damaged"), each expected
        and with a 95 % interval; empty if unknown.
    footprints : `Footprints.account()`; empty if unknown
    extent_without_outlines : one row: imaged ground without a nearby outline; None if unknown
    inundation : `Inundation.to_dict()`; empty if water was not searched for
    areas : counts of damage by area, by `add_areas`
    priors : what priors change, by `add_priors`
    event : event, place, dates, sensors, credit, producer

    Raises
    ------
    InputError
        Columns are missing, or have values that are not allowed.

    Examples
    --------
    ::

        damage_map = assess("pre.tif", "post.tif", "footprints.gpkg")
        damage_map.buildings.query("damage == 'destroyed'")
        damage_map.save("damage")
    """

    images: MapImages | None = None  # for `save`; a map from elsewhere has none

    @classmethod
    @Reading.of_source("Give the folder that `deepnets4eo damage` wrote.")
    def load(cls, folder: str | Path) -> DamageMap:
        """Read a map from the folder that `save` wrote, without its images.

        Parameters
        ----------
        folder : folder of the map

        Returns
        -------
        DamageMap

        Raises
        ------
        InputError
            The folder holds no whole damage map.
        """
        import geopandas as gpd

        folder = Path(folder)
        try:
            manifest, summary = (read_json(folder / name) for name in (MANIFEST, "summary.json"))
            with vector_file(folder / "damage.parquet") as path:
                buildings = gpd.read_parquet(path)
            with vector_file(folder / "damage.gpkg") as path:
                layers = {
                    name: gpd.read_file(path, layer=name).set_crs(buildings.crs, allow_override=True)
                    for name in gpd.list_layers(path)["name"]
                    if name in ("assessed_extent", "imaged_without_outlines", "areas")
                }
            mappings = (*((summary, name) for name in ("registration", "evidence", "damaged_share", "estimates", "footprints")),
                        (manifest, "parameters"), (manifest, "inputs"), (manifest["event"], "from_files"))  # fmt: skip
            if wrong := next((name for stated, name in mappings if not isinstance(stated[name], dict)), None):
                raise TypeError(f"{wrong} is no mapping")
            event = dict(manifest["event"])
            event["location"] = event.pop("place")
            return cls(
                buildings, layers["assessed_extent"], meaning=summary["evidence"], synthetic=manifest["synthetic"],
                parameters=manifest["parameters"], inputs={role: facts["path"] for role, facts in manifest["inputs"].items()},
                findings=tuple(Finding.from_dict(finding) for finding in manifest["findings"]),
                extent_without_outlines=layers.get("imaged_without_outlines"), areas=layers.get("areas"),
                event=EventInfo(**{name: value or "" for name, value in event.items() if name != "from_files"}, from_files=event["from_files"]),
                inundation=summary["inundation"] or {}, priors=summary.get("priors") or {},
                **{name: summary[name] for name in ("registration", "damaged_share", "estimates", "footprints")},
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError, pyogrio.errors.DataSourceError) as error:
            raise InputError(
                f"{folder} holds no whole damage map: {error}. Give the folder that `deepnets4eo damage` wrote."
            ) from error

    def save(
        self,
        out_dir: str | Path,
        *,
        post: Layer | None = None,
        pre: Layer | None = None,
        scores: Sequence[ShownRaster] = (),
        overwrite: bool = False,
        scratch: Path | None = None,
        also: Sequence[str] | None = None,
        options: ProductOptions = ProductOptions(),
        kept: Sequence[str] = (),
    ) -> dict[str, Path]:
        """Write damage.gpkg, damage.parquet, summary.json, report.html, damage.qgz, further formats and manifest.json.

        A new folder appears only when it is complete.

        In a folder that exists, each file is replaced whole, and other files are left unchanged. manifest.json is removed first
        and written last.

        Memory: the table, plus two images of at most 200 MB each.

        Parameters
        ----------
        out_dir : folder to write
        post, pre : the images, by default the images and scores that the map was made of; pre None if the job had no pre image
        scores : rasters of the evidence, for the report
        overwrite : whether files of an existing folder are replaced
        scratch : folder for finished products, so that an interrupted job need not write them again
        also : further formats, keys of `FURTHER`, by default "csv", "geojson" and "kml"; further formats of an earlier map are removed
        options : languages, paper of the sheet, name of "cems"
        kept : files in the folder that belong to this map, and stay unchanged

        Returns
        -------
        dict
            File name to path.

        Raises
        ------
        InputError
            A further format does not exist, or needs a CRS; or there are no images.
        OutputError
            The folder is not empty, another job writes to it, or the disk refuses to write.
        """
        from deepnets4eo.damage.products.write import named_before, products_folder, write_products
        from deepnets4eo.rasters import gdal_cache

        if post is None:
            if self.images is None:
                raise InputError(
                    "this damage map does not hold its images. Give post=Layer.open(…), and pre where there was one."
                )
            pre, post, scores = self.images
        out_dir = Path(out_dir)
        folder = None if scratch is None else products_folder(scratch, self, post, pre, options)
        with (
            JobOutput(out_dir, overwrite=overwrite).products(folder) as products,
            gdal_cache(pre, post),
        ):
            for name in kept:
                shutil.copyfile(out_dir / name, products.folder / name)
                KeptFiles(products.folder).note(name)
            names = write_products(
                self, products.folder, pre=pre, post=post, scores=scores, also=also, options=options, home=out_dir
            )
            return products.publish(names, known=(AREAS_FILE, *FURTHER.values(), *named_before(out_dir)))

    @staticmethod
    def input_files(role: str, inputs: dict[str, Any], folder: Path) -> list[str]:
        """Return the files of an input by the manifest of a map, whose `inputs` these are; none for a role that it lacks.

        Parameters
        ----------
        role : such as "pre" or "ev_change"
        inputs : `inputs` of manifest.json
        folder : folder of the map, above which paths from another folder are searched for

        Raises
        ------
        InputError
            A file is gone, or another one by now.
        """
        from deepnets4eo.damage.products.shown_again import files_of

        return files_of(role, inputs, folder)

    @staticmethod
    def open_shown(folder: Path, pair: ImagePair) -> list[ShownRaster]:
        """Open the rasters that the page of the map in a folder shows; a warning names each that is gone or another file by now.

        Parameters
        ----------
        folder : folder of the map
        pair : the images of the map
        """
        from deepnets4eo.damage.products.shown_again import shown_rasters

        return shown_rasters(folder, DamageMapContent.water_file, pair)

    def add_areas(
        self,
        areas: str | Path | gpd.GeoDataFrame,
        population: LayerLike | None = None,
        *,
        pixels: Grid | None = None,
    ) -> None:
        """Count damage by area, into `areas`, which products show from then on.

        Parameters
        ----------
        areas : polygons, a vector file or a table; or cells: "grid" (500 m), "grid:250", "h3", "h3:9"
        population : raster of people a pixel
        pixels : grid of the post image, if its pixel size was stated and areas without a CRS are in its pixels

        Raises
        ------
        InputError
            There are no polygons, or the raster is not one of people.
        """
        from deepnets4eo.damage.areas import count_areas, find_areas, people_findings

        counted = find_areas(areas, self.buildings, pixels)
        self.areas = count_areas(
            self.buildings, counted, self.estimates, population, seed=int(self.parameters.get("seed") or 0)
        )
        of_people = () if population is None else people_findings(population, self.areas)
        self.findings = worst_first((*self.findings, *counted.findings(), *of_people))

    def add_priors(self, layers: Sequence[PriorLayer]) -> None:
        """Combine the map with priors such as shaking or wind, into columns and `priors`; grades and counts stay.

        Parameters
        ----------
        layers : what `open_priors` opened

        Raises
        ------
        InputError
            A prior is not known at any building, or does not fit its unit.
        """
        outlines, workers = self.buildings.geometry.to_numpy(), int(self.parameters.get("workers", 2))
        self.combine_priors([layer.measure_in(outlines, workers) for layer in layers])

    def combine_priors(self, measured: Sequence[MeasuredPrior]) -> None:
        """Combine the map with priors that were measured at its buildings, as `add_priors` does.

        Parameters
        ----------
        measured : intensities at the buildings, with their curves
        """
        from deepnets4eo.damage.decision.priors import count_with_priors, prior_finding

        nothing = {"expected": 0.0, "interval_95": [0.0, 0.0]}
        damaged = (self.estimates.get("buildings") or {}).get("damaged", nothing)
        share, seed = self.damaged_share.get("prior", 0.5), int(self.parameters.get("seed") or 0)
        prior, probability, self.priors = count_with_priors(self.buildings, measured, damaged, share, seed)
        combined = self.table.with_priors(prior, probability)
        self.buildings, self.meaning = cast("gpd.GeoDataFrame", combined.frame), dict(combined.meaning)
        self.inputs |= {f"prior_{evidence.kind}": evidence.source for evidence in measured}
        self.findings = worst_first((*self.findings, prior_finding(self.priors)))

    def plot(
        self, image: LayerLike | None = None, *, axes: Axes | None = None, max_px: int = FigureStyle.max_px
    ) -> Axes:
        """Draw the outlines in the colours of their grades, with a key and counts.

        Parameters
        ----------
        image : drawn below the outlines: the post image, as a layer or a path; without it, outlines are filled
        axes : where to draw, by default in a new figure
        max_px : longer side of what is read of the image

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        ::

            damage_map.plot("post.tif").figure.savefig("damage.png", dpi=200)
        """
        from deepnets4eo.rasters import Layer

        return plot_content(self, None if image is None else Layer.open(image), axes, max_px)

    def explore(self, tiles: str | None = None) -> folium.Map:
        """Show the buildings on a page for a notebook, in the colours of their grades.

        Parameters
        ----------
        tiles : background by the name of its tile server, e.g. "OpenStreetMap", which the browser loads

        Returns
        -------
        folium.Map
            Its page loads Leaflet from the network. For more than some 20,000 buildings take `to_lonboard`.

        Raises
        ------
        MissingExtraError
            folium or mapclassify is not installed.

        Examples
        --------
        ::

            damage_map.explore().save("buildings.html")
        """
        return explore_content(self, tiles)

    def to_lonboard(self) -> lonboard.PolygonLayer:
        """Make a layer of the buildings in the colours of their grades, for `lonboard.Map` and `leafmap.deckgl.Map`.

        Returns
        -------
        lonboard.PolygonLayer
            A row a building, in WGS 84.

        Raises
        ------
        InputError
            The buildings have no CRS.
        MissingExtraError
            lonboard is not installed.

        Examples
        --------
        ::

            lonboard.Map(damage_map.to_lonboard(), basemap=None)
        """
        return lonboard_layer(self)

    def _summary(self) -> Summary:

        return summarize_content(self)
