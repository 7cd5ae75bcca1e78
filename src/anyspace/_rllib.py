"""What `anyspace.rllib` offers that has no other home: column names, decorators, stand-ins for what is not built.

Only files written for RLlib's old stack need any of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from anyspace import spaces
from anyspace.data import atari
from anyspace.errors import ConfigError

T = TypeVar("T")
Floats = npt.NDArray[np.floating[Any]]

# ---------------------------------------------------------------------------------------------- typing

TensorType = Any
"""An array of any framework; the other names of arrays and nested arrays mean the same."""
DictType = dict[str, Any]
"""Configurations and weights by name."""
Name = str
"""Of policies and agents."""


# --------------------------------------------------------------------------------------------- columns


class SampleBatch(dict[str, Any]):
    """Columns by name, with the names as attributes. Models get an `InputDict`, which has the same names."""

    OBS = CUR_OBS = "obs"
    NEXT_OBS = "new_obs"
    ACTIONS = "actions"
    REWARDS = "rewards"
    PREV_ACTIONS = "prev_actions"
    PREV_REWARDS = "prev_rewards"
    TERMINATEDS = "terminateds"
    TRUNCATEDS = "truncateds"
    INFOS = "infos"
    SEQ_LENS = "seq_lens"
    T = "t"
    EPS_ID = "eps_id"
    UNROLL_ID = "unroll_id"
    AGENT_INDEX = "agent_index"
    ACTION_DIST_INPUTS = "action_dist_inputs"
    ACTION_LOGP = "action_logp"
    ACTION_PROB = "action_prob"
    VF_PREDS = "vf_preds"

    @property
    def count(self) -> int:
        """How many rows there are; 0 without columns."""
        return len(next(iter(self.values()), ()))


DEFAULT_POLICY_ID = "default_policy"


class Postprocessing:
    """Names of the columns that advantage estimation adds."""

    ADVANTAGES = "advantages"
    VALUE_TARGETS = "value_targets"


class EnvContext(dict[str, Any]):
    """An environment's configuration, and which of the collecting processes and environments it is for.

    Environments get a plain dict (``env_config``), because there is one process here. This class is for annotations,
    and for code that builds its own environments.

    Args:
        env_config: the keys.
        worker_index: number of the process, counted from 1 where there are several.
        vector_index: number of the environment in it.
        remote: accepted for old call sites.
        num_workers: how many processes there are.
    """

    def __init__(
        self,
        env_config: dict[str, Any],
        worker_index: int = 0,
        vector_index: int = 0,
        remote: bool = False,
        num_workers: int | None = None,
    ):
        super().__init__(env_config)
        self.worker_index, self.vector_index = worker_index, vector_index
        self.remote, self.num_workers = remote, num_workers


# ------------------------------------------------------------------------------------------ decorators


def override(parent: type) -> Callable[[T], T]:
    """Return a decorator that leaves a method as it is; readers see whose method it replaces."""
    return lambda method: method


def api(marked: Any = None, *, stability: str = "stable") -> Any:
    """Return the marked class or function unchanged. It may have arguments, as in ``@PublicAPI(stability="beta")``."""
    return api if marked is None else marked


# ------------------------------------------------------------------------------------------ frameworks


def try_import_tf(error: bool = False) -> tuple[None, None, None]:
    """Return three times None: there is no TensorFlow here.

    Raises:
        ImportError: ``error`` asks for one.
    """
    _absent("TensorFlow", error)
    return None, None, None


def try_import_tfp(error: bool = False) -> None:
    """Return None: there is no TensorFlow Probability here.

    Raises:
        ImportError: ``error`` asks for one.
    """
    _absent("TensorFlow Probability", error)


def try_import_jax(error: bool = False) -> tuple[None, None]:
    """Return None for jax and for flax: models are PyTorch's.

    Raises:
        ImportError: ``error`` asks for one.
    """
    _absent("JAX", error)
    return None, None


def _absent(framework: str, error: bool) -> None:
    if error:
        raise ImportError(f"anyspace has no models of {framework}; use PyTorch (try_import_torch).")


# ----------------------------------------------------------------------------------------------- NumPy

SMALL_NUMBER = 1e-6
MIN_LOG_NN_OUTPUT, MAX_LOG_NN_OUTPUT = -5, 2


def one_hot(x: Any, depth: int = 0, on_value: float = 1.0, off_value: float = 0.0) -> Floats:
    """Return numbers [...] as one-hot float32 [..., depth], without what comes after the decimal point.

    Args:
        x: numbers, 0 to below ``depth``.
        depth: how many options there are; 0: one more than the largest of ``x``.
        on_value: what stands for the option.
        off_value: what stands for all others.

    Raises:
        ValueError: a number is out of range.
    """
    indices = np.asarray(x).astype(np.int64)
    depth = depth or int(indices.max()) + 1
    if indices.min(initial=0) < 0 or indices.max(initial=0) >= depth:
        raise ValueError(f"one_hot: expected numbers from 0 to below depth = {depth}, got {x}.")
    return np.where(indices[..., None] == np.arange(depth), on_value, off_value).astype(np.float32)


def softmax(x: Any, axis: int = -1, epsilon: float | None = None) -> Floats:
    """Return exp(x) / sum(exp(x)), nothing in it below ``epsilon`` (None: 1e-6)."""
    exponentials = np.exp(x - np.max(x, axis=axis, keepdims=True))
    shares: Floats = exponentials / exponentials.sum(axis=axis, keepdims=True)
    return shares.clip(min=SMALL_NUMBER if epsilon is None else epsilon)


def relu(x: Any, alpha: float = 0.0) -> Floats:
    """Return ``x`` where it is above 0, else ``alpha * x``."""
    values: Floats = np.asarray(x, np.float64)
    return np.where(values > 0, values, alpha * values)


def sigmoid(x: Any, derivative: bool = False) -> Floats:
    """Return 1 / (1 + exp(-x)); with ``derivative``, x (1 - x) for ``x`` that are such results."""
    values: Floats = np.asarray(x, np.float64)
    return values * (1 - values) if derivative else 1 / (1 + np.exp(-values))


# ---------------------------------------------------------------------------- preprocessors, wrappers


def get_preprocessor(space: gym.Space[Any], include_multi_binary: bool = False) -> type[spaces.Preprocessor]:
    """Return the class of a space's preprocessor, as in ``get_preprocessor(space)(space).size``.

    Args:
        space: the observation space.
        include_multi_binary: accepted for old call sites; MultiBinary passes as it is.

    Raises:
        UnsupportedSpaceError: naming the leaf that has no encoding.
    """
    return type(spaces.get_preprocessor(space))


def wrap_deepmind(env: atari.Env, dim: int = 84, framestack: bool = True, noframeskip: bool = False) -> atari.Env:
    """Put the wrappers of DQN around an Atari environment (`anyspace.data.atari.wrap_deepmind`).

    Args:
        env: ale_py's.
        dim: side of the pictures, in pixels.
        framestack: observe the last four frames instead of one.
        noframeskip: accepted for old call sites; the environment itself knows whether it skips frames.
    """
    return atari.wrap_deepmind(env, dim=dim, framestack=framestack)


# ------------------------------------------------------------------------------------- what is not here


class JsonReader:
    """Reader of recorded experiences, in name only.

    Raises:
        NotImplementedError: when it is constructed.
    """

    def __new__(cls, *_: object, **__: object) -> NoReturn:
        """Refuse to be constructed."""
        raise NotImplementedError(
            "JsonReader: reading recorded experiences is not built yet in this version. Load them with json or NumPy"
            " and give the model arrays, for example by `custom_model_config`."
        )


class PPOConfig:
    """RLlib's builder of configurations, in name only.

    Raises:
        ConfigError: when it is constructed.
    """

    def __new__(cls, *_: object, **__: object) -> NoReturn:
        """Refuse to be constructed."""
        raise ConfigError(
            "PPOConfig: configurations are not built by calls of .environment() and .training() here. Give the"
            ' keys to the algorithm, PPO(env="CartPole-v1", config={"lr": 1e-3, "model": {...}}), or fill the dataclass'
            " anyspace.algorithms.ppo.PPOConfig."
        )
