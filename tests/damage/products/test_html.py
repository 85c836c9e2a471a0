"""The page names files and nothing of where they lie."""

import json
import re

import numpy as np
import pytest
from made_up_map import make_grid, make_map

from deepnets4eo.damage.products.report import write_report
from deepnets4eo.damage.products.summary import summarize
from deepnets4eo.rasters.scene import Layer


def page_of(damage_map, path):
    grid = make_grid()
    post = Layer.open(np.full((3, *grid.shape), 7, np.uint8), grid=grid)
    text = write_report(damage_map, summarize(damage_map, grid), path, post=post).read_text(encoding="utf-8")
    return text, json.loads(re.search(r'id="page">(.*?)</script>', text, re.DOTALL)[1])


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/home/somebody/secret place/post.tif", "post.tif"),
        ("somewhere/tiles (4 tiles)", "tiles (4 tiles)"),
        ("https://user:password@example.com/folder/post.tif?token=123", "post.tif"),
        ("s3://bucket/folder/post.tif", "post.tif"),
        ("/vsizip//home/somebody/all.zip/post.tif", "post.tif"),
        ("array", "array"),
    ],
)
def test_the_page_names_files_without_folders_hosts_and_passwords(tmp_path, source, shown):
    damage_map = make_map(4)
    damage_map.inputs["post"] = source
    text, page = page_of(damage_map, tmp_path / "report.html")
    assert page["inputs"] == {"post": shown}
    for word in ("somebody", "somewhere", "password", "token", "bucket"):
        assert word not in text
