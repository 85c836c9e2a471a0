"""Scores of one training repeated with several seeds, as mean ± sd.

Takes what each run's metrics.json holds. Scores that are undefined in a run, such as the F1 of a class that its test part
lacks, are left out of the mean. Refuses runs that have no score in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.comparison import align_columns
from deepnets4eo.evaluation.report import BY_CLASS, OVERALL, Report

SHARES = (*OVERALL, *BY_CLASS)  # 0 to 1, in percent in tables
LEAKAGE = "share_patch_overlaps"  # of the protocol of patch networks


def spread(values: ArrayLike, digits: int = 1, sign: str = "") -> str:
    """Write mean ± sample standard deviation of several values.

    Parameters
    ----------
    values
        (n,) numbers; those that are not finite are left out.
    digits
        Decimals.
    sign
        "+": in front of positive means, too.

    Returns
    -------
    The text; a single value alone, "–" where nothing is known.

    Examples
    --------
    >>> spread([1.0, 2.0, 3.0])
    '2.0 ± 1.0'
    """
    known = _known(values)
    if not known.size:
        return "–"
    around = f" ± {known.std(ddof=1):.{digits}f}" if known.size > 1 else ""
    return f"{known.mean():{sign}.{digits}f}{around}"


def mean_scores(reports: Mapping[str, Report]) -> dict[str, Any]:
    """Average the scores of several runs.

    Parameters
    ----------
    reports
        Name of a run → what its metrics.json holds.

    Returns
    -------
    "runs", their names, and "scores": score, or "score class" → its mean, sd (n − 1) and values, one a run; None where
    undefined. Of patch networks also "leakage", the share of the test pixels whose patch overlaps a training pixel's.

    Raises
    ------
    InputError
        When no score is in all of them.

    Examples
    --------
    >>> table = mean_scores({"seed-0": {"r2": 0.5}, "seed-1": {"r2": 0.7}})
    >>> {key: round(value, 3) for key, value in table["scores"]["r2"].items() if key != "values"}
    {'mean': 0.6, 'sd': 0.141}
    """
    of_runs = [dict(_scores(one)) for one in reports.values()]
    common = [name for name in of_runs[0] if all(name in one for one in of_runs)] if of_runs else []
    if not common:
        raise InputError(
            f"the runs {', '.join(reports)} have no score in common. Withhold a part of the data in each (data.val_share)."
        )
    return {"runs": list(reports), "scores": {name: _describe([one[name] for one in of_runs]) for name in common}}


def seeds_table(table: Mapping[str, Any]) -> str:
    """Write what `mean_scores` returns as text.

    Parameters
    ----------
    table
        As `mean_scores` returns it.

    Returns
    -------
    One line a score: mean ± sd and the value of each run. Shares are in percent; of scores by class the F1 alone.

    Examples
    --------
    >>> print(seeds_table(mean_scores({"seed-0": {"kappa": 0.5}, "seed-1": {"kappa": 0.7}})).rstrip())
             mean ± sd  seed-0  seed-1
    kappa  60.0 ± 14.1    50.0    70.0
    """
    rows = [["", "mean ± sd", *table["runs"]]]
    for name, value in table["scores"].items():
        score = name.split(" ")[0]
        if score in BY_CLASS and score != "f1":
            continue
        share = score in SHARES or score == "leakage"
        values = (100 if share else 1) * np.array(value["values"], np.float64)
        digits = 1 if share else 3
        rows.append([name.replace("_", " "), spread(values, digits), *(spread([one], digits) for one in values)])
    return align_columns(rows)


def _scores(report: Report) -> Iterator[tuple[str, float | None]]:
    """Name and value of each score of a report; counts are none."""
    for name, value in report.items():
        if isinstance(value, Mapping) and name in BY_CLASS:
            yield from ((f"{name} {label}", one) for label, one in value.items())
        elif isinstance(value, float) or (value is None and name in SHARES):
            yield name, value
    leakage = report.get("protocol", {}).get("leakage", {})
    if LEAKAGE in leakage:
        yield "leakage", leakage[LEAKAGE]


def _describe(values: Sequence[float | None]) -> dict[str, Any]:
    known = _known(values)
    return {
        "mean": float(known.mean()) if known.size else None,
        "sd": float(known.std(ddof=1)) if known.size > 1 else None,
        "values": list(values),
    }


def _known(values: ArrayLike | Sequence[float | None]) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    return array[np.isfinite(array)]
