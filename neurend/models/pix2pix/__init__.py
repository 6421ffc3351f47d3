"""Image translation: networks that turn aligned conditions into images."""
