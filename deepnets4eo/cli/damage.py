"""`deepnets4eo damage`: the main job."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import Debug, DryRun, Out, Overwrite, PartOption, ResumeParts, Seed, Workers, part_is_done
from deepnets4eo.cli.output import echo
from deepnets4eo.damage.settings import DECISION, INPUTS, Settings
from deepnets4eo.errors import InputError, MissingExtraError, RunError
from deepnets4eo.formats.access import check_exist
from deepnets4eo.outputs.event import EventInfo

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.damage import DamageMap, PointEvidence, RasterEvidence
    from deepnets4eo.damage.decision_with_network import DecisionModel
    from deepnets4eo.damage.inputs import Inputs
    from deepnets4eo.jobs.parts import Part
    from deepnets4eo.rasters.scene import Layer, LayerLike

GROUP, DECISION_GROUP = INPUTS["group"], DECISION["group"]
_NUMBER = re.compile(r"\d*\.?\d+")


@with_options(Settings, workers=Workers, seed=Seed)
@with_options(EventInfo)
def damage(
    pre: Annotated[str, typer.Argument(metavar="PRE", help="Image before the event, or - to assess from post alone.")],
    post: Annotated[str, typer.Argument(metavar="POST", help="Image after the event: a raster or a folder of tiles.")],
    footprints: Annotated[
        str,
        typer.Argument(metavar="FOOTPRINTS", help="Building outlines, any vector format; or - to find them in PRE."),
    ],
    out: Out,
    dsm_pre: Annotated[
        str | None, typer.Option(help="Surface model before, for height loss.", rich_help_panel=GROUP)
    ] = None,
    dsm_post: Annotated[str | None, typer.Option(help="Surface model after.", rich_help_panel=GROUP)] = None,
    cloud_mask: Annotated[
        str | None, typer.Option(help="Raster that is not 0 under clouds.", rich_help_panel=GROUP)
    ] = None,
    points_pre: Annotated[
        str | None,
        typer.Option(help="Cloud of points before (LAS, LAZ, …), with --points-post.", rich_help_panel=GROUP),
    ] = None,
    points_post: Annotated[
        str | None,
        typer.Option(help="Cloud of points after: height loss and debris as evidence.", rich_help_panel=GROUP),
    ] = None,
    evidence: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=RASTER",
            help="Scores such as change, as evidence ev_NAME; decide by their card, else are shown only. Repeatable.",
            rich_help_panel=DECISION_GROUP,
        ),
    ] = None,
    evidence_weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=WEIGHT",
            help="Share of such scores, or of points, in the decision, 0-1; times their card's skill where there is one.",
            rich_help_panel=DECISION_GROUP,
        ),
    ] = None,
    settings: Settings = Settings(),
    event: EventInfo = EventInfo(),
    also: Annotated[
        str | None,
        typer.Option(metavar="FORMATS", help="Which of csv,geojson,kml to write too, or none; all by default."),
    ] = None,
    part: PartOption = None,
    resume: ResumeParts = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Map building damage: pre and post image and footprints in, a table of buildings out.

    \b
    deepnets4eo damage pre.tif post.tif footprints.gpkg --out damage
    deepnets4eo damage - post_tiles/ footprints.geojson --out damage --cloud-mask clouds.tif
    deepnets4eo damage pre.tif post.tif - --out damage
    deepnets4eo damage pre.tif post.tif footprints.gpkg --points-pre pre.laz --points-post post.laz --out damage
    deepnets4eo damage pre.tif post.tif footprints.gpkg --out damage --part 3/16

    Exit status: 0 where a map was written that can be used; 3 where it was written, but must not be used.
    """
    read = [pre, post, footprints, dsm_pre, dsm_post, cloud_mask, points_pre, points_post, settings.class_shares]
    if dry_run:  # the job itself does so once it opens them
        check_exist(each for each in read if each is not None)

    from deepnets4eo.cli.findings import end_with_findings, show_footprints
    from deepnets4eo.damage.map import PRODUCTS
    from deepnets4eo.damage.products.write import check_formats
    from deepnets4eo.outputs.input_files import check_not_inputs

    formats = None if also is None else [name for each in also.split(",") if (name := each.strip()) not in ("", "none")]
    check_formats(formats or ())
    own_part = None if part is None else _parse_part(part, footprints)
    points, weights = _point_evidence(points_pre, points_post, evidence_weight or [])
    rasters = _raster_evidence(evidence or [], weights)
    layers = {"dsm_pre": dsm_pre, "dsm_post": dsm_post, "cloud_mask": cloud_mask}
    sources = _Sources(pre, post, footprints, layers, rasters, points)
    settings = _with_segmenter(footprints, settings)
    others = [points_pre, points_post, settings.model, settings.class_shares, settings.segmenter]
    check_not_inputs([out, *(out / name for name in PRODUCTS)], [*sources.files, *others])
    if dry_run:
        _check_alone(sources, settings, formats, out, overwrite=overwrite, resume=resume)
        return
    if own_part is not None:
        _do_part(sources, settings, own_part, out, overwrite=overwrite)
        return
    result, paths = _assess(sources, settings, event, formats, out, overwrite=overwrite, resume=resume)
    echo(f"Open {paths['report.html']} in a browser, {paths['damage.qgz']} in QGIS.")
    for path in paths.values():
        echo(path)
    show_footprints(result.footprints)
    end_with_findings(result.findings)


