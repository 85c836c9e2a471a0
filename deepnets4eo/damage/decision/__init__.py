"""From evidence and probabilities to a grade of every building, and to the numbers of a place."""
