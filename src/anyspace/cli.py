"""The command line: ``anyspace train | evaluate | inspect | list``."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import sys
import time
import traceback
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import tyro
from rich.console import Console
from rich.table import Table
from tyro.constructors import PrimitiveConstructorSpec

from anyspace import config as configs
from anyspace.algorithms.config import RENAMED
from anyspace.config import import_name, importable_name
from anyspace.errors import AnyspaceError, ConfigError, nearest
from anyspace.models.config import FilterSpec

if typing.TYPE_CHECKING:
    from anyspace.algorithms import Algorithm
    from anyspace.algorithms.presets import Preset

OVERVIEW = """\
anyspace: any Gymnasium space in, any Gymnasium space out.

  anyspace train ENV [--algo ppo] [--steps N] [--out DIR] [--resume DIR] [--preset NAME] [--lr 3e-4] ...
  anyspace evaluate RUN [--episodes N] [--render]
  anyspace inspect ENV [--algo ppo] [--model.fcnet-hiddens 64 64] ...
  anyspace list

ENV is a Gymnasium id or package.module:EnvClass; RUN is the folder of a run or a checkpoint.
`anyspace COMMAND --help` lists every flag."""


@dataclass(frozen=True)
class TrainArguments:
    """Train an algorithm on an environment and keep a run folder."""

    env: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="ENV")] = None
    """A Gymnasium id or package.module:EnvClass; left out with --resume."""
    algo: str = "ppo"
    """The algorithm: see `anyspace list`."""
    steps: int = 100_000
    """Environment steps in all; steps of a resumed run count."""
    out: Path | None = None
    """The run folder; by default runs/ENV-ALGO-TIME."""
    resume: Path | None = None
    """A run folder or checkpoint to go on from."""
    weights_from: Path | None = None
    """A run folder or checkpoint whose weights to start from, with everything else new."""
    preset: str = "auto"
    """Settings to start from: auto, a name from `anyspace list`, or none for the plain defaults."""
    progress: bool = True
    """Show live progress."""
    evaluate: int = 10
    """Episodes to evaluate at the end; 0 leaves that out."""


@dataclass(frozen=True)
class InspectArguments:
    """Show what becomes of an environment's spaces, and run one dummy step of everything."""

    env: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ENV")]
    """A Gymnasium id or package.module:EnvClass."""
    algo: str = "ppo"
    """The algorithm: see `anyspace list`."""
    preset: str = "auto"
    """Settings to start from: auto, a name from `anyspace list`, or none for the plain defaults."""


@dataclass(frozen=True)
class EvaluateArguments:
    """Play episodes with what a run learnt, acting deterministically."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder or a checkpoint."""
    episodes: int = 10
    """How many, at least 1."""
    render: bool = False
    """Show them in a window."""
    best: bool = False
    """Take the run's best checkpoint instead of the latest."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 0, 1 for an environment's own error, 2 for wrong input."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    console = Console(stderr=True)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(OVERVIEW)
        return 0
    command = _COMMANDS.get(arguments[0])
    if command is None:
        console.print(
            f"error: there is no command {arguments[0]!r}.{nearest(arguments[0], _COMMANDS)}\n\n{OVERVIEW}",
            markup=False,
            highlight=False,
        )
        return 2
    try:
        command(arguments[1:])
    except AnyspaceError as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt as interrupt:
        console.print(str(interrupt) or "stopped", markup=False, highlight=False, soft_wrap=True)
        return 130
    except Exception as error:
        _print_traceback(error)
        return 1
    return 0


def _print_traceback(error: Exception) -> None:
    """Print an environment's own traceback; the frames of this library that led there would only hide it."""
    ours = (str(Path(__file__).parent), str(Path(gym.vector.__file__).parent))
    frame = start = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename.startswith(ours):
            start = frame.tb_next
        frame = frame.tb_next
    traceback.print_exception(type(error), error, start or error.__traceback__)


# ------------------------------------------------------------------------------------------- commands


def _train(arguments: list[str]) -> None:
    basics = _basics(TrainArguments, arguments)
    console = Console()
    if basics.resume is not None:
        algorithm = _resumed(basics, arguments)
        out = basics.out or _run_folder_of(basics.resume)
        console.print(f"Resuming {out} at {algorithm.timesteps_total:,} steps", highlight=False)
    else:
        if basics.env is None:
            raise ConfigError("give an environment (`anyspace train CartPole-v1`) or --resume DIR.")
        algorithm = _built(TrainArguments, basics, arguments, console)
        out = basics.out or _new_folder(basics.env, basics.algo)
    if basics.weights_from is not None:
        algorithm.load_weights(basics.weights_from)
    try:
        started = time.monotonic()
        result = algorithm.learn(basics.steps, out=out, progress=basics.progress)
        _print_result(console, algorithm, result, time.monotonic() - started)
        if basics.evaluate:
            _print_evaluation(console, algorithm.evaluate(basics.evaluate))
        console.print(f"run folder: {out}", highlight=False, soft_wrap=True)
    finally:
        algorithm.close()


