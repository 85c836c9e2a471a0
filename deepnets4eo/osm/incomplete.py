"""Elements of OpenStreetMap files whose nodes are not all in the file, as at the edge of an extract: GDAL draws them without these nodes.

Memory: 8 bytes per node, and per node of a way.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from deepnets4eo.errors import Reading
from deepnets4eo.osm.pbf import Block, read_blocks


@dataclass
class _Elements:
    """Ids of the nodes that a file has, of the nodes of each way, and of the ways of each relation."""

    nodes: array[int] = field(default_factory=lambda: array("q"))
    ways: array[int] = field(default_factory=lambda: array("q"))
    refs: array[int] = field(default_factory=lambda: array("q"))
    way_of_ref: array[int] = field(default_factory=lambda: array("q"))
    members: list[tuple[int, int]] = field(default_factory=list)
    relation: int = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take one element of the XML."""
        if name == "node":
            self.nodes.append(int(attributes["id"]))
        elif name == "way":
            self.ways.append(int(attributes["id"]))
        elif name == "nd":
            self.refs.append(int(attributes["ref"]))
            self.way_of_ref.append(len(self.ways) - 1)
        elif name == "relation":
            self.relation = int(attributes["id"])
        elif name == "member" and attributes.get("type") == "way":
            self.members.append((self.relation, int(attributes["ref"])))

    def add(self, block: Block) -> None:
        """Take one block of a PBF file."""
        self.way_of_ref.frombytes((block.way_of_ref + len(self.ways)).astype(np.int64).tobytes())
        for kept, new in ((self.nodes, block.nodes), (self.ways, block.ways), (self.refs, block.refs)):
            kept.frombytes(new.astype(np.int64).tobytes())
        self.members += block.members

    def incomplete(self) -> tuple[set[int], set[int]]:
        """Ways that lack nodes, and relations that lack ways or have such ways."""
        lacking = ~np.isin(_numbers(self.refs), _numbers(self.nodes))
        ways = set(_numbers(self.ways)[np.unique(_numbers(self.way_of_ref)[lacking])].tolist())
        whole = {*self.ways} - ways
        return ways, {relation for relation, way in self.members if way not in whole}


def _numbers(values: array[int]) -> Any:
    return np.frombuffer(values, np.int64) if values else np.zeros(0, np.int64)


def incomplete_elements(path: Path, name: str) -> tuple[set[int], set[int]]:
    """Return the ids of the ways that lack nodes, and of the relations that lack ways or have such ways.

    Raises InputError for a damaged file.
    """
    elements = _Elements()
    with Reading(name, "Expected a whole OpenStreetMap file; was it copied completely?"):
        if path.suffix.lower() == ".pbf":
            for content in read_blocks(path):
                elements.add(Block(content))
        elif path.suffix.lower() == ".osm":
            parser = expat.ParserCreate()
            parser.StartElementHandler = elements.start
            with path.open("rb") as file:
                parser.ParseFile(file)
    return elements.incomplete()
