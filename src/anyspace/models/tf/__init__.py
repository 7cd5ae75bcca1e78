"""Models of TensorFlow: the base class for models of users, and the built-in networks."""

import os

# TensorFlow reads it when it is imported; it tells of its own settings in dozens of lines otherwise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
