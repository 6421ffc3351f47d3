"""Shading: the colours of surfaces from normals, directions and materials, pixel by pixel.

Everything takes arrays `[... 3]` of any shape, such as pictures that `texture.interpolate` makes of a mesh's vertices:
unit normals; `view`, unit towards the camera; positions in the world. Radiance is linear (`images.tone` and
`images.color` make a picture of it). Functions are differentiable in everything but shadows.

- `lights`: directional and point lights, and what any BRDF reflects of them.
- `classic`, `ggx`: BRDFs: Lambert, Blinn-Phong; the metallic-roughness model.
- `harmonics`: distant light as spherical harmonics, its irradiance, and its fit to photographs.
- `cubemaps`: environments as cube maps, from panoramas too.
- `environment`: an environment blurred beforehand for all roughnesses, and shading with it; `splitsum`: its table.
- `tangents`: normal maps.
- `shadows`: shadow maps.
- `reference`: an environment's reflection summed up texel by texel, slow and exact.
- `vectors`: arithmetic of `[... 3]` plane by plane.
"""
