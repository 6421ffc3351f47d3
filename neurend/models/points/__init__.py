"""Neural points: clouds whose points carry descriptors, and the network that makes a picture of them."""
