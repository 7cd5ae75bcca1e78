import os

# Keras settles its backend when it is first imported.
os.environ.setdefault("KERAS_BACKEND", "jax")
# Tests run beside each other, one for each core: more threads than that wait for each other. Read by NumPy and PyTorch
# when they are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
