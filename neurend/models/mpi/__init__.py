"""Multi-plane images: optimised for a scene, or predicted by networks."""
