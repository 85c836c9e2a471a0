"""Intensities of an event as priors of damage: read with their units, brought to probabilities by curves, combined with what images show."""
