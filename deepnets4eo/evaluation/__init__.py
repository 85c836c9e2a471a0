"""A label raster against a reference, streamed: one protocol, one matrix, all scores."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from . import comparison, report, suspects
    from .comparison import (
        figures_at as figures_at,
        mean_scores as mean_scores,
        seeds_table as seeds_table,
        spread as spread,
    )
    from .label_reader import Keep, LabelReader, LegendLabels, Remedies
    from .options import (
        Intervals as Intervals,
        ProtocolChanges,
        ReportFiles,
        ScoredFiles,
        SuspectOptions,
        ValueRules,
        load_legend,
    )
    from .pairs import (
        card_protocol as card_protocol,
        dataset_pairs as dataset_pairs,
        evaluate_dataset as evaluate_dataset,
        evaluate_files,
    )
    from .report import ScoreNames, confusion_csv, confusion_figure, headline, percent
    from .sampled import MapReview as MapReview
    from .scoring import (
        Evaluation as Evaluation,
        Protocol as Protocol,
        evaluate as evaluate,
        evaluate_pairs as evaluate_pairs,
    )
    from .suspects import (
        class_thresholds,
        find_wrong_labels as find_wrong_labels,
        rank_wrong_labels as rank_wrong_labels,
    )
    from .values import evaluate_values as evaluate_values
    from .withheld import PredictedMap, SplitMap, Withheld as Withheld
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".comparison": ["figures_at", "mean_scores", "seeds_table", "spread"],
            ".options": ["Intervals"],
            ".pairs": ["card_protocol", "dataset_pairs", "evaluate_dataset"],
            ".sampled": ["MapReview"],
            ".scoring": ["Evaluation", "Protocol", "evaluate", "evaluate_pairs"],
            ".suspects": ["find_wrong_labels", "rank_wrong_labels"],
            ".values": ["evaluate_values"],
            ".withheld": ["Withheld"],
        },
        internal={
            ".": ["comparison", "report", "suspects"],
            ".label_reader": ["Keep", "LabelReader", "LegendLabels", "Remedies"],
            ".options": [
                "ProtocolChanges",
                "ReportFiles",
                "ScoredFiles",
                "SuspectOptions",
                "ValueRules",
                "load_legend",
            ],
            ".pairs": ["evaluate_files"],
            ".report": ["ScoreNames", "confusion_csv", "confusion_figure", "headline", "percent"],
            ".suspects": ["class_thresholds"],
            ".withheld": ["PredictedMap", "SplitMap"],
        },
    )
