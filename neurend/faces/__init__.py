"""Face models: one algebra of blendshapes, and readers of the models that people hold."""