def _evaluate(arguments: list[str]) -> None:
    from anyspace.algorithms import Algorithm

    given = tyro.cli(EvaluateArguments, args=arguments, prog="anyspace evaluate")
    if given.episodes < 1:
        raise ConfigError(f"--episodes is {given.episodes}, but it must be at least 1.")
    algorithm = Algorithm.load(given.run / "best" if given.best else given.run)
    try:
        _print_evaluation(Console(), algorithm.evaluate(given.episodes, render=given.render))
    finally:
        algorithm.close()


def _inspect(arguments: list[str]) -> None:
    from anyspace.execution.inspection import pipeline_tree

    basics = _basics(InspectArguments, arguments)
    console = Console()
    algorithm = _built(InspectArguments, basics, arguments, console, dummy=True)
    try:
        console.print(pipeline_tree(algorithm.policy, f"{type(algorithm).__name__} on {basics.env}"))
        result = algorithm.train()
        console.print(
            f"one dummy step of everything: collected {result['timesteps_this_iter']} steps, took a gradient step"
            f" (loss {result['learner']['total_loss']:.4g})",
            highlight=False,
        )
    finally:
        algorithm.close()


def _list(arguments: list[str]) -> None:
    from anyspace.algorithms import ALGORITHMS
    from anyspace.algorithms.presets import preset_names

    tyro.cli(_no_arguments, args=arguments, prog="anyspace list")
    table = Table("algorithm", "what it does", "presets")
    for algorithm in ALGORITHMS.values():
        summary = (algorithm.__doc__ or "").splitlines()[0]
        table.add_row(algorithm.name(), summary, ", ".join(preset_names(algorithm.name())))
    Console().print(table)


def _no_arguments() -> None:
    """List the algorithms and their presets."""


_COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "train": _train,
    "evaluate": _evaluate,
    "inspect": _inspect,
    "list": _list,
}


# ------------------------------------------------------------------------------------ from flags to config


def _algorithm_class(arguments: list[str]) -> type[Algorithm[Any]]:
    """Return the algorithm that the flags name; it decides which other flags there are."""
    from anyspace.algorithms import ALGORITHMS

    names = {algorithm.name(): algorithm for algorithm in ALGORITHMS.values()}
    words = [word for argument in arguments for word in argument.split("=", 1)]
    name = next((value for flag, value in itertools.pairwise(words) if flag == "--algo"), "ppo")
    if name not in names:
        raise ConfigError(f"there is no algorithm {name!r}.{nearest(name, names)} Known: {', '.join(names)}.")
    return names[name]


def _basics(kind: type[Any], arguments: list[str]) -> Any:
    """Return a command's own flags; help is left for the parse that knows the preset's defaults."""
    wanted = [argument for argument in arguments if argument not in ("-h", "--help")]
    asked = len(wanted) < len(arguments) and not any(not word.startswith("-") for word in wanted)
    return _parse(kind, _algorithm_class(arguments).config_class(), arguments if asked else wanted).basics


def _built(
    kind: type[Any], basics: Any, arguments: list[str], console: Console, *, dummy: bool = False
) -> Algorithm[Any]:
    algorithm_class = _algorithm_class(arguments)
    defaults = algorithm_class.config_class()
    if basics.preset != "none":
        chosen = algorithm_class.preset(basics.env, basics.preset)
        defaults = configs.merge(defaults, chosen.settings, renamed=RENAMED)
        _print_preset(console, chosen, configs.changes(defaults, algorithm_class.config_class()))
    settings = _parse(kind, defaults, arguments).config
    if dummy:
        steps = 2 * settings.num_envs_per_env_runner
        settings = dataclasses.replace(
            settings, train_batch_size=steps, minibatch_size=None, num_epochs=1, rollout_fragment_length="auto"
        )
    return algorithm_class(basics.env, settings)


