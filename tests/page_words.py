"""The English of the page of a damage map, as its scripts and its template have it."""

import re
from pathlib import Path

import deepnets4eo
from deepnets4eo.damage.products.report import DAMAGE, STATUS
from deepnets4eo.outputs.map_page.page import LAST_SCRIPT, SCRIPTS

ROOT = Path(deepnets4eo.__file__).parent
SHARED, OWN = ROOT / "outputs/map_page/assets", ROOT / "damage/products/assets"
NAMES = {"OBJECT": DAMAGE.one, "OBJECTS": DAMAGE.many}


def words_of_page():
    """Every text that is looked up: {} for values; names of the objects are part of it."""
    scripts = [SHARED / name for name in (*SCRIPTS, LAST_SCRIPT)] + [OWN / name for name in DAMAGE.scripts]
    found = {text for path in scripts for text in _of_script(path.read_text(encoding="utf-8"))}
    template = (SHARED / "report.html").read_text(encoding="utf-8") + STATUS
    return found | {text.format(**DAMAGE.words()) for text in re.findall("%%=(.*?)%%", template)}


def _of_script(script):
    """What stands in t`…`, templates within templates too."""
    for start in re.finditer(r"\bt`", script):
        text, depth, value = "", 0, ""
        for sign in script[start.end() :]:
            if not depth and sign == "`":
                break
            depth += (sign == "{" and (depth > 0 or text.endswith("$"))) - (sign == "}" and depth > 0)
            if depth:
                value += sign
            elif value:
                text, value = text[:-1] + NAMES.get(value[1:], "{}"), ""
            else:
                text += sign
        yield text
