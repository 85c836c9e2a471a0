"""`deepnets4eo review`: accuracy, areas and counts of a map from a sample that a person looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from deepnets4eo.cli.output import echo, own_command, progress, serve as cli_serve, show_result
from deepnets4eo.errors import InputError

POINTS = 100  # of a sample of a label raster


def review(
    folder: Annotated[
        Path, Argument(metavar="MAP", help="Folder of a damage map, any label raster, or a sample of `compare`.")
    ],
    answers: Annotated[
        list[Path] | None,
        Argument(
            help="Completed samples of one or more reviewers; by default MAP/review.gpkg, or MAP_review.gpkg for a label raster."
        ),
    ] = None,
    looks: Annotated[
        int | None,
        Option(
            help="Size of the sample; by default 40 buildings, half of them the likeliest damaged, or 100 points.",
            min=1,
        ),
    ] = None,
    plain: Annotated[
        bool, Option("--plain", help="Draw all buildings of the sample at random, none because it is likely damaged.")
    ] = False,
    image: Annotated[
        list[str] | None,
        Option(help="Image to check a label raster by; given twice for before and after."),
    ] = None,
    confidence: Annotated[
        Path | None,
        Option(help="Raster of confidence of a label raster, to find the part that can be trusted."),
    ] = None,
    areas: Annotated[Path | None, Option(help="Polygons, e.g. districts, with counts for each.")] = None,
    serve: Annotated[bool, Option("--serve", help="Grade the sample on a page in the browser.")] = False,
    reviewer: Annotated[
        str | None, Option(metavar="NAME", help="Name of the person who grades on the page; stored with each answer.")
    ] = None,
    browser: Annotated[bool, Option(help="With --serve, open the browser, or only print the address.")] = True,
    next_looks: Annotated[
        int | None,
        Option(
            "--next",
            metavar="N",
            help="Choose the N buildings whose answers help the map most; with --serve, half of each N is chosen and half is drawn at random.",
            min=1,
        ),
    ] = None,
    update: Annotated[
        bool,
        Option(
            "--update",
            help="Write all files of the map again, corrected by the answers; the map before them stays in MAP/before_review.",
        ),
    ] = False,
) -> None:
    """Count damaged buildings, or measure the accuracy and areas of any label raster, from a random sample that people check.

    The first call writes the sample to MAP/review.gpkg. Open MAP/review.qgz in QGIS, and choose an answer for each
    building, in the order of the column `look`.

    Answer as many as you have time for, and call `review` again: it writes the counts to MAP/review.json. To grade on a
    page instead, which works without the Internet, use --serve.

    \b
    deepnets4eo review damage --looks 200
    deepnets4eo review damage --serve --reviewer Anna
    deepnets4eo review damage anna.gpkg ben.gpkg --areas districts.gpkg
    deepnets4eo review damage --next 20 --update
    deepnets4eo review damage --serve --next 10
    deepnets4eo review labels.tif --image scene.tif --serve
    deepnets4eo review labels.tif
    """
    from deepnets4eo.damage.review import table_before, write_review

    answers = answers or []
    if not folder.is_dir():
        check_only_damage(areas=areas, next=next_looks, update=update, plain=plain)
        review_raster(folder, answers, looks or POINTS, image or [], confidence, reviewer, serve=serve, browser=browser)
        return
    if image or confidence:
        raise InputError(
            f"{folder} is a folder of a damage map, which names its images. Leave out --image and --confidence."
        )
    if update or (next_looks and not serve):
        teach_map(folder, answers, next_looks, update=update)
        return
    table, files = table_before(folder), answers or [folder / "review.gpkg"]
    if not files[0].exists() and (serve or not answers):
        draw_buildings(folder, table, files[0], looks, plain=plain, serve=serve)
        if not serve:
            return
    if serve:
        grade_sample(folder, files, reviewer, next_looks, browser=browser)
        return
    result, path = write_review(folder, files, areas)
    show_result(result.headline(), path)


def draw_buildings(folder: Path, table: Path, sample: Path, looks: int | None, *, plain: bool, serve: bool) -> None:
    """Draw the sample of a damage map from its table, and state how it is graded unless it is served now."""
    from deepnets4eo.damage.review import LOOKS, write_sample
    from deepnets4eo.files import writing
    from deepnets4eo.outputs import count_of

    with writing(sample):
        number = write_sample(sample, table, looks or LOOKS, likeliest=0 if plain else None)
    drawn = f"{count_of(number, 'building')} drawn to be looked at"
    if serve:
        echo(drawn, err=True)
        return
    echo(
        f"Grade them with `{own_command('review', folder, '--serve')}`, or fill the column `answer` in QGIS; then call "
        f"`{own_command('review', folder)}`.",
        err=True,
    )
    show_result(drawn, sample)


def check_only_damage(**options: Any) -> None:
    """Refuse options of damage maps. Errors: InputError."""
    if wrong := [name for name, value in options.items() if value]:
        raise InputError(f"--{wrong[0]} is only for damage maps. Give the folder of one, or leave it out.")


def review_raster(
    source: Path,
    answers: list[Path],
    looks: int,
    images: list[str],
    confidence: Path | None,
    reviewer: str | None,
    *,
    serve: bool,
    browser: bool,
) -> None:
    """Draw, serve or count the sample of a label raster, or a sample of `compare`."""
    from deepnets4eo.evaluation import MapReview
    from deepnets4eo.files import writing
    from deepnets4eo.outputs import check_not_inputs, count_of

    if len(answers) > 1:
        raise InputError(f"a label raster has one sample at a time, not {len(answers)}. Count each reviewer's own.")
    is_sample = source.suffix == ".gpkg"
    path = source if is_sample else (answers or [source.with_name(f"{source.stem}_review.gpkg")])[0]
    check_not_inputs([path] if not is_sample else [], [source, *images, confidence])
    is_new = not is_sample and not path.exists()
    if is_new:
        with writing(path):
            review = MapReview.draw(source, path, looks=looks, confidence=confidence, images=images)
    else:
        review = MapReview.open(path)
    if is_new:
        drawn = f"{count_of(len(review.about['stratum']), 'point')} drawn to be looked at"
        if not serve:
            named = ["review", source, *answers]
            look = [] if images else ["--image", "IMAGE"]
            echo(
                f"Answer them with `{own_command(*named, *look, '--serve')}`, or fill the column `answer` in QGIS; then call "
                f"`{own_command(*named)}`.",
                err=True,
            )
            show_result(drawn, path)
            return
        echo(drawn, err=True)
    if serve:
        page = review.page(images, reviewer)
        cli_serve(page, "Answer", browser=browser)
        show_result(f"{page.headline()}; `{own_command('review', source, *answers)}` states what they show", path)
        return
    result, paths = review.write()
    for line in result.lines():
        echo(line, err=True)
    show_result(result.headline(), *paths)


def teach_map(folder: Path, files: list[Path], next_looks: int | None, *, update: bool) -> None:
    """Write the map that answers have moved, and the buildings that are looked at next."""
    from deepnets4eo.damage.review import Corrections, look_of_map
    from deepnets4eo.outputs import count_of

    corrections = Corrections.read(folder, files)
    if update:
        corrections.check_update()
    if next_looks:
        corrections.check_next()
    look = None
    if corrections.can_teach:
        with progress("look") as advance:
            look = look_of_map(folder, progress=advance)
    if update:
        taught, paths = corrections.write_taught(look)
        show_result(f"{count_of(taught.answers, 'answer')} put in; {taught.gain()}", *paths)
    if next_looks:
        number, path = corrections.write_next(next_looks, look)
        show_result(f"{count_of(number, 'building')} chosen to be looked at", path)


def grade_sample(
    folder: Path, files: list[Path], reviewer: str | None, next_looks: int | None, *, browser: bool
) -> None:
    """Serve the page of one sample."""
    from deepnets4eo.damage.review import ReviewServer

    if len(files) > 1:
        raise InputError(f"--serve shows one sample, not {len(files)}. Give each reviewer a page and a file.")
    server = ReviewServer(folder, files[0], reviewer, next_looks)
    if next_looks:
        server.rounds.measure_look()
    cli_serve(server, "Grade", browser=browser)
    show_result(f"{server.headline()}; `{own_command('review', folder, files[0])}` counts them", files[0])
