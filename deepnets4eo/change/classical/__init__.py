"""Change without training: scores of a pair from its own statistics, thresholds, and the segmenter around them."""
