"""Posed photographs from the formats of the field, and the batches that training draws from them."""
