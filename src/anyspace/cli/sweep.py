"""``anyspace sweep``: settings that Optuna suggests, each trained and evaluated."""

from __future__ import annotations

import json
import math
import shlex
import tomllib
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from anyspace import config as configs
from anyspace.algorithms import ALGORITHMS, Algorithm
from anyspace.algorithms.presets import PLAIN
from anyspace.algorithms.ranges import Range, as_ranges, ranges_file, require_possible, shipped_ranges
from anyspace.algorithms.settings import chosen, chosen_in_run
from anyspace.cli.flags import EnvFlags, Flags, StartingPoint, parse, require_least, starting_point
from anyspace.cli.output import make_room, print_error, print_lines
from anyspace.drafts import write_whole, writing
from anyspace.errors import ConfigError, NonFiniteError
from anyspace.execution.callbacks import PruneTrial
from anyspace.folders import file_name, going_back
from anyspace.importing import importable_name

BEST_SHOWN = 4
"""Trials of the table at the end."""
_WHY = "why"
"""What a trial notes that came to nothing by itself."""


@dataclass(frozen=True)
class SweepFlags(EnvFlags):
    """Search for settings: train with what Optuna suggests, again and again, and keep the best.

    The same command goes on with a sweep, and shares the work with another process that runs it.

    `anyspace sweep ENV --help` shows the defaults that this environment has, with its preset. Without ENV
    the help shows plain defaults, which few runs have.
    """

    config: Path | None = None
    """A TOML of keys and values, which may hold env, algo, preset, steps and evaluate as well; or the config.json of a
    run."""
    trials: int = 20
    """How many trials there are to be in all, of all processes together; trials that somebody stopped do not count."""
    steps: int = 50_000
    """Environment steps of a trial."""
    evaluate: int = 10
    """Episodes by whose mean return a trial is judged, acting deterministically; 0: by that of training."""
    ranges: Path | None = None
    """A TOML with a range for each key to try, such as lr = { low = 1e-5, high = 1e-2, log = true }; by default those
    that are shipped for the algorithm."""
    prune: bool = True
    """End trials early whose return stays below the median of the others."""
    out: Path | None = None
    """The folder for the trials (trials.log) and the best settings (best.toml); by default sweeps/ENV-ALGO."""


def sweep(words: list[str]) -> int | None:
    """Train with what Optuna suggests, and keep the best settings."""
    console = Console(emoji=False)
    start = starting_point(SweepFlags, "sweep", words, console)
    flags = parse(SweepFlags, "sweep", words, start)
    own = flags.own
    require_least(own, trials=1, steps=1, evaluate=0)
    _require_returns(flags)
    content = shipped_ranges(start.algorithm.__mro__) if own.ranges is None else ranges_file(own.ranges)
    pairs = {key for key in flags.given if isinstance(getattr(flags.config, key, None), list)}
    idle = {key.removesuffix("_schedule") for key in pairs if key.endswith("_schedule")}
    ranges = [one for one in as_ranges(content, flags.config) if one.path not in flags.given | idle]
    if not ranges:
        raise ConfigError("there is nothing to try: every key that has a range was given.")
    _require_toml(_settings(start, own, flags.changes()))
    require_possible(ranges, lambda tried: chosen(start.algorithm, own.env, tried, start.preset, {}), flags.changes())
    folder = own.out or Path("sweeps") / f"{file_name(own.env or 'recorded')}-{start.algorithm.name()}"
    make_room(folder / "best.toml")
    study = _study(folder, start, flags, ranges)
    done = _done(study)
    if done >= own.trials:
        raise ConfigError(f"the sweep in {folder} has {done} trials already; give more as --trials N.")
    print_lines(console, f"sweep: {folder} ({done} trials so far); tries {', '.join(r.path for r in ranges)}")
    if not study.trials and (folder / "best.toml").exists():
        other = folder / "best.toml"
        print_lines(
            console, f"{other} holds the best settings of another sweep, which this one replaces; --out keeps both"
        )

    def tried(trial: Any) -> float:
        _seed_suggestions(study, flags.config.seed or 0, trial.number)
        with going_back():  # an environment may change the current folder
            return _score(trial, start, flags, ranges)

    def told(study: Any, trial: Any) -> None:
        _tell(console, study, trial, ranges)
        # At once: what a sweep has found survives whatever ends it.
        if (best := _best_first(study)) and best[0].number == trial.number:
            _write_best(best[0], folder, start, flags, ranges)
        # Counted anew each time: other processes add trials to the same journal.
        if _done(study) >= own.trials:
            study.stop()

    try:
        study.optimize(tried, callbacks=[told])
    except KeyboardInterrupt:
        again = shlex.join(["anyspace", "sweep", *words])
        raise KeyboardInterrupt(f"stopped. The trials so far are in {folder}; go on with\n  {again}") from None
    finally:
        _finish(console, study, folder, start, flags, ranges)
    if not any(trial.state.name == "COMPLETE" for trial in study.trials):
        print_error("no trial was completed, so that there are no best settings.")
        return 1
    return None


