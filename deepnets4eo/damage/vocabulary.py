"""The words of a damage map's columns: grades, statuses, and the methods by which a building was assessed."""

from __future__ import annotations

SUBJECT = "Building damage"  # of titles

GRADES = ("no-damage", "minor-damage", "major-damage", "destroyed")  # by rising severity
BORDERS = GRADES[1:]  # the border below each of them
DAMAGED = GRADES[2:]  # what damage_prob is the probability of

ASSESSED, NOT_ASSESSED = "assessed", "not_assessed"
STATUSES = (ASSESSED, NOT_ASSESSED)
UNGRADED = NOT_ASSESSED.replace("_", "-")  # the class of buildings without a grade, written as grades are
CLASSES = (*GRADES, UNGRADED)

PRE_POST, POST_ONLY = "pre_post", "post_only"
METHODS = (PRE_POST, POST_ONLY)
