"""The parts of `neurend.render.rasterize`: which triangle each pixel shows, in integers and without gradients."""
