"""The array namespace of PyTorch; imported when the first tensor turns up."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch

from anyspace.maths.xp.base import Array, Axis, Namespace, Padding, Rng


class _Torch(Namespace):
    """PyTorch. ``rng`` None draws from its global generator."""

    array_type = torch.Tensor

    def __init__(self) -> None:
        super().__init__(torch)

    def _float_dtype(self, like: Array) -> Any:
        return torch.promote_types(like.dtype, torch.float32)

    def asarray(self, x: Any, *, like: Array) -> Array:
        if isinstance(x, torch.Tensor):
            return x.to(like.device)
        # A copy: sharing memory with a read-only array (JAX's, for one) would draw a warning.
        return torch.tensor(np.asarray(x), device=like.device)

    def astype(self, x: Array, dtype: str) -> Array:
        return x.to(getattr(torch, dtype))

    def widened(self, x: Array) -> Array:
        return x.to(self._float_dtype(x)) if x.is_floating_point() else x

    def cast(self, x: Any, *, like: Array) -> Array:
        return self.asarray(x, like=like).to(like.dtype)

    def mean(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        return torch.mean(x if x.is_floating_point() else x.float(), axis, keepdims)

    def full(self, shape: tuple[int, ...], value: float, *, like: Array) -> Array:
        return torch.full(shape, value, dtype=self._float_dtype(like), device=like.device)

    def arange(self, n: int, *, like: Array) -> Array:
        return torch.arange(n, device=like.device)

    def take_rows(self, x: Array, rows: Array) -> Array:
        if not isinstance(rows, torch.Tensor) or rows.dtype is torch.bool:
            signed = _SIGNED.get(x.dtype)
            return x[rows] if signed is None else x.view(signed)[rows].view(x.dtype)
        found = _picked(x, 0, rows)
        return found if rows.ndim == 1 else found.reshape(*rows.shape, *x.shape[1:])

    def take_columns(self, x: Array, columns: Array) -> Array:
        found = _picked(x, -1, columns)
        return found if columns.ndim == 1 else found.reshape(*x.shape[:-1], *columns.shape)

    def scatter_rows(self, x: Array, rows: Array, n: int) -> Array:
        return x.new_zeros((n, *x.shape[1:])).index_copy_(0, rows, x)

    def copy(self, x: Array) -> Array:
        return x.clone()

    def to_numpy(self, x: Array) -> Any:
        x = x.detach().cpu()
        # NumPy has no bfloat16.
        return (x.float() if x.dtype is torch.bfloat16 else x).numpy()

    def stop_gradient(self, x: Array) -> Array:
        return x.detach()

    def softplus(self, x: Array) -> Array:
        # Not torch's own: it cuts the tail off, and with it the gradient.
        return torch.logaddexp(x, torch.zeros_like(x))

    def huber(self, x: Array, delta: float) -> Array:
        return torch.nn.functional.huber_loss(x, torch.zeros_like(x), reduction="none", delta=delta)

    def relu(self, x: Array) -> Array:
        return x.relu()

    def convolve(self, x: Array, kernels: Array, stride: int, padding: Padding) -> Array:
        (top, bottom), (left, right) = padding
        x = torch.nn.functional.pad(x, (0, 0, left, right, top, bottom)).permute(0, 3, 1, 2)
        return torch.nn.functional.conv2d(x, kernels.permute(0, 3, 1, 2), stride=stride).permute(0, 2, 3, 1)

    def erf(self, x: Array) -> Array:
        return x.erf()

    def lgamma(self, x: Array) -> Array:
        return x.lgamma()

    def digamma(self, x: Array) -> Array:
        return x.digamma()

    def log_softmax(self, x: Array) -> Array:
        return x.log_softmax(-1)

    def softmax(self, x: Array) -> Array:
        return x.softmax(-1)

    def take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        return x.gather(axis, indices)

    def normal(self, rng: Rng, shape: tuple[int, ...], *, like: Array) -> Array:
        dtype = self._float_dtype(like)
        return torch.randn(shape, generator=rng, dtype=dtype, device=like.device)

    def gumbel(self, rng: Rng, shape: tuple[int, ...], *, like: Array) -> Array:
        dtype = self._float_dtype(like)
        waits = torch.empty(shape, dtype=dtype, device=like.device).exponential_(generator=rng)
        # A wait that rounds to 0 would give an infinite noise, which no masked logit could lose against.
        return waits.clamp_(min=torch.finfo(dtype).tiny).log_().neg_()

    def gamma(self, rng: Rng, concentration: Array) -> Array:
        # What torch.distributions.Gamma calls, which takes no generator.
        return torch._standard_gamma(concentration, generator=rng)


_SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
"""What an array of unsigned integers is seen as, where PyTorch picks no entries of those."""


def _picked(x: Array, axis: Literal[0, -1], places: Array) -> Array:
    """Return the entries ``places`` ``[*N]`` of an axis, one after the other.

    On the CPU ``index_select`` takes a third to a ninth of the time of ``x[places]``, but for strided arrays up to four
    times as long.
    """
    flat, signed = places if places.ndim == 1 else places.reshape(-1), _SIGNED.get(x.dtype)
    seen, at = x if signed is None else x.view(signed), flat if axis == 0 else (..., flat)
    found = seen.index_select(axis, flat) if seen.is_contiguous() else seen[at]
    return found if signed is None else found.view(x.dtype)


NAMESPACE = _Torch()
