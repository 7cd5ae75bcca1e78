"""The configuration that every algorithm shares."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NoReturn, Self

from anyspace.algorithms.foreign_keys import FOREIGN_KEYS
from anyspace.algorithms.scale_config import ScaleConfig
from anyspace.answers import Explains
from anyspace.config import are_equal, changes, paths, require, require_finite, type_hints
from anyspace.data.exact import require_exact
from anyspace.data.offline.json_writer import LARGEST_FILE
from anyspace.errors import ConfigError
from anyspace.foreign_names import SETTINGS
from anyspace.frozen import Frozen
from anyspace.hints import Hints
from anyspace.importing import is_ours
from anyspace.models.config import ModelConfig
from anyspace.policy.schedules import require_schedule
from anyspace.spaces.serialize import Spaces

RENAMED = {
    "lambda": "lambda_",
    "num_workers": "num_env_runners",
    "num_rollout_workers": "num_env_runners",
    "evaluation_num_workers": "evaluation_num_env_runners",
    "num_cpus_per_worker": "num_cpus_per_env_runner",
    "num_gpus_per_worker": "num_gpus_per_env_runner",
    "custom_resources_per_worker": "custom_resources_per_env_runner",
    "recreate_failed_workers": "restart_failed_env_runners",
    "num_envs_per_worker": "num_envs_per_env_runner",
    "max_requests_in_flight_per_sampler_worker": "max_requests_in_flight_per_env_runner",
    "num_sgd_iter": "num_epochs",
    "sgd_minibatch_size": "minibatch_size",
}
"""Names that older configurations use, accepted in place of today's."""


