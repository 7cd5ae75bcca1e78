"""``Policy.export``: one file to act from, checked, and a contract beside it that says how to feed it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from anyspace import nesting
from anyspace.data.environments import EnvLike, EnvSpec
from anyspace.deploy.ports import Port
from anyspace.deploy.step import NEXT, PolicyStep
from anyspace.drafts import draft_of, writing
from anyspace.errors import ExportError
from anyspace.folders import going_back
from anyspace.policy.exporting import Compared, Exported
from anyspace.policy.policy import Policy
from anyspace.spaces.decoding import options
from anyspace.spaces.serialize import to_json
from anyspace.version import __version__

FORMAT = 1
"""Of contracts; it grows when a reader of the ones before would misread a new one."""

_CHECKED = {"played": "steps_of_environment"}
"""How a contract calls numbers of a comparison, where it has another name."""


def export_policy(
    policy: Policy,
    path: str | os.PathLike[str],
    *,
    rows: int = 1,
    stochastic: bool = False,
    env: EnvLike | EnvSpec | None = None,
    observations: int = 1000,
    episodes: int = 10,
    seed: int = 0,
) -> Exported:
    """Write a policy as an ONNX file; see :meth:`Policy.export`, which calls this."""
    target = _target(path)
    if rows < 1 or observations < 1 or episodes < 0:
        raise ExportError(
            f"rows is {rows}, observations is {observations} and episodes is {episodes}, but they must be at least 1, 1"
            " and 0."
        )
    if seed < 0:
        raise ExportError(f"seed is {seed}, but a seed is not negative.")
    spec = env if env is None or isinstance(env, EnvSpec) else _spec(policy, env)
    from anyspace.deploy.tracing import require_packages, traceable, write_graph

    require_packages()
    step = PolicyStep(traceable(policy), rows, stochastic=stochastic)
    with ExitStack() as stack:
        with writing(target, ExportError):
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-"))
        made = Path(folder) / target.name
        with writing(target, ExportError):
            write_graph(step, made)
        found = _checked(made, step, policy, spec, (observations, episodes, seed))
        contract = _contract_of(target)
        with writing(contract, ExportError), draft_of(contract) as draft:
            draft.write_text(f"{json.dumps(describe(policy, step, target.name, found), indent=1)}\n")
            contract.unlink(missing_ok=True)  # a graph without a contract is better than one with another's
            made.replace(target)
    return Exported(path=target, contract=contract, **found.numbers())


def _checked(
    made: Path, step: PolicyStep, policy: Policy, spec: EnvSpec | None, amount: tuple[int, int, int]
) -> Compared:
    """Return how a file acts beside its policy, on random observations and in episodes."""
    from anyspace.deploy.checking import Player, on_episodes, on_random_observations

    observations, episodes, seed = amount
    player = Player(made, step, policy, seed)
    on_random_observations(player, policy, step, observations, seed)
    if spec is not None and episodes:
        with going_back():  # an environment may change the current folder
            on_episodes(player, policy, step, spec, episodes, seed)
    player.found.require_equal()
    return player.found


def describe(policy: Policy, step: PolicyStep, name: str, found: Compared) -> dict[str, Any]:
    """Return the contract of a file: what goes in and comes out, and what both mean."""
    return {
        "format": FORMAT,
        "anyspace": __version__,
        "file": name,
        "rows": step.rows,
        "stochastic": step.stochastic,
        "observation_space": to_json(policy.observation_space),
        "action_space": to_json(policy.action_space),
        "inputs": [_described(port, policy) for port in step.inputs],
        "outputs": [_described(port, policy) for port in step.outputs],
        "checked": {_CHECKED.get(name, name): number for name, number in found.numbers().items()},
    }


def _described(port: Port, policy: Policy) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": port.name, "role": port.role, "shape": list(port.shape), "dtype": port.dtype}
    more: Mapping[str, Any] = {}
    if port.role in ("observation", "action"):
        starts = {spec.path: spec.first.tolist() for spec in policy.encode.specs if any(spec.start)}
        counted = {"counts_from": starts[port.path]} if port.role == "observation" and port.path in starts else {}
        more = {"path": ["*" if part is ... else part for part in port.path], **counted}
    elif port.role == "noise":
        more = {"columns": [{"kind": kind, "count": count} for kind, count in port.noise]}
    elif port.role == "action_mask":
        more = {"options": [list(leaf) for leaf in _options(policy)]}
    elif port.role == "memory":
        is_out = port.name.startswith(NEXT)
        more = {"becomes": port.name.removeprefix(NEXT)} if is_out else {"start": 0}
    return {**entry, **more}


def _options(policy: Policy) -> list[tuple[int, ...]]:
    """Return how many options each choice of each leaf of the action has, in the order of a mask."""
    return [options(leaf, path) for path, leaf in nesting.iter_leaves(policy.action_space)]


def _spec(policy: Policy, env: EnvLike) -> EnvSpec:
    config = policy.config
    return EnvSpec(env, action_mask_key=config.action_mask_key, max_len=config.max_len, ignore=config.ignore)


def _target(path: str | os.PathLike[str]) -> Path:
    """Return where the file goes, after trying whether it can."""
    target = Path(path).expanduser()
    if target.suffix != ".onnx":
        raise ExportError(f"path is {str(target)!r}; expected the name of a file that ends in .onnx.")
    if target.is_dir():
        raise ExportError(f"{target} is a folder; give the name of a file in it, such as {target / 'policy.onnx'}.")
    if not target.parent.is_dir():
        raise ExportError(f"{target} cannot be written: there is no folder {target.parent}. Make it first.")
    if not os.access(target.parent, os.W_OK):
        raise ExportError(f"{target} cannot be written: the folder {target.parent} may not be written to.")
    contract = _contract_of(target)
    if contract.exists() and not _is_contract(contract):
        raise ExportError(
            f"{target} comes with a contract, {contract}, but a file of that name is there, and is no contract: nothing"
            f" was written. Give another name, such as {target.with_stem(f'{target.stem}-policy')}."
        )
    return target


def _contract_of(path: Path) -> Path:
    return path.with_suffix(".json")


def _is_contract(path: Path) -> bool:
    """Whether a file is one that an earlier export wrote."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() >= {"anyspace", "file", "inputs", "outputs"}
