"""Scenes of Gaussians learned from posed photographs."""
