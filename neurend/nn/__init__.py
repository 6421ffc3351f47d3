"""Networks, encodings and grids."""
