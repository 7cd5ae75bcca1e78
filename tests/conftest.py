import os

# Keras settles its backend when it is first imported.
os.environ.setdefault("KERAS_BACKEND", "jax")
