"""Spaces beside Gymnasium's, and what the bytes of a Box are a picture of."""
