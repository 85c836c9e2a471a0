"""Counts of damage from some buildings that a person looked at, and maps that learn from them."""

from deepnets4eo.damage.review.answers import read_answers, write_review, write_sample
from deepnets4eo.damage.review.counts import CANNOT_TELL, Reviewed, review_counts
from deepnets4eo.damage.review.sample import Sample, draw_sample
from deepnets4eo.damage.review.site_look import look_of_map
from deepnets4eo.damage.review.taught_map import chosen_files, write_next, write_taught
from deepnets4eo.damage.review.teaching import Scores, Taught, choose_next, teach

__all__ = [
    "CANNOT_TELL",
    "Reviewed",
    "Sample",
    "Scores",
    "Taught",
    "choose_next",
    "chosen_files",
    "draw_sample",
    "look_of_map",
    "read_answers",
    "review_counts",
    "teach",
    "write_next",
    "write_review",
    "write_sample",
    "write_taught",
]
