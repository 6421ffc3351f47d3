"""Images: files, colour, resampling, metrics, pictures to look at, video."""
