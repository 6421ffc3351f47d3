"""Deferred neural rendering: meshes with textures of features, and the network that finishes the picture."""
