"""Renderers: pure functions of arrays and of other functions."""
