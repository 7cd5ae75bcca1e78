"""Models of TensorFlow: the base class for models of users, and the built-in networks."""

import os

# TensorFlow reads them when it is imported; it tells of its own settings in dozens of lines otherwise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