def _require_returns(flags: Flags[SweepFlags]) -> None:
    """Raise :class:`ConfigError` where there would be no return to judge a trial by once it was trained."""
    if flags.own.env is None:
        raise ConfigError("trials are judged by their returns, for which an environment is needed: give one.")
    if flags.own.evaluate == 0 and not flags.config.acts_while_training:
        raise ConfigError("--evaluate is 0, but recorded steps have no returns to judge a trial by; leave it out.")


def _done(study: Any) -> int:
    """Return how many trials came to something: not those that run, were stopped, or whose process is gone."""
    return sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in study.trials)


def _study(folder: Path, start: StartingPoint, flags: Flags[SweepFlags], ranges: list[Range]) -> Any:
    """Return the study of a folder; what was asked otherwise has a study of its own there."""
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise ConfigError(f"a sweep needs Optuna ({error}): pip install 'anyspace[sweep]'.") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    own, seed = flags.own, flags.config.seed or 0
    asked = _toml(
        {
            "algo": start.algorithm,
            "env": own.env,
            "settings": {**configs.changes(flags.config, start.algorithm.config_class()), "seed": seed},
            "given": sorted(flags.given),
            "steps": own.steps,
            "evaluate": own.evaluate,
            "ranges": [asdict(one) for one in ranges],
        }
    )
    name = f"{start.algorithm.__name__} on {own.env}, {own.steps:,} steps ({zlib.crc32(asked.encode()):08x})"
    warmup = own.steps // 4
    pruner = optuna.pruners.MedianPruner(5, warmup) if own.prune else optuna.pruners.NopPruner()
    journal = folder / "trials.log"
    try:
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal.absolute()))),
            study_name=name,
            direction="maximize",
            pruner=pruner,
            load_if_exists=True,
        )
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:  # it checks no line
        raise ConfigError(
            f"{journal} is damaged ({error!r}): each line is to be a JSON object that Optuna wrote. Take out the lines"
            " that are none, or choose another --out."
        ) from error


def _seed_suggestions(study: Any, seed: int, number: int) -> None:
    """Seed what a trial draws by its number, which no other process has, nor a sweep that goes on."""
    import optuna

    drawn = np.random.SeedSequence([seed, number]).generate_state(1)
    study.sampler = optuna.samplers.TPESampler(seed=int(drawn[0]))


def _score(trial: Any, start: StartingPoint, flags: Flags[SweepFlags], ranges: list[Range]) -> float:
    """Train with what a trial suggests; return the mean return that it came to.

    A trial whose settings contradict each other, or whose numbers are no longer finite, is pruned: it counts, and the
    sampler learns from it.
    """
    import optuna

    own = flags.own
    suggested = configs.nested({one.path: one.drawn(trial) for one in ranges})
    settings = configs.laid_over(flags.changes(), suggested)
    try:
        algorithm: Algorithm[Any] = start.algorithm(own.env, settings, preset=start.preset, seed=flags.config.seed or 0)
    except ConfigError as error:
        trial.set_user_attr(_WHY, f"refused: {error}")
        raise optuna.TrialPruned from error
    pruning = PruneTrial(trial)
    try:
        # What learns from recorded steps has no returns on the way.
        callback = pruning if flags.config.acts_while_training else None
        result = algorithm.learn(own.steps, callback=callback, progress=False)
        if pruning.pruned:
            raise optuna.TrialPruned
        found = algorithm.evaluate(own.evaluate) if own.evaluate else result
    except NonFiniteError as error:
        trial.set_user_attr(_WHY, f"diverged: {error}")
        raise optuna.TrialPruned from error
    finally:
        algorithm.close()
    mean: float | None = found.get("episode_return_mean")
    if mean is None:
        raise ConfigError(
            f"no episode ended in {own.steps:,} steps, so that nothing can be compared; give more --steps."
        )
    return mean


def _tell(console: Console, study: Any, trial: Any, ranges: list[Range]) -> None:
    """Print what came of a trial."""
    state = trial.state.name.lower()
    steps = max(trial.intermediate_values, default=0)
    what = f"mean return {trial.value:.6g}" if state == "complete" else f"{state} at {steps:,} steps"
    what = trial.user_attrs.get(_WHY, what)
    best = [one for one in study.trials if one.state.name == "COMPLETE"]
    so_far = f" (best so far {study.best_value:.6g}, trial {study.best_trial.number})" if best else ""
    print_lines(console, f"trial {trial.number}: {what}{so_far}  {_spelt(trial, ranges)}")


