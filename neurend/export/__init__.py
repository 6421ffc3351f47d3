"""What other programs read: animated faces, tables of coefficients."""
