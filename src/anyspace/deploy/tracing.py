"""A step as an ONNX graph: PyTorch traces the policy's own code.

Policies of JAX and TensorFlow are traced through a twin in PyTorch, whose built-in networks have the same weights by
the same names.
"""

from __future__ import annotations

import contextlib
import logging
import re
import traceback
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import nn

from anyspace.deploy.step import PolicyStep
from anyspace.errors import CheckpointError, ExportError
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import NumpyArray, NumpyForward, RandomSource
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.policy import Policy

OPSET = 18
"""Version of ONNX's operations: the oldest one that PyTorch's exporter writes without converting."""

_TALKATIVE = (
    "anyspace",
    "torch.fx.experimental.symbolic_shapes",
    "torch.onnx._internal.exporter._registration",
    "onnxscript.optimizer._constant_folding",
)
"""Loggers of what does not concern who exports."""

_LIBRARIES = (str(Path(__file__).parents[1]), str(Path(torch.__file__).parent))


def require_packages() -> None:
    """Raise :class:`ExportError` unless what writes and checks files is installed."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ExportError(f"export takes {', '.join(missing)}: pip install 'anyspace[export]'.")


class TracingRuntime(TorchRuntime):
    """PyTorch on the CPU; while it traces, tensors stay tensors where acting would hand over NumPy's arrays."""

    def __init__(self) -> None:
        super().__init__("cpu")
        self._traces = False

    @contextlib.contextmanager
    def tracing(self) -> Iterator[None]:
        """Return the context in which a step is traced."""
        self._traces = True
        try:
            yield
        finally:
            self._traces = False

    def asarray(self, array: NumpyArray | torch.Tensor) -> torch.Tensor:
        """Return a tensor as it is, an array as a tensor."""
        return array if isinstance(array, torch.Tensor) else super().asarray(array)

    def numpy(self, tensor: torch.Tensor | NumpyArray) -> Any:
        """Return an array, while tracing the tensor."""
        return tensor if self._traces else super().numpy(tensor)

    def acting(self) -> AbstractContextManager[object]:
        """Return ``torch.inference_mode``, which cannot be traced; while tracing, ``torch.no_grad``."""
        return torch.no_grad() if self._traces else super().acting()

    @contextlib.contextmanager
    def own_randomness(self, source: RandomSource) -> Iterator[None]:
        """Draw nothing while tracing: a file has no random source."""
        with nullcontext() if self._traces else super().own_randomness(source):
            yield

    def numpy_pass(self, model: ModelV2) -> NumpyForward | None:
        """Return None: the network itself is traced."""
        return None


def traceable(policy: Pipeline) -> Policy:
    """Return a policy in PyTorch on the CPU that acts like ``policy``.

    Raises:
        ExportError: it has a model of another framework that is not built in.
    """
    framework = policy.runtime.framework
    name = f"{type(policy.model).__module__}.{type(policy.model).__name__}"
    if framework != "torch" and (policy.plan.custom or policy.config.model.custom_model is not None):
        raise ExportError(
            f"{name} is a custom model of framework {framework!r}, and PyTorch is what writes the file. Built-in models"
            " of every framework can be exported, and custom ones of PyTorch: write it as a TorchModelV2 with the same"
            " weights."
        )
    spaces = (policy.observation_space, policy.env_action_space)
    with _quiet():  # what there is to say of spaces was said of the policy
        twin = Policy(*spaces, policy.config, TracingRuntime(), policy.plan)
    try:
        twin.load_weights(policy.weights())
    except CheckpointError as error:
        raise ExportError(f"the weights of {name} do not fit the same model in PyTorch: {error}") from error
    twin.masking.origin = policy.masking.found_origin()
    return twin


class _Traced(nn.Module):
    """A step from tensors to tensors, in the order of its inputs and outputs."""

    def __init__(self, step: PolicyStep):
        super().__init__()
        self.model = step.policy.model  # so that its weights are the graph's
        self.__dict__["_step"] = step

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        step: PolicyStep = self.__dict__["_step"]
        given = {port.name: tensor for port, tensor in zip(step.inputs, tensors, strict=True)}
        found = step(given)
        return tuple(found[port.name] for port in step.outputs)


def write_graph(step: PolicyStep, path: Path) -> None:
    """Trace a step of a :func:`traceable` policy and write its graph.

    Raises:
        ExportError: a model, a distribution or an exploration cannot be traced; it names the operation.
    """
    runtime = step.policy.runtime
    assert isinstance(runtime, TracingRuntime)
    module = _Traced(step).eval()
    example = tuple(torch.from_numpy(port.zeros()) for port in step.inputs)
    with torch.no_grad(), runtime.tracing(), _quiet():
        # What is computed once and kept, such as statistics on the device, is kept from a real pass.
        module(*example)
        try:
            exported = torch.export.export(module, example, strict=False)
        except Exception as error:
            raise ExportError(_untraceable(step.policy, error)) from error
        try:
            program = torch.onnx.export(
                exported,
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[port.name for port in step.inputs],
                output_names=[port.name for port in step.outputs],
            )
        except Exception as error:
            raise ExportError(_without_operation(step, exported, error)) from error
    assert program is not None
    program.save(path, include_initializers=True, external_data=False)


def _untraceable(policy: Pipeline, error: Exception) -> str:
    """Return what is said of code that PyTorch cannot trace: the user's line that it stopped at."""
    frames = traceback.extract_tb(error.__traceback__)
    users = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES) and "contextlib" not in frame.name]
    users = [frame for frame in users if not frame.filename.startswith("<")]
    where = f" at {users[-1].filename}:{users[-1].lineno}: `{users[-1].line}`" if users else ""
    return (
        f"{type(policy.model).__name__} cannot be traced, it stops{where} ({_first_line(error)}). What a graph computes"
        " may not depend on Python's `if`, `len`, `.item()` or NumPy applied to a tensor's values: write it with"
        " torch.where and other operations on tensors."
    )


def _without_operation(step: PolicyStep, exported: torch.export.ExportedProgram, error: BaseException) -> str:
    """Return what is said of an operation that ONNX does not have, with the user's line where that is known."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    found = [match[1] for cause in causes for match in re.finditer(r"OpOverload\(op='([^']+)'", str(cause))]
    if not found:
        return (
            f"{type(step.policy.model).__name__} cannot be written as an ONNX graph ({_first_line(causes[-1])}). Leave"
            " out parts of the model until you have found the one, and write it with other operations."
        )
    operation = found[-1]
    traces = [str(node.stack_trace) for node in exported.graph.nodes if str(node.target).startswith(f"{operation}.")]
    lines = [match for trace in traces for match in re.findall(r'File "([^"]+)", line (\d+)', trace)]
    users = [f" at {file}:{line}" for file, line in lines if not file.startswith(_LIBRARIES)]
    return (
        f"{type(step.policy.model).__name__} uses the operation {operation}{users[-1] if users else ''}, which ONNX"
        " does not have. Write that part of the model with other operations."
    )


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]:.200}" if lines else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what PyTorch says while it traces: that models keep their latest output, what a graph looks like."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(StringIO()), contextlib.redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
