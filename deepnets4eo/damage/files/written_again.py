"""Products of a damage map that is there: further formats, or page and sheets in another language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deepnets4eo.addresses import file_name_of, name_of
from deepnets4eo.damage.map import DamageMap
from deepnets4eo.damage.products.write import further_files, named_before
from deepnets4eo.damage.settings import ProductOptions
from deepnets4eo.errors import InputError
from deepnets4eo.registration import ImagePair

IN_WORDS = ("pdf", "png")  # products that depend on the language, as the page does
WITHOUT_WORDS = ("damage.gpkg", "damage.parquet", "summary.json", "damage.qgz")


def write_again(
    pair: ImagePair, out: Path, formats: Sequence[str] | None, options: ProductOptions
) -> tuple[DamageMap, dict[str, Path]]:
    """Write further formats of the map that is in a folder, or another language. pair : the images of the map. Errors: InputError."""
    result = DamageMap.load(out)
    for role, layer in (("pre", pair.pre), ("post", pair.post)):
        paths = [] if layer is None else list(map(name_of, layer.paths))
        of_map = [path for name, path in result.inputs.items() if re.fullmatch(rf"{role}(_\d+)?", name)]
        if [*map(file_name_of, paths)] != [*map(file_name_of, of_map)]:
            raise InputError(
                f"the {role} image is {', '.join(paths) or 'none'}, but the map in {out} was made of "
                f"{', '.join(of_map) or 'none'}. Give the images of the map."
            )
    requested = set(formats or ())
    options, there = formats_there(out, options, named="cems" in requested)
    files, before = further_files(options), named_before(out)
    anew = requested | ({*IN_WORDS} if options.language else set())
    kept = [
        *WITHOUT_WORDS,
        *({result.water_file} & before),
        *(["report.html"] if options.language is None else []),
        *(files[name] for name in there if name not in anew),
    ]
    scores = result.open_shown(out, pair) if options.language is not None else []  # only the page shows them
    return result, result.save(
        out, pre=pair.pre, post=pair.post, scores=scores, overwrite=True, also=list(dict.fromkeys([*there, *requested])),
        options=options, kept=kept,
    )  # fmt: skip


def formats_there(
    out: Path, options: ProductOptions = ProductOptions(), *, named: bool = False
) -> tuple[ProductOptions, list[str]]:
    """Return the further formats of the map in a folder, and the options with its name of the file of Copernicus EMS, unless `options` names it."""
    if not named and (cems := named_before(out) - {DamageMap.water_file}):
        options = replace(options, cems=min(cems).removesuffix(".gpkg"))
    return options, [name for name, file in further_files(options).items() if (out / file).exists()]
