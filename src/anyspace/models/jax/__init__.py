"""Models of JAX: the base class for models of users, and the built-in networks."""
