"""The command line: ``anyspace train``, ``evaluate``, ``record``, ``inspect`` and others."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from anyspace import __version__

OVERVIEW = """\
anyspace: any Gymnasium space in, any Gymnasium space out.

  anyspace train ENV [--algo ppo] [--steps N] [--out DIR] [--resume DIR [--trust]] [--config FILE] [--seeds N] ...
  anyspace sweep ENV [--trials N] [--steps N] [--ranges FILE] [--algo ppo] ...
  anyspace evaluate RUN [--episodes N] [--seed N] [--json] [--render] [--trust]
  anyspace record RUN [--episodes N] [--seed N] [--out video.mp4 video.gif] [--trust]
  anyspace report RUN [--episodes N] [--out report.html] [--trust]
  anyspace inspect ENV [--algo ppo] [--out pipeline.svg] [--model.fcnet-hiddens 64 64] ...
  anyspace check ENV [--steps N] [--env-config JSON] [--wrappers module:Wrapper ...]
  anyspace bench ENV [--algo ppo] [--seconds N] [--json] [--model.fcnet-hiddens 64 64] ...
  anyspace plot RUN [RUN ...] [--out curves.svg] [--metric learner/entropy]
  anyspace export RUN policy.onnx [--stochastic] [--rows N] [--trust]
  anyspace list

ENV is a Gymnasium id or package.module:EnvClass; RUN is the folder of a run or a checkpoint.
Algorithms of your own are package.module:Class; the current folder is searched as well.
`anyspace COMMAND --help` lists every flag, and `anyspace --version` the version."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 0, 1 for an environment's own error, 2 for wrong input.

    Where nobody reads the output any more, it is 1 without a word. A run that a signal stopped returns 128 and the
    signal's number: 130 after Ctrl-C, 143 after SIGTERM.

    The folder in which the command runs is searched for modules as well, as by ``python -m``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(OVERVIEW)
        return 0
    if arguments[0] == "--version":
        print(f"anyspace {__version__}")
        return 0
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    status = _run(arguments[0], arguments[1:])
    return 1 if _reader_is_gone() else status


def _run(name: str, words: list[str]) -> int:
    """Run one command. Everything heavy is imported from here on: the overview comes at once."""
    from anyspace.cli.output import print_error, print_traceback, with_notes
    from anyspace.errors import AnyspaceError, nearest
    from anyspace.execution.stopping import RunStopped

    commands = _commands()
    if name not in commands:
        print_error(f"error: there is no command {name!r}.{nearest(name, commands)}\n\n{OVERVIEW}")
        return 2
    try:
        return commands[name](words) or 0
    except AnyspaceError as error:
        print_error(with_notes(f"error: {error}", error), style="red")
        return 2
    except KeyboardInterrupt as interrupt:
        print_error(with_notes(str(interrupt) or "stopped", interrupt))
        return 130
    except RunStopped as stop:
        print_error(with_notes(str(stop), stop))
        return stop.status
    except Exception as error:
        # `anyspace list | head -1`: what could not be printed is nobody's error.
        if not (isinstance(error, BrokenPipeError) and _reader_is_gone()):
            print_traceback(error)
        return 1


def _reader_is_gone() -> bool:
    """Return whether the other end of a pipe for the output is closed; then the rest of the output goes nowhere."""
    if sys.platform == "win32":
        return False
    try:
        stream = sys.stdout.fileno()
    except (OSError, ValueError):
        return False
    watched = select.poll()
    watched.register(stream, 0)
    if not any(event & select.POLLERR for _, event in watched.poll(0)):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream)
    os.close(nowhere)
    return True


def _commands() -> dict[str, Callable[[list[str]], int | None]]:
    from anyspace.cli.export import export
    from anyspace.cli.look import bench, check, inspect, list_algorithms, plot
    from anyspace.cli.play import evaluate, record
    from anyspace.cli.report import report
    from anyspace.cli.sweep import sweep
    from anyspace.cli.train import train

    return {
        "train": train,
        "sweep": sweep,
        "evaluate": evaluate,
        "record": record,
        "report": report,
        "inspect": inspect,
        "check": check,
        "bench": bench,
        "plot": plot,
        "export": export,
        "list": list_algorithms,
    }
