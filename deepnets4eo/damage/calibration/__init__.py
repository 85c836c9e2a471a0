"""Statistics of scores: probabilities of grades that hold on other places, and their pooling."""