def _resumed(basics: TrainArguments, arguments: list[str]) -> Algorithm[Any]:
    from anyspace.algorithms import Algorithm

    assert basics.resume is not None
    stored = Algorithm.load(basics.resume, env=basics.env)
    settings = _parse(TrainArguments, stored.config, arguments).config
    changed = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    differing = {key: value for key, value in changed.items() if value != getattr(stored.config, key)}
    return Algorithm.load(basics.resume, env=basics.env, config=differing) if differing else stored


def _parse(kind: type[Any], defaults: Any, arguments: list[str]) -> Any:
    """Return the command's own flags (``basics``) and what the others make of ``defaults`` (``config``)."""
    merged = dataclasses.make_dataclass(
        kind.__name__,
        [
            ("basics", Annotated[kind, tyro.conf.arg(name="")]),
            ("config", Annotated[type(defaults), tyro.conf.arg(name="")], defaults),
        ],
    )
    merged.__doc__ = kind.__doc__
    spelt = ["--lambda_" if argument == "--lambda" else argument for argument in arguments]
    prog = f"anyspace {'train' if kind is TrainArguments else 'inspect'}"
    return tyro.cli(merged, args=spelt, prog=prog, registry=_REGISTRY)


_REGISTRY = tyro.constructors.ConstructorRegistry()


@_REGISTRY.primitive_rule
def _json_flag(info: tyro.constructors.PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Take dicts, filters, and lists of things with importable names, as JSON: no other spelling fits one flag."""
    parts = (info.type, *typing.get_args(info.type))
    is_nested = any(typing.get_origin(part) is dict or part == list[FilterSpec] for part in parts)
    if not is_nested and (Callable not in _origins(info.type) or _is_named(info.type)):
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=functools.partial(_from_json_flag, info.type),
        is_instance=lambda value: True,
        str_from_instance=lambda value: [json.dumps(value, default=repr)],
    )


@_REGISTRY.primitive_rule
def _name_flag(info: tyro.constructors.PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Take classes and functions by the names that the library knows, or as package.module:Name."""
    if not _is_named(info.type):
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME",
        instance_from_str=_from_name_flag,
        is_instance=lambda value: True,
        str_from_instance=lambda value: [importable_name(value) or str(value)],
    )


def _is_named(hint: Any) -> bool:
    options = typing.get_args(hint)
    return str in options and any(option is type or typing.get_origin(option) is Callable for option in options)


def _from_name_flag(words: list[str]) -> Any:
    if words[0] == "None":
        return None
    return import_name(words[0]) if ":" in words[0] else words[0]


def _origins(hint: Any) -> set[Any]:
    return {
        typing.get_origin(part) for argument in typing.get_args(hint) for part in (argument, *typing.get_args(argument))
    }


def _from_json_flag(hint: Any, words: list[str]) -> Any:
    try:
        value = json.loads(words[0])
    except json.JSONDecodeError as error:
        raise ValueError(f"{words[0]!r} is not JSON ({error}); write it like '{{\"key\": 1}}'.") from error
    if not configs.matches(value, hint):
        raise ValueError(f"{words[0]} is not what the key takes: {configs.spell(hint)}.")
    return value


# ------------------------------------------------------------------------------------------------ output


def _print_preset(console: Console, preset: Preset, changes: Mapping[str, Any]) -> None:
    console.print(f"preset: {preset.name} (--preset none leaves it out). It changes:", highlight=False)
    for key, value in changes.items():
        console.print(f"  {key} = {value}", highlight=False, markup=False)


def _print_result(console: Console, algorithm: Algorithm[Any], result: Mapping[str, Any], seconds: float) -> None:
    mean = result.get("episode_return_mean")
    spelt = "no episode ended" if mean is None else f"mean return {mean:.1f}"
    console.print(
        f"trained {algorithm.timesteps_total:,} steps in {seconds:.1f} s: {spelt} over the latest"
        f" {min(algorithm.progress.episodes_total, algorithm.config.return_window)} episodes",
        highlight=False,
    )


def _print_evaluation(console: Console, result: Mapping[str, float]) -> None:
    console.print(
        f"evaluation: mean return {result['episode_return_mean']:.1f} +- {result['episode_return_std']:.1f}"
        f" (lowest {result['episode_return_min']:.1f}, highest {result['episode_return_max']:.1f}) over"
        f" {result['episodes']} episodes of {result['episode_len_mean']:.1f} steps",
        highlight=False,
        soft_wrap=True,
    )


def _new_folder(env: str, algo: str) -> Path:
    name = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in env)
    return Path("runs") / f"{name}-{algo}-{time.strftime('%Y%m%d-%H%M%S')}"


def _run_folder_of(path: Path) -> Path:
    return path.parent if path.name in ("checkpoint", "best") else path
