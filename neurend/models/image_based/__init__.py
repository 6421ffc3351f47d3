"""Image-based rendering: photographs warped by the depth of a proxy, blended and finished by networks."""
