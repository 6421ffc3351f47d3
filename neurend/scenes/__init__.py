"""Scene representations."""
