"""Neural Voice Puppetry (Thies et al., 2020): speech to expressions, trained on tracked films."""