@dataclass(frozen=True)
class _Sources:
    """What a map is made of, as given on the command line; layers are the other rasters by their name in `open_inputs`."""

    pre: str
    post: str
    footprints: str
    layers: dict[str, str | None]
    rasters: list[RasterEvidence]
    points: PointEvidence | None

    @property
    def files(self) -> list[LayerLike | None]:
        """All but the clouds of points."""
        return [self.pre, self.post, self.footprints, *self.layers.values(), *(each.source for each in self.rasters)]

    def open(self, settings: Settings) -> Inputs:
        """With footprints from a file."""
        return self._open(self.pre, self.post, self.footprints, settings)

    def open_finding_buildings(self, settings: Settings, scratch: Path) -> Inputs:
        """With buildings from the segmenter of the settings."""
        return self._open(*_find_buildings(self.pre, self.post, settings, scratch), settings)

    def _open(
        self, pre: LayerLike | None, post: LayerLike, footprints: str | gpd.GeoDataFrame, settings: Settings
    ) -> Inputs:
        from deepnets4eo.damage.inputs import open_inputs

        return open_inputs(pre, post, footprints, settings, **self.layers, evidence=self.rasters, points=self.points)


def _check_alone(
    sources: _Sources, settings: Settings, formats: list[str] | None, out: Path, *, overwrite: bool, resume: bool
) -> None:
    """Open and check everything that a map needs, and say what it would be of; the default damage network is not loaded for that."""
    from deepnets4eo.damage.job import open_models
    from deepnets4eo.damage.products.write import formats_of
    from deepnets4eo.jobs.scratch import check_job_output

    check_job_output(out, overwrite=overwrite, resume=resume)
    if settings.segmenter is not None:
        before, after, model = _open_pair(sources.pre, sources.post, settings, dry_run=True)
        echo(f"the buildings that {settings.segmenter} finds would be assessed into {out}")
    else:
        inputs = sources.open(settings)
        before, after = inputs.pre, inputs.post
        model = open_models(inputs, _dry_settings(settings, before, after))[0]
        formats_of(formats, inputs.post.grid.crs)
        _say_assessed(inputs, out)
    if _is_wide(before, after):
        from deepnets4eo.damage.stretched_images import stretch_findings, stretches_of_job

        stretches = stretches_of_job(model.stretches, settings.segmenter, before, after)
        for finding in stretch_findings(stretches, {"pre": before, "post": after}):
            echo(finding.message)


