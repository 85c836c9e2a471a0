"""What a reader must know of the footprints' file: rows that could not be used, outlines that were mended, ids that changed.

Takes footprints as read; returns findings.
"""

from __future__ import annotations

from pathlib import Path

from deepnets4eo.damage.footprints import Footprints
from deepnets4eo.outputs.findings import Finding, count_of, one_or_many

MANY = 0.05  # share of the rows that were dropped from which buildings may be missing from the map


def footprint_findings(footprints: Footprints) -> tuple[Finding, ...]:
    """What became of the rows of a footprints' file.

    Parameters
    ----------
    footprints
        As read.

    Returns
    -------
    tuple of Finding
        One where rows were dropped, one where outlines or ids were changed, one where a column of ids was not used.

    Examples
    --------
    >>> from deepnets4eo.damage import read_footprints
    >>> from deepnets4eo.synthetic import City
    >>> footprint_findings(read_footprints(City(seed=1, size_px=256).footprints()))
    ()
    """
    account, findings = footprints.account(), []
    dropped = sum(account["dropped"].values())
    if dropped:
        reasons = "; ".join(f"{count} × {reason}" for reason, count in account["dropped"].items())
        findings.append(
            Finding(
                "footprints_dropped",
                "caution" if dropped > MANY * account["read"] else "note",
                f"{dropped} of {count_of(account['read'], 'row')} of the footprints could not be used ({reasons}).",
                "Give every building as a Polygon or MultiPolygon; close lines to areas.",
            )
        )
    changes = [
        f"{count_of(account[key], noun)} {one_or_many(account[key], 'was', 'were')} {change}"
        for key, noun, change in (
            ("repaired", "outline", "repaired"),
            ("renamed", "id", "missing or twice and renamed"),
        )
        if account[key]
    ]
    if changes:
        findings.append(Finding("footprints_changed", "note", f"Footprints: {'; '.join(changes)}."))
    if footprints.passed_over:
        taken = "row numbers" if footprints.made_ids else "the row keys or feature ids of the file"
        findings.append(
            Finding(
                "id_column_not_used",
                "note",
                f"The ids of the footprints are {taken}, because {footprints.passed_over}.",
                "Name another column with --set id_column=NAME.",
            )
        )
    return tuple(findings)


def segmenter_findings(segmenter: str | None, *, after: bool) -> tuple[Finding, ...]:
    """Findings where a network found the buildings.

    segmenter : its run's folder or name, None where there was a file. after : whether it looked at the image after the event.
    """
    if segmenter is None:
        return ()
    outlines = Finding(
        "outlines_of_network", "note",
        f"The outlines were found by the network {Path(segmenter).name}: buildings that it missed are not in the map, and "
        "some outlines are no buildings, or several.",
        "Look at the outlines before you use counts; give footprints where there are any.",
    )  # fmt: skip
    if not after:
        return (outlines,)
    destroyed = Finding(
        "outlines_after_event", "caution",
        "The outlines were found in the image after the event, which shows few of the destroyed buildings as buildings: more "
        "is damaged than the map says.",
        "Give footprints, or an image from before the event.",
    )  # fmt: skip
    return (destroyed, outlines)
