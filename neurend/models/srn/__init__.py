"""Scene Representation Networks: a function of points, a learned ray marcher, and a hypernetwork over many scenes."""
