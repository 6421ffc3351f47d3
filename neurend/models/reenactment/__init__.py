"""People and faces driven by others: conditions drawn from key points, and what prepares the key points."""
