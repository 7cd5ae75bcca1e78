"""The built-in networks, written once over array namespaces for NumPy, JAX and TensorFlow.

**Formulas** (`dense.py`, `recurrent.py`, `gtrxl.py`) are made of weights and are then called: ``network = dense(p,
layers)``, then ``network(x)``. A compiled framework makes them inside of its compiled function, of weights that are
traced there; NumPy makes them once and acts with them. What PyTorch has of its own modules acts by the same formulas
(`models/torch/twins.py`).

**Models** are the formulas under the contract of `ModelV2`. A class of this folder takes a framework's base class with
it, and that is all there is of it in a framework::

    class FullyConnectedNetwork(pure.FullyConnectedNetwork, JaxModelV2): ...

1. The constructor draws all weights in NumPy (`drawing.py`, with the initialisers of `initializers.py`) and hands them
   to :meth:`ArrayModel.adopt`, which keeps them as its framework likes. A second call adds to the first: heads on top
   of a model have theirs beside the model's.
2. A pass reads ``self.weights`` and nothing else that changes. So a framework may put traced arrays there for a while,
   or keep variables there for good, and NumPy's arrays give a pass in NumPy.
3. Models within a model (the base beneath a memory, the networks of soft actor-critic) are attributes of it, with
   weights of their own. Seen from outside, the names of weights begin with the attribute's: ``base.encoder.0.weight``.
4. Names and layouts are those of the ``state_dict`` of the PyTorch module of the same class: ``weight`` is [out, in], a
   convolution [out, height, width, in], an LSTM's ``weight_ih_l0`` [4 H, F]. A checkpoint fits both.
5. Acting in NumPy goes through :meth:`ArrayModel.acting_pass`, in which what is made of weights alone is made once. It
   is asked of built-in networks alone: a class of a user runs under its framework, where all that it overrides counts.
6. What is decided by the configuration alone (sizes, filters, which layers there are) is decided in files that no
   framework owns: `models/architecture.py` and its neighbours. What is drawn or run is not.
"""
