"""DeepVoxels: a persistent volume of features, lifted from photographs and projected into new views."""
