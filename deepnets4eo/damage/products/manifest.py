"""manifest.json: what went in, what came out, with which versions and parameters; written last.

Takes a DamageMap and the folder of its products; files are hashed whole, other sources are named without a hash.
"""

from __future__ import annotations

import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from deepnets4eo.files import write_json
from deepnets4eo.outputs.origins import describe, file_facts, versions

if TYPE_CHECKING:
    from deepnets4eo.damage.map_content import DamageMapContent


def write_manifest(damage_map: DamageMapContent, folder: Path, outputs: list[str]) -> Path:
    """Write `folder`/manifest.json; `outputs` are the names of the other files in it."""
    manifest = {
        "product": "deepnets4eo damage map",
        "synthetic": damage_map.synthetic,
        "event": damage_map.event.to_dict(),
        "findings": [finding.to_dict() for finding in damage_map.findings],
        "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "parameters": damage_map.parameters,
        "damaged_share": damage_map.damaged_share,
        "seed": damage_map.parameters.get("seed"),
        "footprints": damage_map.footprints,
        "inputs": {role: describe(source) for role, source in damage_map.inputs.items()},
        "outputs": {name: file_facts(folder / name) for name in outputs},
        "versions": versions(),
    }
    return write_json(folder / "manifest.json", manifest)
