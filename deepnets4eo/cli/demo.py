"""`deepnets4eo demo`: the main job on the miniature city, compared with its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.options import Overwrite, Seed
from deepnets4eo.cli.output import echo, end_with_findings, own_command, show_footprints, show_result


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the city and its damage map.")] = Path("demo"),
    size: Annotated[int, typer.Option(help="Side length of the city in pixels.")] = 1536,
    seed: Seed = 2026,
    overwrite: Overwrite = False,
) -> None:
    """Make a miniature city (synthetic), map its damage, and compare the map with the truth.

    \b
    deepnets4eo demo
    deepnets4eo demo --out my_demo --seed 7 --size 2048"""
    from deepnets4eo.damage import Settings, assess
    from deepnets4eo.damage.review import compare_with_reference
    from deepnets4eo.jobs import new_output
    from deepnets4eo.rasters import Layer
    from deepnets4eo.synthetic import City

    report = out / "damage" / "report.html"
    with new_output(out, overwrite=overwrite):
        echo(f"Open {report} in a browser when this is done, within a minute (SYNTHETIC: a made-up place).")
        echo(f"making a synthetic city of {size} × {size} pixels …", err=True)
        city = City(seed, size)
        files = city.write(out / "city", overwrite=overwrite)
        pre, post = Layer.open(files / "pre.tif"), Layer.open(files / "post.tif")
        result = assess(pre, post, files / "footprints.gpkg", settings=Settings(seed=seed))
        result.save(out / "damage", pre=pre, post=post, overwrite=True)
    accuracy = compare_with_reference(result.buildings, city.buildings)
    interval = result.estimates["buildings"]["damaged"]["interval_95"]
    echo(f"Against its truth (synthetic): {accuracy}; {accuracy.check_interval(interval)}")
    echo(f"On your own files: {own_command()} damage PRE POST FOOTPRINTS --out DIR")
    show_footprints(result.footprints)
    show_result(result.headline(), report)
    end_with_findings(result.findings)
