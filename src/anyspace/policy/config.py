"""The part of the configuration that a policy needs to act."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from anyspace.config import KEYS_OF, MISTAKEN, require
from anyspace.errors import ConfigError
from anyspace.models.action_dists import is_bounded
from anyspace.models.config import ModelConfig
from anyspace.policy.exploration import Factory, StochasticSampling
from anyspace.spaces import filters

_Class = type[Any]  # by a name of its own: within the class below `type` is the field

_DEVICES = "Write 'cuda' or 'cpu'; which GPU that is, the variable CUDA_VISIBLE_DEVICES says."


@dataclass(frozen=True)
class ExplorationKeys:
    """What of `exploration_config` is no keyword of the exploration."""

    type: str | _Class | None = None
    """A short name, `package.module:Class`, or the class."""


@dataclass(frozen=True)
class PolicyConfig:
    """How observations become actions."""

    framework: Literal["torch", "tf", "jax"] = "torch"
    """The framework of the model: torch; jax (``pip install 'anyspace[jax]'``); tf (``pip install 'anyspace[tf]'``)."""
    device: Literal["auto", "cpu", "cuda", "mps"] = field(default="auto", metadata={MISTAKEN: _DEVICES})
    """Where the model lives. auto: a GPU; PyTorch keeps networks under a million parameters on the CPU."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The model configuration."""
    observation_filter: str = "NoFilter"
    """NoFilter, MeanStdFilter (running mean and deviation) or ConcurrentMeanStdFilter (clipped to 10 as well)."""
    preprocessor_pref: Literal["deepmind", "rllib"] | None = "deepmind"
    """Atari: deepmind puts wrappers around pixels, rllib preprocesses them; None: no preprocessing of any space."""
    _disable_preprocessor_api: bool = False
    """Give the model nested observations, indices (counted from 0) as they are instead of one-hot."""
    _disable_action_flattening: bool = False
    """Hand nested actions to views and custom distributions as they are: sets `model._disable_action_flattening`."""
    scale_images: Literal["auto"] | bool = "auto"
    """Divide pictures (uint8 Boxes of 0..255 with two axes or more) by 255. auto: built-in networks get [0, 1] and
    custom models 0..255, but custom networks of SAC without a memory [0, 1]; True divides for all, False for none."""
    max_len: int | dict[str, int] | None = None
    """Longest length of Sequences and Graphs: for all, or by place as in `{'obs["items"]': 20}`."""
    ignore: list[str] = field(default_factory=list)
    """Parts of Dict and Tuple observations to leave out of everything, by place: `['obs["text"]', 'obs["at"][2]']`."""
    out_of_bounds: Literal["warn", "clip", "error"] = "warn"
    """Numbers of an observation outside the bounds of their Box: told once and used, clipped, or an error."""
    action_mask_key: str | None = "action_mask"
    """Name of the mask in Dict observations and infos; None looks for no masks."""
    normalize_actions: bool = True
    """Let the policy work in [-1, 1], and scale its actions to the bounds of bounded Boxes."""
    clip_actions: bool = False
    """Clip Box actions to their bounds."""
    explore: bool = True
    """Explore while collecting; False takes the distribution's mode or mean, from which on-policy algorithms do not
    learn: it is for recording what a policy does."""
    exploration_config: dict[str, Any] = field(default_factory=dict, metadata={KEYS_OF: ExplorationKeys})
    """How actions explore: `type`, such as "EpsilonGreedy" or `package.module:Class`, and its keywords; without `type`
    they change the algorithm's own. Of one type they are laid over a preset's, one by one."""

    # What options of `exploration_config` without a `type` are for.
    own_exploration: ClassVar[Factory] = StochasticSampling

    def __post_init__(self) -> None:
        if self._disable_action_flattening and not self.model._disable_action_flattening:
            object.__setattr__(self, "model", replace(self.model, _disable_action_flattening=True))

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range or not built."""
        filters.require_known(self.observation_filter)
        for length in self.max_len.values() if isinstance(self.max_len, dict) else [self.max_len]:
            require(length is None or length >= 1, "max_len", self.max_len, "a longest length is at least 1")
        self.model.validate()
        self.model.require_effect()
        if not self.normalize_actions and is_bounded(self.model.custom_action_dist):
            raise ConfigError(
                f"custom_action_dist={self.model.custom_action_dist!r} draws actions between -1 and 1, which"
                " `normalize_actions` scales to the bounds; switch that on."
            )

    @property
    def preprocesses(self) -> bool:
        """Whether observations are one-hot encoded and flattened for the model."""
        disabled = self._disable_preprocessor_api or self.model._disable_preprocessor_api
        return not disabled and self.preprocessor_pref is not None