@dataclass(frozen=True)
class AlgorithmConfig(ScaleConfig, Explains, Frozen):
    """What every algorithm can be told."""

    env_config: dict[str, Any] = field(default_factory=dict)
    """Keywords for gym.make or the class. A class whose argument is called `config` gets the dict itself, and so does a
    function of one argument."""
    wrappers: list[str | Callable[..., Any]] = field(default_factory=list)
    """Wrappers put around each environment, innermost first; `package.module:Name` or the callables."""
    vectorization: Literal["auto", "native", "sync", "async"] = "auto"
    """native: the id's own vector environment; sync: a loop; async: a process each; auto: native for several, where
    there is one, else sync. Evaluation runs likewise."""
    collect_infos: list[str] = field(default_factory=list)
    """Numbers among the infos of every step that trajectories (`collected`, [T, B]) and batches hold as columns."""
    rollout_fragment_length: int | Literal["auto"] = "auto"
    """Steps of each environment that are collected at a time, which are a fragment: at least 1. auto collects as many
    as are learnt from at once."""
    gamma: float = 0.99
    """Discount, in [0, 1]."""
    lr: float = 1e-3
    """Learning rate, at least 0."""
    lr_schedule: list[tuple[float, float]] | Literal["linear"] | None = None
    """Learning rate by steps: [step, value] pairs, which go before `lr`, or "linear": from `lr` to 0 over the run."""
    grad_clip: float | None = None
    """Largest global norm of the gradients, above 0; None does not clip."""
    adam_epsilon: float = 1e-8
    """Adam's stabiliser, above 0."""
    clip_rewards: bool | float | None = None
    """Clip rewards for learning: True takes the sign, v clips to [-v, v], False does not; None: sign for Atari only."""
    normalize_rewards: bool = False
    """Divide rewards by the running deviation of the discounted return, which the checkpoint carries."""
    seed: int | None = None
    """Seed of weights, sampling and environments, at least 0, below 2^63; None draws one (the run's files name it)."""
    return_window: int = 100
    """Latest episodes over which the reported return and length are averaged, at least 1."""
    stop_return: float | None = None
    """Stop learning when the mean return reaches this: of the latest evaluation, else of a full window."""
    evaluate_every: int | None = None
    """Evaluate whenever this many more steps were sampled, at least 1; None does not."""
    evaluation_episodes: int = 10
    """Episodes of one evaluation, at least 1."""
    evaluation_max_episode_steps: int | Literal["auto"] | None = "auto"
    """Cut evaluation episodes after so many steps, at least 1; None: never. auto: where no TimeLimit ends them, after
    ten times the longest of the latest training episodes, and not before 10,000 steps."""
    checkpoint_every: int = 50_000
    """Save a checkpoint of a run with a folder whenever this many more steps were sampled, at least 1."""
    keep: int = 0
    """Checkpoints that `checkpoint_every` asks for that stay in `checkpoints/STEPS`, beside the latest, at least 0."""
    exact_resume: bool = False
    """Let a run that goes on equal one that never stopped, bit for bit: at each checkpoint that `checkpoint_every` asks
    for it cuts the episodes under way and saves replay (docs/checkpoints.md). Not for async environments."""
    env_timeout_s: float | None = 300.0
    """Seconds that a step or reset of an environment in a process of its own may take, above 0; None: any number."""
    output: str | None = None
    """A folder to write all steps to that are learnt from, in whole episodes, as JSON beside a ``spaces.json``; files
    there stay."""
    output_max_file_size: int = LARGEST_FILE
    """Bytes after which another file is begun, at least 1."""

    _foreign = SETTINGS
    _instead = (
        "Give {key}={value} when you build it, or load(path, {key}={value}) to go on from a checkpoint with another"
        " value. Schedules change values while training; dataclasses.replace(config, {key}={value}) is a changed copy."
    )

    # Keys that say where a run begins; one that goes on from a checkpoint has no use for them.
    of_beginnings: ClassVar[tuple[str, ...]] = ("seed",)

    def __getitem__(self, key: object) -> NoReturn:
        if not isinstance(key, str):  # of `in`, and of iterating
            raise TypeError(
                f"{type(self).__name__} is no dict: settings are attributes, config.lr; vars(config) has all."
            )
        name = RENAMED.get(key, key)
        where = f"settings are attributes, config.{name}."
        if name not in type(self).__dataclass_fields__:
            where = self._explained(key) or f"settings are attributes, and `{key}` is none of them."
        raise TypeError(f"{type(self).__name__}[{key!r}]: {where}")

    def _explained(self, name: str) -> str:
        if name.startswith("_"):  # what copies settings asks for such before there are any
            return ""
        known, key = [*paths(type(self)())], RENAMED.get(name, name)
        if path := next((path for path in known if path.rpartition(".")[2] == key), None):
            return f"It is `config.{path}` here."
        return super()._explained(name) or Hints(known, RENAMED, FOREIGN_KEYS).whereabouts(name).strip()

    def fitted(self, given: Collection[str]) -> Self:
        """Return these settings with the keys that nobody gave fitted to those that somebody did.

        A default or a preset's value never makes a valid value fail: ``train_batch_size=64`` alone makes a larger
        ``minibatch_size`` 64, too. ``lr`` takes the place of pairs of ``lr_schedule``, and so with every such key.

        Args:
            given: keys that were given, nested ones as ``model.use_lstm``.
        """
        schedules = {f"{key}_schedule" for key in given} - {*given}  # that a constant was given in place of
        dropped: dict[str, Any] = {key: None for key in schedules if getattr(self, key, None) not in (None, "linear")}
        if dropped:
            return dataclasses.replace(self, **dropped).fitted(given)
        model, gaussian = self.model, ("DiagGaussian", "SquashedGaussian")
        custom = getattr(model.custom_action_dist, "__name__", model.custom_action_dist)
        without_deviations = model.autoregressive_actions or custom not in (None, *gaussian)
        if model.free_log_std and without_deviations and "model.free_log_std" not in given:
            return dataclasses.replace(self, model=dataclasses.replace(model, free_log_std=False))
        return self

    def beneath(self, preset: Mapping[str, Any]) -> dict[str, Any]:
        """Return a preset's settings to lay these over, less those that these take the place of."""
        return dict(preset)

    @property
    def has_files(self) -> bool:
        """Whether steps are written to files, or read from some."""
        return self.output is not None

    def chosen(self) -> dict[str, Any]:
        """Return the keys that fitting would change in settings that were fitted once, and their values here.

        Somebody will have chosen these values. They stay as they are, whatever is laid over the settings.
        """
        return changes(self, self.fitted(()))

    def without_effect(self) -> dict[str, str]:
        """Return the keys that have no effect beside the others as they are, each with the reason."""
        idle = super().without_effect()
        first, *others = (network.without_effect() for network in self.networks())
        idle |= {f"model.{key}": why for key, why in first.items() if all(key in other for other in others)}
        for key, ways in _OF_ATARI.items():
            if self.preprocessor_pref not in ways:
                idle[f"model.{key}"] = f"it is for Atari with `preprocessor_pref` {' or '.join(map(repr, ways))}"
        if not self.explore:
            idle["exploration_config"] = "actions do not explore (`explore` is False)"
        if self.output is None:
            idle["output_max_file_size"] = "nothing is written (`output` is None)"
        if self.lr_schedule == "linear" and not self.lr:
            idle["lr_schedule"] = "it falls from `lr`, which is 0"
        return idle

    def networks(self) -> list[ModelConfig]:
        """Return the configurations that networks are built from: `model`, unless an algorithm has several."""
        return [self.model]

    def require_effect(self, given: Collection[str]) -> None:
        """Raise :class:`ConfigError` for the first key that somebody gave and that has no effect.

        Defaults, and values of presets, may well have none.

        Args:
            given: keys that were given.
        """
        for key, reason in self.without_effect().items():
            value, default = (operator.attrgetter(key)(config) for config in (self, type(self)()))
            if key in given and not are_equal(value, default):
                raise ConfigError(
                    f"config key `{key}` is {value!r}, but it has no effect: {reason}. Leave it out, or change that."
                )

    def short(self) -> Self:
        """Return these settings for one short iteration, by which ``anyspace inspect`` runs everything once."""
        raise ConfigError(f"{type(self).__name__} does not say how an iteration is made short: define short().")

    def least_sizes(self) -> Iterator[tuple[str, int]]:
        """Yield keys, each with a number of weights or of states that the built-in networks cannot do without."""
        if self.model.custom_model is None:
            yield from ((f"model.{key}", size) for key, size in self.model.least_sizes())

    @property
    def steps_per_round(self) -> int:
        """Environment steps that are collected before learning."""
        raise ConfigError(
            f"{type(self).__name__} does not say how many steps are collected before learning: derive it from"
            " OnPolicyConfig, or define the property steps_per_round."
        )

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps that one iteration collects at least, in as many rounds as that takes; 0: in one round."""
        return 0

    @property
    def rows_per_step(self) -> int:
        """How many rows a gradient step takes at most; more than one thread pays from some size on."""
        return self.steps_per_round

    @property
    def collects_whole_episodes(self) -> bool:
        """Whether trajectories end with the episodes that are in them."""
        return False

    @property
    def acts_while_training(self) -> bool:
        """Whether the policy takes steps in an environment to learn from."""
        return True

    def recorded_spaces(self) -> Spaces | None:
        """Return the spaces of the recorded steps to learn from; None: an environment is needed."""
        return None

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        for key in _AT_LEAST_ONE:
            value = getattr(self, key)
            require(value is None or value == "auto" or value >= 1, key, value, "it must be at least 1")
        require(0 <= self.gamma <= 1, "gamma", self.gamma, "a discount lies in [0, 1]")
        require(0 <= self.lr < math.inf, "lr", self.lr, "a learning rate is a finite number of at least 0")
        require(0 < self.adam_epsilon < math.inf, "adam_epsilon", self.adam_epsilon, "it must be finite and above 0")
        require(
            self.grad_clip is None or self.grad_clip > 0,
            "grad_clip",
            self.grad_clip,
            "a largest gradient norm is above 0; None switches clipping off",
        )
        clip = self.clip_rewards
        require(clip is None or clip >= 0, "clip_rewards", clip, "rewards are clipped to plus and minus a number")
        reserved = (*COLUMNS, *(_OF_FILES if self.has_files else ()))
        taken = [name for name in self.collect_infos if name in reserved]
        require(
            not taken,
            "collect_infos",
            taken,
            "batches, or files of recorded steps, have a column of that name; rename the info",
        )
        require(self.keep >= 0, "keep", self.keep, "a number of checkpoints is at least 0")
        require(self.output != "", "output", self.output, "it is the name of a folder; None writes nothing")
        limit = self.env_timeout_s
        require(limit is None or 0 < limit < math.inf, "env_timeout_s", limit, "a time is above 0; None sets no limit")
        if self.exact_resume:
            require_exact(self.vectorization, in_order=self.is_in_order, beside=self.evaluates_in_parallel)
        require(self.seed is None or self.seed >= 0, "seed", self.seed, "a seed is not negative")
        require(self.seed is None or self.seed < 2**63, "seed", self.seed, "a seed is below 2**63")
        require_schedule(self.lr_schedule, "lr_schedule")
        library = next(kind for kind in type(self).__mro__ if is_ours(kind))
        require_finite(self, type_hints(library), _LIMITS)


_OF_ATARI = {"framestack": ["deepmind"], "dim": ["deepmind", "rllib"], "grayscale": ["rllib"], "zero_mean": ["rllib"]}
"""Keys of the model, and the values of `preprocessor_pref` beside which they have an effect."""

COLUMNS = (
    *("obs", "actions", "action_mask", "views", "sequences", "counted", "weights", "rewards", "action_logp"),
    *("target_logp", "action_dist_inputs", "vf_preds", "advantages", "value_targets", "returns", "discounts", "ahead"),
    *("windows", "next_obs", "next_action_mask", "next_views"),
)
"""Names of the columns that batches have or may have."""

_OF_FILES = ("new_obs", "terminateds", "truncateds", "dones", "eps_id", "unroll_id", "t", "type")
"""Names of columns that files of recorded steps have beside those."""

_LIMITS = {
    *("grad_clip", "clip_rewards", "clip_param", "vf_clip_param", "kl_target", "sample_timeout_s", "stop_return"),
    *("vtrace_clip_rho_threshold", "vtrace_clip_pg_rho_threshold"),
}
"""Keys of limits, of which infinity is one that is never reached."""

_AT_LEAST_ONE = (
    "rollout_fragment_length",
    "return_window",
    "evaluate_every",
    "evaluation_episodes",
    "evaluation_max_episode_steps",
    "checkpoint_every",
    "output_max_file_size",
)
