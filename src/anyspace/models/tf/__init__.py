"""Models of TensorFlow: the base class for models of users, and the built-in networks."""

import os

# TensorFlow reads them when it is imported. It tells of its own settings in dozens of lines otherwise, of oneDNN's in
# every process; and oneDNN sums in an order of its own, which takes numbers further from those of other frameworks.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
