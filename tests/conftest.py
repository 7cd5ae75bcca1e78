import os

# Tests run beside each other, one for each core: more threads than that wait for each other. Read by NumPy and PyTorch
# when they are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
