"""One broken constant or sign in each room: the tests of the room have to notice every one of them.

    python -m tests.support.mutants [PART OF A NAME ...]

Each mutant is a copy of ``src`` with one line changed, on which the tests beside it run until one fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SUITE = "not learning and not fuzz and not soak and not ray"
"""What `make test` runs."""


class Mutant(NamedTuple):
    """A line that is broken, and the tests that have to notice."""

    file: str
    """Below ``src/anyspace``."""
    right: str
    """Stands there once."""
    wrong: str
    tests: str
    """Files, folders and `file::test` below ``tests``, separated by blanks."""


MUTANTS = [
    Mutant("maths/returns.py", "gamma * lambda_, like=deltas", "gamma * gamma, like=deltas", "maths/test_returns.py"),
    Mutant("maths/returns.py", "ns.clip(ratios, None, clip_rho)", "ratios", "maths/test_returns.py"),
    Mutant(
        "maths/returns.py",
        "deltas = rewards + gamma * ns.where(ns.holds(terminated)",
        "deltas = rewards + gamma * ns.where(ns.holds(done)",
        "maths/test_returns.py",
    ),
    Mutant("maths/losses.py", "1.0 + clip_param)", "1.0 + 2.0 * clip_param)", "maths/test_losses.py"),
    Mutant("tree.py", "iter_leaves(child, (*path, position))", "iter_leaves(child, path)", "test_tree.py"),
    Mutant("hints.py", "if place == outer]", "if place != outer]", "test_hints.py"),
    Mutant("distributions/continuous.py", "math.log(2.0 * math.pi)", "math.log(math.pi)", "distributions"),
    Mutant("distributions/joint.py", "_SHARE_OF_ENTROPY = 0.98", "_SHARE_OF_ENTROPY = 0.9", "algorithms/test_sac.py"),
    Mutant("spaces/leaves.py", "1 / 255", "1 / 256", "spaces"),
    Mutant("spaces/decoding.py", "high / 2 - low / 2", "high - low", "spaces/test_decoding.py"),
    Mutant("spaces/filters.py", 'None if name == "MeanStdFilter" else 10.0', "None", "spaces/test_filters.py"),
    Mutant("models/torch/gtrxl_layers.py", "1 / math.sqrt(self.head_dim)", "1 / self.head_dim", "models/torch"),
    Mutant(
        "models/pure/recurrent.py",
        "of_cell * cell * (1.0 - f * f) * 0.25",
        "of_cell * cell * (1.0 - f * f)",
        "models/pure",
    ),
    Mutant("models/pure/recurrent.py", "(hidden - new) * update", "(new - hidden) * update", "models/pure"),
    Mutant(
        "policy/lanes.py", "other[step, : np.count_nonzero(later)] = array[some[later]]", "pass", "policy/test_lanes.py"
    ),
    Mutant("policy/lanes.py", "lane * length + first", "lane * length", "policy/test_lanes.py"),
    Mutant("models/pure/gates.py", "h @ of_skip - biases", "h @ of_skip + biases", "models/pure"),
    Mutant("policy/schedules.py", "np.interp(step, self._steps", "np.interp(step + 1, self._steps", "policy"),
    Mutant("policy/exploration/epsilon.py", "final_epsilon: float = 0.05", "final_epsilon: float = 0.1", "policy"),
    Mutant("data/env_findings.py", "count >= LIKE_A_LIMIT", "count > 20", "data/test_env_check.py"),
    Mutant("data/priorities.py", "** self._alpha", "** (self._alpha / 2)", "data/test_priorities.py"),
    Mutant("execution/torch_packs.py", "beta2=0.999", "beta2=0.99", "execution/test_torch_learner.py"),
    Mutant(
        "execution/xla.py",
        "group.decay * before + (1.0 - group.decay)",
        "(1.0 - group.decay) * before + group.decay",
        "execution/test_xla.py",
    ),
    Mutant(
        "execution/xla.py", "second / of_second) + group.epsilon", "second / of_second) + 1e-8", "execution/test_xla.py"
    ),
    Mutant("execution/xla.py", "sqrt(second) + group.epsilon)", "sqrt(second))", "execution/test_xla.py"),
    Mutant("execution/dispatch.py", "lag > self._max_lag", "lag >= self._max_lag", "execution/test_dispatch.py"),
    Mutant("data/seeds.py", "number, 3, incarnation)", "number, 3)", "data/test_seeds.py"),
    Mutant("execution/report.py", "RATE_OVER = 20", "RATE_OVER = 1", "execution/test_report.py"),
    Mutant("execution/counters.py", "_evaluated_at >= self._every", "_evaluated_at > self._every", "execution"),
    Mutant("algorithms/actor_critic.py", "float(self) * 1.5", "float(self) * 2.0", "algorithms/test_ppo.py"),
    Mutant(
        "algorithms/dqn.py",
        "returns + discounts * branches",
        "returns - discounts * branches",
        "algorithms/test_dqn.py",
    ),
    Mutant("algorithms/sac.py", "kind] - targeted[kind])", "kind] + targeted[kind])", "algorithms/test_sac.py"),
    Mutant("algorithms/off_policy.py", "float(tau[0])", "1 - float(tau[0])", "algorithms/test_off_policy.py"),
    Mutant("algorithms/marwil.py", "squared_norm.value**0.5", "squared_norm.value", "algorithms/test_marwil.py"),
    Mutant("config.py", "{**below, **above, **", "{**above, **below, **", "test_config.py"),
    Mutant("nesting.py", "dict(enumerate(nested.spaces))", "dict(enumerate(nested.spaces, 1))", "test_nesting.py"),
    Mutant("models/jax/reach.py", "if any(not hasattr", "if all(not hasattr", "frameworks/test_jax_models.py"),
    Mutant(
        "_rllib/tf/layers.py",
        "self._u_z) - self._bias_z)",
        "self._u_z) + self._bias_z)",
        "frameworks/test_tf_layers.py",
    ),
    Mutant("data/offline/columns.py", "1e-4 * np.maximum(", "1e-1 * np.maximum(", "data/offline/test_columns.py"),
    Mutant("data/recent.py", "order[number % len(order)]", "order[0]", "data/test_recent.py"),
    Mutant("data/in_turn.py", 'np.can_cast(value.dtype, stack.dtype, "same_kind")', "True", "data/test_in_turn.py"),
    Mutant("policy/columns.py", "{name}/{key!r}", "{name}/{key}", "policy/test_columns.py"),
    Mutant("execution/metrics.py", 'numbers.sum() if name == "total_loss"', "0.0 if False", "algorithms/test_a2c.py"),
    Mutant("policy/gradients.py", 'value.dtype.kind == "c"', "False", "algorithms/test_widths.py"),
    Mutant("data/exact.py", "if source.running_statistics:", "if False:", "algorithms/test_exact_resume.py"),
    Mutant(
        "execution/checkpoint.py",
        "_remove([folder / name])",
        "_remove([])",
        "execution/test_checkpoint.py",
    ),
    Mutant(
        "execution/ray_fleet.py",
        "wanted > total - held + _ROUNDING",
        "wanted > total + _ROUNDING",
        "execution/test_ray_connection.py",
    ),
    Mutant(
        "algorithms/ppo.py",
        'standardise(batch["advantages"])',
        'batch["advantages"]',
        "algorithms/test_ppo.py",
    ),
    Mutant(
        "algorithms/impala.py",
        "clip_rho=config.vtrace_clip_rho_threshold",
        "clip_rho=1.0",
        "algorithms/test_impala.py",
    ),
    Mutant(
        "cli/look.py",
        "return 1 if found.errors else 0",
        "return 0",
        "cli/test_cli.py::test_an_environment_is_checked",
    ),
    Mutant(
        "deploy/checking.py",
        "played += step.rows",
        "played += 1",
        "deploy/test_export.py::test_episodes_that_do_not_end_are_told",
    ),
    Mutant("_rllib/schedules.py", "** (t / self.schedule_timesteps)", "** t", "_rllib/test_names.py"),
    Mutant("presets/ppo/CartPole-v1.toml", "gamma = 0.98", "gama = 0.98", "algorithms/test_presets.py"),
]


def broken(mutant: Mutant) -> str:
    """Return the text of the file with the broken line.

    Raises:
        ValueError: the line is not there once.
    """
    text = (ROOT / "src" / "anyspace" / mutant.file).read_text(encoding="utf-8")
    if text.count(mutant.right) != 1:
        raise ValueError(f"{mutant.file}: {mutant.right!r} stands there {text.count(mutant.right)} times, not once")
    return text.replace(mutant.right, mutant.wrong)


def survives(mutant: Mutant) -> bool:
    """Return whether the tests are green with the broken line.

    Raises:
        RuntimeError: the tests did not run to a verdict.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        (source / "anyspace" / mutant.file).write_text(broken(mutant), encoding="utf-8")
        tests = [f"tests/{name}" for name in mutant.tests.split()]
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", SUITE, *tests]
        environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    # pytest's own: 0 where all pass, 1 where some fail; what it cannot collect or find (2 to 5) is no test that failed.
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{mutant.file}: pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.returncode == 0


def main(names: list[str]) -> int:
    """Try the mutants whose file has one of the names in it, all without names; return how many survive."""
    chosen = [mutant for mutant in MUTANTS if not names or any(name in mutant.file for name in names)]
    alive = 0
    for mutant in chosen:
        lives = survives(mutant)
        alive += lives
        print(f"{'SURVIVES' if lives else 'noticed':8}  {mutant.file}: {mutant.right} -> {mutant.wrong}", flush=True)
    print(f"{len(chosen) - alive} of {len(chosen)} broken lines are noticed")
    return min(1, alive)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
