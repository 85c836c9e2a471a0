"""`deepnets4eo register`: the offsets of the pre image and of the footprints from their correct positions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import Json, Overwrite
from deepnets4eo.cli.output import echo, end_with_findings, is_stdout, show_json, show_result
from deepnets4eo.registration import RegisterOptions

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.registration import ImagePair, Registration


@with_options(RegisterOptions)
def register(
    pre: Annotated[str, typer.Argument(metavar="PRE", help="Image before: a raster or a folder of tiles.")],
    post: Annotated[str, typer.Argument(metavar="POST", help="Image after: a raster or a folder of tiles.")],
    footprints: Annotated[str | None, typer.Option(help="Building outlines, to align to PRE.")] = None,
    tie_points: Annotated[Path | None, typer.Option(help="Write the tie points here (.gpkg, .geojson …).")] = None,
    options: RegisterOptions = RegisterOptions(),
    json: Json = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure the offset between a pre-event and a post-event image, and whether the result can be trusted: ok, degraded or failed.

    The exit status is 1 if the registration failed. Shifts are along the columns (right) and rows (down) of POST.

    \b
    deepnets4eo register pre.tif post.tif --json registration.json
    deepnets4eo register pre_tiles/ post_tiles/ --footprints buildings.gpkg --tie-points ties.gpkg"""
    from deepnets4eo.errors import InputError
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.footprints import align_footprints
    from deepnets4eo.outputs import check_not_inputs
    from deepnets4eo.polygons import check_vector_suffix, write_vector
    from deepnets4eo.registration import ImagePair

    if footprints is None and (options.layer or options.footprints_crs):
        raise InputError("--set layer and --footprints-crs belong to footprints. Name them with --footprints.")
    check_not_inputs([tie_points, json], [pre, post, footprints])
    if tie_points:
        check_vector_suffix(tie_points)
        check_overwrite(tie_points, overwrite=overwrite)
    pair = ImagePair.open(pre, post, gsd_m=options.gsd_m)
    pair = pair.declare_nodata("pre", hides_collars=False).declare_nodata("post", hides_collars=False)
    if footprints is not None and pair.post.grid.crs is not None:
        pair = pair.pair_by_pixels()
    outlines = None if footprints is None else _read_outlines(footprints, pair, options)
    registered = pair.register(options)
    registration = registered.registration
    alignment = None if outlines is None else align_footprints(registered.pre, outlines, seed=options.seed)
    silent = is_stdout(json)
    if not silent:
        for line in _lines(registration) + (alignment.lines(registration.unit) if alignment else []):
            echo(line)
    if json:
        result: dict[str, Any] = registration.to_dict()
        show_json(result | ({"footprints": alignment.to_dict()} if alignment else {}), json)
    ties = [write_vector(registration.tie_points, tie_points, "tie_points")] if tie_points else []
    show_result(registration.headline(), *ties, err=silent)
    end_with_findings(pair.findings)
    if not registration.usable:
        raise typer.Exit(1)


def _read_outlines(footprints: str, pair: ImagePair, options: RegisterOptions) -> gpd.GeoDataFrame:
    """Return the footprints in the frame of the images; their pixels are the pixels of POST, as for `damage`. Raises InputError."""
    from deepnets4eo.footprints import read_footprints

    before, after = pair.images
    frame = after.grid if before.grid.crs is None else before.grid  # an image without CRS has that of the other
    read = read_footprints(footprints, layer=options.layer, assume_crs=options.footprints_crs, image=frame)
    return read.frame_beside(frame)


def _lines(registration: Registration) -> list[str]:
    from deepnets4eo.outputs import Phrase

    measured, unit = registration.measured, registration.unit
    lines = [f"registration: {registration.status}" + (f" ({registration.reason})" if registration.reason else "")]
    if not registration.usable:
        lines.append(
            f"  {Phrase('raise_max_shift').text()} Where they are turned farther, raise --set max_rotation_deg."
        )
    else:
        lines += [
            f"  model: {registration.model}, scale {measured.scale_min:.4f}–{measured.scale_max:.4f}, "
            f"rotation {measured.rotation_deg:.3f}°",
            f"  things in the post image lie in the pre image {registration.dx_m:+.2f} {unit} right, "
            f"{registration.dy_m:+.2f} {unit} down",
        ]
    return [
        *lines,
        f"  hold-out residual: {registration.residual_m:.2f} {unit} "
        + (
            f"({registration.residual_px:.2f} px of {measured.gsd_m:.2f} m)"
            if unit == "m"
            else "(without a CRS; --gsd states the size of a pixel)"
        ),
        f"  tie points: {registration.inliers} of {len(registration.ties['inlier'])} agree; of {measured.tested} held out, "
        f"{measured.reliable} are reliable and {measured.inliers} agree",
        f"  gradient correlation: {measured.ncc_before:.3f} as georeferenced, {measured.ncc_after:.3f} registered",
    ]
