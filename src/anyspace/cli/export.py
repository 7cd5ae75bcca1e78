"""``anyspace export``: what a run learnt, as a file for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from anyspace.algorithms.saving.policies import load_policy
from anyspace.cli.flags import require_least
from anyspace.cli.output import print_lines
from anyspace.cli.play import RunFlags
from anyspace.cli.values import REGISTRY
from anyspace.errors import ConfigError, counted
from anyspace.policy.exporting import Exported
from anyspace.policy.policy import Policy


@dataclass(frozen=True, kw_only=True)
class ExportFlags(RunFlags):
    """Write what a run learnt as an ONNX file, from raw observation to environment action, with a contract beside it.

    The file is compared with the policy before it takes its place.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The file, such as policy.onnx; its contract is policy.json."""
    stochastic: bool = False
    """Sample actions, from random numbers that the file takes as `noise`, in place of the deterministic ones."""
    rows: int = 1
    """How many observations the file acts on side by side."""
    observations: int = 1000
    """How many random observations the file and the policy are compared on."""
    episodes: int = 10
    """How many episodes of the environment they are compared in; 0 makes no environment."""
    seed: int = 0
    """The seed of the random observations, the episodes and the noise that the file is compared on."""


def export(words: list[str]) -> None:
    """Write what a run learnt as an ONNX file."""
    flags = tyro.cli(ExportFlags, args=words, prog="anyspace export", registry=REGISTRY)
    require_least(flags, rows=1, observations=1, episodes=0, seed=0)
    if flags.episodes == 0:
        for flag, given in (("--env", flags.env), ("--env-config", flags.env_config)):
            if given is not None:
                raise ConfigError(f"--episodes 0 makes no environment, but {flag} is {given}; leave one of them out.")
        policy = load_policy(flags.checkpoint, kind=flags.kind, trust=flags.trust)
        print_exported(_written(policy, flags, None), 0)
        return
    with flags.opened() as algorithm:
        env = algorithm.env_spec if algorithm.has_environment else None
        print_exported(_written(algorithm.policy, flags, env), flags.episodes)


def _written(policy: Policy, flags: ExportFlags, env: object) -> Exported:
    return policy.export(
        flags.file,
        rows=flags.rows,
        stochastic=flags.stochastic,
        env=env,
        observations=flags.observations,
        episodes=flags.episodes,
        seed=flags.seed,
    )


def print_exported(done: Exported, episodes: int) -> None:
    """Print what was written, and how close it is to the policy.

    Args:
        done: what came of it.
        episodes: in how many episodes it was to be compared.
    """
    played = f" and {counted(done.episodes, 'episode')}" if done.played else ", without an environment"
    if done.played and done.episodes < episodes:
        ended = f"{done.episodes} of {counted(episodes, 'episode')} ended"
        played = f" and {done.played:,} steps of the environment, in which {ended}"
    print_lines(
        Console(emoji=False),
        f"compared with the policy in {done.steps:,} steps, on random observations{played}: largest difference"
        f" {done.largest_difference:.2g}"
        + (f", {done.choices_that_differ:,} of {done.choices:,} choices differ" if done.choices else ""),
        f"policy: {done.path} ({done.path.stat().st_size / 1e3:,.1f} kB)",
        f"contract: {done.contract}",
    )
