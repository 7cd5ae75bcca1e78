"""The keys about workers: how many collect and evaluate, how they are asked, what each of them takes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from anyspace.config import require
from anyspace.policy.config import PolicyConfig


@dataclass(frozen=True)
class ScaleConfig(PolicyConfig):
    """How collecting and evaluating are spread over workers."""

    num_env_runners: int = 0
    """Workers that collect, each with environments of its own, at least 0; 0: this process collects."""
    min_env_runners: int | None = None
    """Workers that collect for which Ray needs room at once, at least 1; the others start when a cluster that grows by
    itself has room, and algorithms that do not wait for their workers begin without them. None: all."""
    num_envs_per_env_runner: int = 1
    """Environments that step side by side, at least 1; with workers, in each of them."""
    fleet: Literal["auto", "serial", "ray"] = "auto"
    """Where workers are: serial, in this process, one after the other; ray (``pip install 'anyspace[ray]'``), processes
    on all machines of a Ray cluster. auto: ray."""
    max_requests_in_flight_per_env_runner: int | Literal["auto"] = "auto"
    """Fragments, of `rollout_fragment_length` steps of each environment, that a worker is asked for ahead, at least 1.
    With 1 all wait for each other and for the learner; with more they go on meanwhile, with older weights. auto: 2 for
    IMPALA and APPO, and fewer where the learner is slower; 1 for others."""
    sample_order: Literal["workers", "ready"] = "workers"
    """ready: quick workers take over fragments of slow ones, so that runs of one seed differ; workers: nobody does."""
    broadcast_interval: int = 1
    """Learn so many times before workers get the new weights, at least 1."""
    max_lag: int | None = None
    """Drop fragments that are older than so many versions of the weights, at least 1; None: none is dropped."""
    sample_timeout_s: float = 60.0
    """Seconds after which a worker on Ray that delivers no fragment is taken to hang, and is replaced; above 0."""
    restart_failed_env_runners: bool = True
    """Replace workers on Ray that die or hang; False ends the run."""
    num_cpus_per_env_runner: float = 1.0
    """CPUs that Ray sets aside for each worker, at least 0."""
    num_gpus_per_env_runner: float = 0.0
    """GPUs that Ray sets aside for each worker, for what the environment computes; policies act on the CPU there."""
    custom_resources_per_env_runner: dict[str, float] = field(default_factory=dict)
    """What else Ray sets aside for each worker, by the names that a cluster gave to resources of its machines."""
    evaluation_num_env_runners: int = 0
    """Workers that evaluate, each a share of the episodes, at least 0; 0: this process evaluates."""
    evaluation_parallel_to_training: bool = False
    """Train on while evaluation workers play; the iteration in which the result is there reports it."""
    ray_address: str | None = None
    """The Ray cluster to connect to, such as `auto`; `local`: one on this machine that is started here; None: that of
    ``RAY_ADDRESS``, else `local`."""
    ray_runtime_env: dict[str, Any] = field(default_factory=dict)
    """What workers need on other machines: Ray's `working_dir`, `pip`, `env_vars` and so on."""

    @property
    def num_envs(self) -> int:
        """Environments of all workers together."""
        return self.num_envs_per_env_runner * max(1, self.num_env_runners)

    @property
    def least_env_runners(self) -> int:
        """Workers that collect and have to start at once."""
        workers = self.num_env_runners
        return workers if self.min_env_runners is None else min(workers, self.min_env_runners)

    @property
    def most_requests(self) -> int:
        """How many fragments a worker is asked for ahead."""
        asked = self.max_requests_in_flight_per_env_runner
        return self.own_requests if asked == "auto" else asked

    @property
    def own_requests(self) -> int:
        """How many fragments the algorithm is made to ask a worker for ahead."""
        return 1

    @property
    def is_asynchronous(self) -> bool:
        """Whether workers go on while the learner learns."""
        return self.num_env_runners > 0 and self.most_requests > 1

    @property
    def is_stale(self) -> bool:
        """Whether steps may have been collected with older weights than the learner's."""
        return self.is_asynchronous or (self.num_env_runners > 0 and self.broadcast_interval > 1)

    @property
    def is_in_order(self) -> bool:
        """Whether all steps are collected with the learner's weights, and in the order of workers."""
        return not self.is_stale and (not self.num_env_runners or self.sample_order == "workers")

    @property
    def evaluates_in_parallel(self) -> bool:
        """Whether workers evaluate while the learner learns."""
        return self.evaluation_num_env_runners > 0 and self.evaluation_parallel_to_training

    @property
    def sends_logp(self) -> bool:
        """Whether workers send the log-probabilities of actions, because the learner can compute them no more."""
        return False

    @property
    def needs_ray(self) -> bool:
        """Whether any worker is an actor of Ray's."""
        return self.fleet != "serial" and self.num_env_runners + self.evaluation_num_env_runners > 0

    def without_workers(self) -> Self:
        """Return these settings with nothing but this process to collect and evaluate."""
        return dataclasses.replace(self, **{key: getattr(ScaleConfig(), key) for key in _ABOUT_WORKERS})

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        for key, least in _LEAST.items():
            value = getattr(self, key)
            require(value is None or value == "auto" or value >= least, key, value, f"it must be at least {least}")
        require(self.sample_timeout_s > 0, "sample_timeout_s", self.sample_timeout_s, "it must be above 0")
        for name, amount in self.custom_resources_per_env_runner.items():
            key = "custom_resources_per_env_runner"
            require(amount > 0, key, {name: amount}, "what is set aside is above 0")
            own = _OWN_KEYS.get(name)
            require(own is None, key, {name: amount}, f"there is a key for it: `{own}`")
        workers, few = self.num_env_runners, self.min_env_runners
        reason = f"there are {workers} workers that collect"
        require(few is None or not workers or few <= workers, "min_env_runners", few, reason)
        lag, interval = self.max_lag, self.broadcast_interval
        reason = f"fragments are up to {interval - 1} versions old when they are collected (`broadcast_interval`)"
        require(lag is None or not self.is_asynchronous or interval <= lag + 1, "max_lag", lag, reason)

    def without_effect(self) -> dict[str, str]:
        """Return the keys that have no effect beside the others as they are, each with the reason."""
        idle: dict[str, str] = {}
        if not self.num_env_runners + self.evaluation_num_env_runners:
            idle["fleet"] = "there are no workers (`num_env_runners`, `evaluation_num_env_runners`)"
        if not self.num_env_runners:
            idle |= dict.fromkeys(_OF_COLLECTING, "no workers collect (`num_env_runners`)")
        if not self.needs_ray:
            idle |= dict.fromkeys(_OF_RAY, "no worker is on Ray (`num_env_runners`, `fleet`)")
        if not self.evaluation_num_env_runners:
            idle["evaluation_parallel_to_training"] = "no workers evaluate (`evaluation_num_env_runners`)"
        if self.is_asynchronous:
            idle["sample_order"] = "fragments are taken as they come anyway"
        else:
            idle["max_lag"] = "no fragment is older than what workers were sent last"
        return idle


_OWN_KEYS = {"CPU": "num_cpus_per_env_runner", "GPU": "num_gpus_per_env_runner"}
"""What Ray does not take among custom resources, and the keys that say it."""
_LEAST = {
    "num_env_runners": 0,
    "min_env_runners": 1,
    "num_envs_per_env_runner": 1,
    "max_requests_in_flight_per_env_runner": 1,
    "broadcast_interval": 1,
    "max_lag": 1,
    "num_cpus_per_env_runner": 0,
    "num_gpus_per_env_runner": 0,
    "evaluation_num_env_runners": 0,
}
_OF_COLLECTING = ("min_env_runners", "max_requests_in_flight_per_env_runner", "sample_order", "broadcast_interval")
_OF_RAY = (
    *("min_env_runners", "sample_timeout_s", "restart_failed_env_runners"),
    *("num_cpus_per_env_runner", "num_gpus_per_env_runner", "custom_resources_per_env_runner"),
    *("ray_address", "ray_runtime_env"),
)
_ABOUT_WORKERS = (
    *("num_env_runners", "evaluation_num_env_runners", "evaluation_parallel_to_training", "max_lag"),
    *("fleet", *_OF_COLLECTING, *_OF_RAY),
)