def _say_assessed(inputs: Inputs, out: Path) -> None:
    """How many buildings would be assessed, why others not, and what was left out of the footprints' file."""
    from deepnets4eo.cli.findings import show_footprints
    from deepnets4eo.damage.foreseen import foreseen_reasons
    from deepnets4eo.outputs.findings import count_of

    left_out = Counter(reason for reason in foreseen_reasons(inputs).tolist() if reason)
    total, assessed = len(inputs.footprints), len(inputs.footprints) - left_out.total()
    which = count_of(total, "building") if assessed == total else f"{assessed:,} of {count_of(total, 'building')}"
    echo(f"{which} would be assessed into {out}")
    if left_out:
        echo("not assessed: " + "; ".join(f"{count:,} × {reason}" for reason, count in left_out.most_common()))
    show_footprints(inputs.footprints.account())


def _assess(
    sources: _Sources,
    settings: Settings,
    event: EventInfo,
    formats: list[str] | None,
    out: Path,
    *,
    overwrite: bool,
    resume: bool,
) -> tuple[DamageMap, dict[str, Path]]:
    """Make the map and write its files; the map and the paths by name."""
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.damage.job import assess_inputs
    from deepnets4eo.damage.job_control import JobControl
    from deepnets4eo.damage.products.write import formats_of
    from deepnets4eo.jobs.lock import output_lock
    from deepnets4eo.jobs.scratch import check_job_output, check_parts, job_scratch

    with output_lock(out):
        check_parts(out, resume=resume, overwrite=overwrite)
        overwrite = check_job_output(out, overwrite=overwrite, resume=resume)
        with job_scratch(out, resume=resume) as scratch:
            if settings.segmenter is None:
                inputs = sources.open(settings)
            else:
                inputs = sources.open_finding_buildings(settings, scratch)
            formats_of(formats, inputs.post.grid.crs)  # before long work
            with progress("evidence") as advance:
                result = assess_inputs(inputs, settings, JobControl(scratch, advance), event)
            paths = result.save(
                out, pre=inputs.pre, post=inputs.post, scores=inputs.scores, overwrite=overwrite, scratch=scratch,
                also=formats,
            )  # fmt: skip
    return result, paths


def _parse_part(text: str, footprints: str) -> Part:
    """The part of a job that a number of a number names. Errors: InputError; also where buildings must be found first."""
    from deepnets4eo.jobs.parts import Part

    if footprints == "-":
        raise InputError(
            "FOOTPRINTS is -, and --part is given; expected footprints, since the buildings must be known before the work is "
            "divided. Find them first with `deepnets4eo predict` and `deepnets4eo polygons`, and give their file."
        )
    return Part.parse(text)


def _do_part(sources: _Sources, settings: Settings, part: Part, out: Path, *, overwrite: bool) -> None:
    """Keep a part's share of the long work beside the output, for the job that completes the map."""
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.damage.job import assess_part
    from deepnets4eo.damage.job_control import JobControl
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.jobs.lock import output_lock
    from deepnets4eo.jobs.scratch import part_scratch, was_interrupted

    with output_lock(out, shared=True):
        check_overwrite(out, overwrite=overwrite or was_interrupted(out))
        with part_scratch(out) as scratch, progress(f"part {part}") as advance:
            assess_part(sources.open(settings), part, settings, JobControl(scratch, advance))
    echo(part_is_done(part, out))


def _point_evidence(pre: str | None, post: str | None, weights: list[str]) -> tuple[PointEvidence | None, list[str]]:
    """The clouds with the weight of `points=WEIGHT`, and the weights that are left. Errors: InputError."""
    from deepnets4eo.damage import PointEvidence

    own = [text for text in weights if text.startswith("points=")]
    if post is None:
        if pre is not None:
            raise InputError("--points-pre is given without --points-post. Give the cloud after the event, too.")
        return None, weights
    values = [text.removeprefix("points=") for text in own]
    if len(values) > 1 or not all(_NUMBER.fullmatch(value) for value in values):
        raise InputError(f"--evidence-weight is {', '.join(own)}; expected one number, such as points=0.3. Correct it.")
    points = PointEvidence(post, pre, float(values[0])) if values else PointEvidence(post, pre)
    return points, [text for text in weights if text not in own]


