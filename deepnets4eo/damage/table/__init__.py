"""The table of a damage map: one row per building, its columns, grades, statuses and reasons, and the words of every product."""
