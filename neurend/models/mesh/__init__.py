"""Meshes that are fitted to pictures."""
