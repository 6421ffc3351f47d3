"""Neural rendering as pure functions in JAX.

Import the rooms, not the house: `from neurend.geometry import cameras`. Importing `neurend` alone loads nothing else.
"""

__version__ = '0.1.0'
