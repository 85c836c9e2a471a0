"""The job and the page of every map of regions: images in, a folder of products out.

A branch states what it reads, opens it, measures its segmenter and draws its products; all else is here.
"""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from deepnets4eo.outputs import Headline as Headline
    from deepnets4eo.outputs.map_page import Overlay as Overlay

    from .areas import (
        LabelArea as LabelArea,
        label_area as label_area,
        redraw_blocks,
        scored_polygons as scored_polygons,
    )
    from .map_job import (
        LABELS,
        PROBABILITIES,
        Drawn as Drawn,
        MapJob as MapJob,
        Measured as Measured,
        OpenedScene as OpenedScene,
        RegionMap as RegionMap,
        Style as Style,
    )
    from .rasters import origin_tags, write_labels_and_score as write_labels_and_score
    from .region_page import (
        RegionPage as RegionPage,
        one_class as one_class,
        page_language,
        pairs_of,
        region_kind as region_kind,
    )
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".areas": ["LabelArea", "label_area", "scored_polygons"],
            ".map_job": ["Drawn", "MapJob", "Measured", "OpenedScene", "RegionMap", "Style"],
            ".rasters": ["write_labels_and_score"],
            "deepnets4eo.outputs": ["Headline"],
            "deepnets4eo.outputs.map_page": ["Overlay"],
            ".region_page": ["RegionPage", "one_class", "region_kind"],
        },
        internal={
            ".areas": ["redraw_blocks"],
            ".map_job": ["LABELS", "PROBABILITIES"],
            ".rasters": ["origin_tags"],
            ".region_page": ["page_language", "pairs_of"],
        },
    )
