"""The PyTorch runtime: conversions, the random source, gradient switches and parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from anyspace.errors import ConfigError, ModelError
from anyspace.maths.cell import Cell
from anyspace.maths.xp.torch import NAMESPACE
from anyspace.models.host import require_fit
from anyspace.models.modelv2 import ModelV2, is_own
from anyspace.models.runtime import Device, Layer, NumpyArray, NumpyForward, RandomSource
from anyspace.models.torch.layers import within
from anyspace.models.torch.outside import require_none_outside
from anyspace.models.torch.twins import Twins
from anyspace.tree import Tree

SMALL_MODEL = 1_000_000
"""Parameters below which ``device="auto"`` stays on the CPU."""

SEVERAL_THREADS = 100_000_000
"""Rows times parameters from which several threads of a CPU compute longer than they wait for each other.

SAC's updates with networks of 256x256 on 256 rows, 52 million, take 0.75 of the time on two threads of one machine, 1.2
on those of another, and 1.4 where two other processes run; on 1,024 rows 0.9 on the latter. Recurrent layers see one
step of each sequence at a time: an LSTM of 256 on 256 rows takes 1.35 of the time on two threads.
"""


class TorchRuntime:
    """PyTorch on one device; see :class:`anyspace.models.runtime.Runtime`.

    Args:
        device: ``auto`` takes the accelerator for models of :data:`SMALL_MODEL` parameters or more.

    Raises:
        ConfigError: if the device is not there.
    """

    framework = "torch"

    def __init__(self, device: Device = "auto"):
        self.device: str = device
        missing = (device == "cuda" and not torch.cuda.is_available()) or (
            device == "mps" and not torch.backends.mps.is_available()
        )
        if missing:
            raise ConfigError(f"config key `device` is {device!r}, but PyTorch finds no such device; use 'auto'.")
        self._generators: dict[RandomSource, torch.Generator] = {}
        self.seed(0)
        self._borrowed: RandomSource | None = None
        self._parameters = self._at_once = 0
        self._twins = Twins()

    @contextlib.contextmanager
    def initialising(self, seed: int) -> Iterator[None]:
        """Seed the global generator for the length of the context and put it back afterwards."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield

    def cell(self, value: float | NumpyArray) -> Cell:
        """Return a cell whose value is a plain number, or a tensor on the device."""

        def placed(host: NumpyArray) -> torch.Tensor | float:
            # Acting may be the first to read it, and what is made in inference mode may not meet a gradient later.
            with torch.inference_mode(False):
                return self.asarray(host) if host.ndim else float(host)

        return Cell(value, placed)

    def place(self, model: ModelV2) -> None:
        """Settle the device by the first model that is placed, and move ``model`` there.

        Raises:
            ModelError: it is no module, or has a lazy layer that has not made its weights.
        """
        module = _module(model)
        _require_widths(module)
        self._parameters = sum(parameter.numel() for parameter in module.parameters())
        recurrent = [layer for layer in module.modules() if isinstance(layer, nn.RNNBase)]
        in_steps = sum(parameter.numel() for layer in recurrent for parameter in layer.parameters())
        self._at_once = self._parameters - in_steps + in_steps // max(1, model.model_config.get("max_seq_len", 1))
        large = self._parameters >= SMALL_MODEL
        if self.device == "auto":
            accelerators = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
            self.device = next((name for name, there in accelerators.items() if there and large), "cpu")
        module.to(self.device)

    def asarray(self, array: NumpyArray) -> torch.Tensor:
        """Return ``array`` as a tensor on the device; on the CPU they share memory.

        Where PyTorch cannot share it, because it is read-only or runs backwards, it is copied.
        """
        if not array.flags.writeable or min(array.strides, default=0) < 0:
            array = array.copy()
        tensor = torch.from_numpy(array)
        return tensor if self.device == "cpu" else tensor.to(self.device, non_blocking=True)

    def native(self, array: torch.Tensor) -> torch.Tensor:
        """Return the tensor as it is."""
        return array

    def numpy(self, tensor: torch.Tensor | NumpyArray) -> NumpyArray:
        """Return ``tensor`` as a NumPy array; on the CPU they share memory. What is one already comes back.

        Those of bfloat16, for which NumPy has no type, are copied as float32.
        """
        if isinstance(tensor, np.ndarray):  # from a distribution or a model of the user's
            return tensor
        array: NumpyArray = NAMESPACE.to_numpy(tensor)
        return array

    @contextlib.contextmanager
    def threads_for(self, rows: int) -> Iterator[None]:
        """Use one thread for little work on the CPU: several wait for each other longer than they compute."""
        if self.device != "cpu" or rows * self._at_once >= SEVERAL_THREADS:
            yield
            return
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

    def numpy_pass(self, model: ModelV2) -> NumpyForward | None:
        """Return the NumPy twin of a small model on the CPU, where it has one."""
        small = self.device == "cpu" and self._parameters < SMALL_MODEL
        return self._twins.of(model) if small else None

    def compiles(self, model: ModelV2) -> bool:
        """Return False: modules run as they are."""
        return False

    def compile(self, model: ModelV2, function: Callable[..., Tree]) -> Callable[..., Tree]:
        """Return the function as it is."""
        return function

    def acting(self) -> AbstractContextManager[object]:
        """Return ``torch.inference_mode``."""
        return torch.inference_mode()

    def trial(self) -> AbstractContextManager[object]:
        """Return ``torch.no_grad``: what a model computes once and keeps is to enter gradient steps later."""
        return torch.no_grad()

    def explaining(self, where: str) -> AbstractContextManager[object]:
        """Do nothing: nothing is traced."""
        return contextlib.nullcontext()

    def no_grad(self) -> AbstractContextManager[object]:
        """Return ``torch.no_grad``."""
        return torch.no_grad()

    def seed(self, seed: int) -> None:
        """Start a generator for every source, on the device."""
        names = get_args(RandomSource)
        for name, stream in zip(names, np.random.SeedSequence(seed).spawn(len(names)), strict=True):
            self._generators[name] = torch.Generator("cpu" if self.device == "auto" else self.device)
            self._generators[name].manual_seed(int(stream.generate_state(1, np.uint64)[0]))

    def rng(self, source: RandomSource, like: object = None) -> torch.Generator:
        """Return the generator of a source."""
        return self._generators[source]

    @contextlib.contextmanager
    def own_randomness(self, source: RandomSource) -> Iterator[None]:
        """Seed PyTorch's global generators from a source's for the length of the context, then put them back."""
        if self._borrowed == source:
            yield
            return
        before, self._borrowed = self._borrowed, source
        seed = int(torch.randint(2**62, (), generator=self._generators[source], device=self.device))
        state = torch.default_generator.get_state()
        accelerator = {"cuda": torch.cuda, "mps": torch.mps}.get(self.device)
        beside = None if accelerator is None else accelerator.get_rng_state()
        try:
            if accelerator is not None:
                accelerator.manual_seed(seed)
            # torch.manual_seed() notes for each kind of device that is not there who called it, which takes 1 ms.
            torch.default_generator.manual_seed(seed)
            yield
        finally:
            torch.default_generator.set_state(state)
            if accelerator is not None:
                accelerator.set_rng_state(beside)
            self._borrowed = before

    def rng_state(self) -> dict[str, npt.NDArray[np.uint8]]:
        """Return the state of each generator as bytes."""
        return {name: generator.get_state().numpy().copy() for name, generator in self._generators.items()}

    def set_rng_state(self, state: Mapping[str, npt.NDArray[np.uint8]]) -> None:
        """Restore generators. What another framework saved is left alone: its streams cannot go on here."""
        for name, generator in self._generators.items():
            if name in state and len(state[name]) == generator.get_state().numel():
                generator.set_state(torch.from_numpy(np.array(state[name], np.uint8)))

    def permutation(self, n: int) -> torch.Tensor:
        """Return a random order of ``0..n-1``, int64 [n]."""
        return torch.randperm(n, generator=self._generators["learning"], device=self.device)

    def holders(self, model: ModelV2) -> frozenset[int]:
        """Return the ids of the parameters."""
        return frozenset(map(id, _module(model).parameters()))

    def set_training(self, model: ModelV2, training: bool) -> None:
        """Call ``train()`` or ``eval()`` where the mode differs."""
        module = _module(model)
        if module.training == training:
            return
        modules = within(module)
        if any(isinstance(one, torch.jit.ScriptModule) or is_own(one.train, nn.Module.train) for one in modules):
            module.train(training)
            return
        for one in modules:
            one.__dict__["training"] = training

    def has_batch_statistics(self, model: ModelV2) -> bool:
        """Return whether there is a batch normalisation of any kind among the layers."""
        return any(isinstance(layer, _BatchNorm) for layer in _module(model).modules())

    def trained(self, model: ModelV2) -> frozenset[str]:
        """Return the names of the parameters that require a gradient, all names of one that has several."""
        named = _module(model).named_parameters(remove_duplicate=False)
        return frozenset(name for name, parameter in named if parameter.requires_grad)

    def frozen(self, model: ModelV2) -> frozenset[str]:
        """Return the names of the parameters that require no gradient."""
        return frozenset(name for name, one in _module(model).named_parameters() if not one.requires_grad)

    def freeze(self, model: ModelV2, names: frozenset[str]) -> None:
        """Let the parameters of these names require no gradient, and all others one."""
        for name, parameter in _module(model).named_parameters():
            if parameter.requires_grad == (name in names):
                parameter.requires_grad_(name not in names)

    def narrow(self, model: ModelV2) -> frozenset[str]:
        """Return the names of the trained parameters of fewer than 32 bits."""
        module = _module(model)
        return frozenset(name for name in self.trained(model) if module.get_parameter(name).element_size() < 4)

    def reached(self, model: ModelV2, compute: Callable[[], Sequence[torch.Tensor]]) -> list[frozenset[str]]:
        """Return to which parameters gradients go; see the protocol."""
        module = _module(model)
        parameters = dict(module.named_parameters())
        frozen = [one for one in parameters.values() if not one.requires_grad and one.is_floating_point()]
        for parameter in frozen:
            parameter.requires_grad_(True)
        try:
            with torch.enable_grad():
                results = compute()
                require_none_outside(module, results, compute)
                return [_reached(array, parameters) for array in results]
        finally:
            for parameter in frozen:
                parameter.requires_grad_(False)

    def parameters(self, model: ModelV2) -> dict[str, NumpyArray]:
        """Return copies of parameters and buffers by name."""
        return {name: self.numpy(value).copy() for name, value in _module(model).state_dict().items()}

    def load_parameters(self, model: ModelV2, values: dict[str, NumpyArray]) -> None:
        """Set parameters and buffers by name; see the protocol."""
        module = _module(model)
        own = {name: tuple(value.shape) for name, value in module.state_dict().items()}
        require_fit(own, {name: value.shape for name, value in values.items()})
        module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in values.items()})

    def layers(self, model: ModelV2) -> list[Layer]:
        """Return the layers that hold parameters, in order."""
        return list(_layers(_module(model)))


