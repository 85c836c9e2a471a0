"""Counts of damage from some buildings that a person looked at."""

from deepnets4eo.damage.review.answers import read_answers, write_review, write_sample
from deepnets4eo.damage.review.counts import CANNOT_TELL, Reviewed, review_counts
from deepnets4eo.damage.review.sample import Sample, draw_sample

__all__ = [
    "CANNOT_TELL",
    "Reviewed",
    "Sample",
    "draw_sample",
    "read_answers",
    "review_counts",
    "write_review",
    "write_sample",
]
