"""Looking at results: one HTML page."""