def _layers(module: nn.Module) -> Iterator[Layer]:
    for name, child in module.named_modules():
        own = list(child.named_parameters(recurse=False))
        if own:
            shapes = ", ".join(f"{key} {tuple(value.shape)}" for key, value in own)
            kind = type(child).__name__
            yield Layer(name or "(model)", kind, shapes, sum(value.numel() for _, value in own))


def _reached(array: torch.Tensor, parameters: Mapping[str, nn.Parameter]) -> frozenset[str]:
    if not array.requires_grad:
        return frozenset()
    inputs = [parameter for parameter in parameters.values() if parameter.requires_grad]
    gradients = torch.autograd.grad(array.sum(), inputs, retain_graph=True, allow_unused=True)
    found = {id(parameter) for parameter, gradient in zip(inputs, gradients, strict=True) if gradient is not None}
    return frozenset(name for name, parameter in parameters.items() if id(parameter) in found)


def _require_widths(module: nn.Module) -> None:
    """Require that no layer waits for a first pass to learn how wide its inputs are."""
    for name, one in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(one):
            raise ModelError(
                f"{type(module).__name__}: `{name}` is of a lazy layer, whose weights a first pass would make, but they"
                " have to be there when the constructor is left: take the layer that is not lazy, and give it the width"
                " of its inputs (in_features, in_channels or num_features)."
            )


def _module(model: ModelV2) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{type(model).__name__} is not an nn.Module, as PyTorch models have to be; derive it from TorchModelV2."
        )
    return model
