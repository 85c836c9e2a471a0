"""What a ranking of rare changes is made with; every value is written beside the result."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from deepnets4eo.options import option_group

CELLS: dict[str, Any] = {"group": "Cells"}
BASELINE: dict[str, Any] = {"group": "Baseline"}
RANKING: dict[str, Any] = {"group": "Ranking"}


@option_group
class NoveltyOptions:
    """How cells are described, compared with earlier dates, and ranked.

    Parameters
    ----------
    cell_px, stride_px
        Side and distance of the cells, pixels; without a stride they lie side by side.
    min_valid
        Share of a cell's pixels that must be valid at a date.
    features
        "spectral": means, spreads and textures of bands and indices; "autoencoder": what a small network, trained on the
        series itself, needs to restore it.
    encoder, weights
        An encoder by its name in timm and a .safetensors file of its weights, instead of both.
    history
        The baseline is the median of so many valid dates before.
    season_days
        Where two earlier years or more have dates within so many days of the season, the baseline is their median.
    persistence
        A change must hold at so many later valid dates; 0 ranks changes of a single date too.
    candidates
        Share of the cells of each date that are looked at, those that changed most.
    clusters, clustering
        Number of clusters of k-means, or clusters by density ("hdbscan"), which finds their number itself.
    rank_by
        "rarity": magnitude × −log of the cluster's share; "isolation": magnitude × isolation forest; "magnitude".
    seed
        The seed of the clusters.
    """

    cell_px: Annotated[int, Field(description="Side of a cell, pixels.", ge=4, le=4096, json_schema_extra=CELLS)] = 32
    stride_px: Annotated[
        int | None,
        Field(description="Distance of cells, pixels; by default their side.", ge=4, json_schema_extra=CELLS),
    ] = None
    min_valid: Annotated[
        float, Field(description="Share of a cell that must be valid at a date.", gt=0, le=1, json_schema_extra=CELLS)
    ] = 0.7
    features: Annotated[
        Literal["spectral", "autoencoder"],
        Field(
            description="Describe cells by bands, indices and textures, or by an autoencoder trained on the series itself.",
            json_schema_extra=CELLS,
        ),
    ] = "spectral"
    encoder: Annotated[
        str | None,
        Field(description="Describe cells by this encoder of timm, e.g. resnet18.", json_schema_extra=CELLS),
    ] = None
    weights: Annotated[str | None, Field(description="Its weights, a .safetensors file.", json_schema_extra=CELLS)] = (
        None
    )
    history: Annotated[
        int,
        Field(
            description="The baseline is the median of so many valid dates before.", ge=3, json_schema_extra=BASELINE
        ),
    ] = 3
    season_days: Annotated[
        int,
        Field(
            description="Compare with dates within so many days of the season, where two earlier years have them.",
            ge=0, le=183, json_schema_extra=BASELINE,
        ),
    ] = 30  # fmt: skip
    persistence: Annotated[
        int,
        Field(description="A change must hold at so many later valid dates.", ge=0, json_schema_extra=BASELINE),
    ] = 2
    candidates: Annotated[
        float,
        Field(description="Share of the cells of a date that are clustered.", gt=0, le=1, json_schema_extra=RANKING),
    ] = 0.05
    clusters: Annotated[int, Field(description="Clusters of k-means.", ge=1, json_schema_extra=RANKING)] = 16
    clustering: Annotated[
        Literal["k-means", "hdbscan"], Field(description="How changes are grouped.", json_schema_extra=RANKING)
    ] = "k-means"
    rank_by: Annotated[
        Literal["rarity", "isolation", "magnitude"],
        Field(description="What multiplies the magnitude: rarity, isolation, or nothing.", json_schema_extra=RANKING),
    ] = "rarity"
    seed: int = 0
