"""Radiance fields: methods that take rays and give colour, opacity and depth."""