def _raster_evidence(evidence: list[str], weights: list[str]) -> list[RasterEvidence]:
    """The rasters of NAME=RASTER with the weights of NAME=WEIGHT. Errors: InputError."""
    from deepnets4eo.damage import RasterEvidence

    rasters, weight_of = _pairs("--evidence", evidence, "RASTER"), _pairs("--evidence-weight", weights, "WEIGHT")
    for name, text in weight_of.items():
        if name not in rasters or not _NUMBER.fullmatch(text):
            raise InputError(
                f"--evidence-weight is {name}={text}; expected the name of an --evidence and a number, such as "
                f"{next(iter(rasters), 'change')}=0.3. Correct it."
            )
    return [
        RasterEvidence(name, source, float(weight_of[name]) if name in weight_of else None)
        for name, source in rasters.items()
    ]


def _pairs(option: str, texts: list[str], value: str) -> dict[str, str]:
    """Name → value of NAME=VALUE. Errors: InputError."""
    pairs = dict(text.partition("=")[::2] for text in texts)
    if len(pairs) < len(texts) or not all(name and text for name, text in pairs.items()):
        raise InputError(f"{option} is {', '.join(texts)}; expected NAME={value}, each name once. Correct it.")
    return pairs


def _with_segmenter(footprints: str, settings: Settings) -> Settings:
    """Settings with the run that finds the buildings where FOOTPRINTS is -: the one named, or the one that is shipped.

    Errors: InputError where both a file and a run are named.
    """
    from deepnets4eo.cards.catalog import run_path
    from deepnets4eo.damage.find_buildings import SHIPPED

    if footprints == "-":
        return replace(settings, segmenter=str(run_path(settings.segmenter or SHIPPED)))
    if settings.segmenter is not None:
        raise InputError(
            f"FOOTPRINTS is {footprints} and --segmenter {settings.segmenter}; expected a file, or - and a run that finds "
            "the buildings. Give one of the two."
        )
    return settings


def _open_pair(
    pre: str, post: str, settings: Settings, *, dry_run: bool = False
) -> tuple[Layer | None, Layer, DecisionModel]:
    """Both images, pre None where it is "-", and the model that decides; refuses what the job would refuse once the buildings were found."""
    from deepnets4eo.damage.input_checks import check_images
    from deepnets4eo.damage.inputs import open_pair
    from deepnets4eo.damage.job import load_model

    before, after = open_pair(pre, post, settings)
    deciding = _dry_settings(settings, before, after) if dry_run else settings
    return before, after, load_model(check_images(before, after), deciding)


def _dry_settings(settings: Settings, pre: Layer | None, post: Layer) -> Settings:
    """Settings without the default network, which takes seconds to load, unless an image of more than 8 bits has to be shown to it."""
    return settings if _is_wide(pre, post) else replace(settings, network=False)


def _is_wide(*images: Layer | None) -> bool:
    """Whether an image has values of more than 8 bits."""
    return any(image is not None and image.as_stored().dtype.itemsize > 1 for image in images)


def _find_buildings(
    pre: str, post: str, settings: Settings, scratch: Path
) -> tuple[Layer | None, Layer, gpd.GeoDataFrame]:
    """Both images, and the buildings that the segmenter finds in the first of them; its labels stay in the scratch folder."""
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.damage import buildings_of
    from deepnets4eo.damage.resume import labels_file
    from deepnets4eo.prediction import PredictOptions

    before, after, _ = _open_pair(pre, post, settings)
    segmenter, image = str(settings.segmenter), after if before is None else before
    labels = labels_file(scratch, segmenter, image)
    with progress("buildings") as advance:
        options = PredictOptions(resume=True)
        try:
            return before, after, buildings_of(segmenter, image, labels, options=options, progress=advance)
        except (MissingExtraError, RunError) as error:
            raise InputError(
                f"FOOTPRINTS is -, but the buildings cannot be found: {error} Or give a run of your own with --segmenter, or footprints."
            ) from error