def _spelt(trial: Any, ranges: list[Range]) -> str:
    return ", ".join(f"{path}={_short(value)}" for path, value in _values(trial, ranges).items())


def _values(trial: Any, ranges: list[Range]) -> dict[str, Any]:
    """Return what a trial tried, by key."""
    choices = {one.path for one in ranges if one.choices}
    return {path: json.loads(value) if path in choices else value for path, value in trial.params.items()}


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _finish(
    console: Console, study: Any, folder: Path, start: StartingPoint, flags: Flags[SweepFlags], ranges: list[Range]
) -> None:
    """Print the best trials, and write the settings of the best one."""
    complete = _best_first(study)
    if not complete:
        return
    shown = complete[:BEST_SHOWN]
    tried = [_values(trial, ranges) for trial in shown]
    # A column for each trial, for there are more keys than a terminal has room for side by side.
    table = Table(Column(overflow="fold"), *(f"trial {trial.number}" for trial in shown))
    table.add_row("mean return", *(f"{trial.value:.6g}" for trial in shown))
    for one in ranges:
        table.add_row(one.path, *(_short(values.get(one.path, "")) for values in tried))
    console.print(table)
    best = _write_best(complete[0], folder, start, flags, ranges)
    print_lines(
        console, f"best settings: {best}; train with them by\n  anyspace train --config {shlex.quote(str(best))}"
    )


def _best_first(study: Any) -> list[Any]:
    complete = (one for one in study.trials if one.state.name == "COMPLETE")
    return sorted(complete, key=lambda one: one.value, reverse=True)


def _write_best(trial: Any, folder: Path, start: StartingPoint, flags: Flags[SweepFlags], ranges: list[Range]) -> Path:
    """Write the settings of a trial as those that are best, and return the file."""
    settings = configs.laid_over(flags.changes(), configs.nested(_values(trial, ranges)))
    best, text = folder / "best.toml", _as_toml(start, flags.own, settings, trial.value)
    with writing(best, ConfigError):
        write_whole(best, text.encode())
    return best


def _as_toml(start: StartingPoint, own: SweepFlags, settings: Mapping[str, Any], score: float) -> str:
    """Return settings as a file that ``--config`` takes."""
    settings = _settings(start, own, settings)
    is_ours = ALGORITHMS.get(start.algorithm.__name__) is start.algorithm
    algo = start.algorithm.name() if is_ours else importable_name(start.algorithm)
    preset = PLAIN.name if start.preset.is_of_run else start.preset.name
    asked = {"env": own.env, "algo": algo, "preset": preset, "steps": own.steps}
    lines = [f"# Mean return {score:.6g} after {own.steps:,} steps."]
    lines += [f"{key} = {_toml(value)}" for key, value in asked.items() if value is not None]
    inner = {key: value for key, value in settings.items() if key == "model"}
    lines += [f"{key} = {_toml(value)}" for key, value in settings.items() if key not in inner]
    for key, values in inner.items():
        lines += ["", f"[{key}]", *(f"{name} = {_toml(value)}" for name, value in values.items())]
    return "\n".join([*lines, ""])


def _settings(start: StartingPoint, own: SweepFlags, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the file says beside the preset; that of a run says all that has an effect, and names no preset."""
    if start.preset.is_of_run:
        found = chosen(start.algorithm, own.env, changes, start.preset, {}).settings
        whole = configs.changes(found, start.algorithm.config_class()) | chosen_in_run(found)
        idle = found.without_effect()
        whole = {path: value for path, value in whole.items() if path not in idle}
        changes = configs.laid_over(configs.nested(whole), changes)
    return {"seed": start.defaults.seed or 0, **changes}


def _require_toml(settings: Mapping[str, Any]) -> None:
    """Raise :class:`ConfigError` for a value that best.toml could not hold: TOML has no null, and no odd characters.

    Args:
        settings: that are not tried; what is tried comes from a TOML.
    """
    keys = [*settings.items(), *((f"model.{name}", value) for name, value in settings.get("model", {}).items())]
    for key, value in keys:
        try:
            tomllib.loads(f"value = {_toml(value)}")
            fits = key == "model" or not _has_null(value)
        except tomllib.TOMLDecodeError:
            fits = False
        if not fits:
            raise ConfigError(f"config key `{key}` is {value!r}, which a TOML such as best.toml cannot hold.")


def _has_null(value: Any) -> bool:
    """Return whether there is a None inside of a value."""
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return any(item is None or _has_null(item) for item in inside)


def _toml(value: Any) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        items = (f"{json.dumps(key, ensure_ascii=False)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {', '.join(items)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(importable_name(value) if callable(value) else value, ensure_ascii=False)
