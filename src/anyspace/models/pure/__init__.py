"""The built-in networks as formulas over arrays: no framework, no modules, the parameters a dict of arrays.

A formula is made of the parameters and is then called: ``step = lstm(ns, p, "rnn")``, then ``step(x, state)``. NumPy
makes it once and acts with it. A compiled framework makes it inside of its compiled function, of the parameters that
are traced there. Which array is which parameter is said elsewhere, for PyTorch in `models/torch/twins.py`.

Kernels are ``[in, out]``, so that a layer is ``x @ kernel + bias``.
"""
