"""Floor 1: rotations, rigid transforms, cameras, rays, paths, sampling along rays and in grids.

Conventions: the camera frame is OpenCV's (x right, y down, z forward); the centre of the first pixel is (0.5, 0.5);
transforms are named `target_from_source`. Functions take any leading dims `...`, which broadcast with each other as in
NumPy, unless they say otherwise, and are differentiable in forward and reverse mode.
"""
