"""The command line: ``anyspace train | evaluate | inspect | list``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

OVERVIEW = """\
anyspace: any Gymnasium space in, any Gymnasium space out.

  anyspace train ENV [--algo ppo] [--steps N] [--out DIR] [--resume DIR] [--preset NAME] [--lr 3e-4] ...
  anyspace evaluate RUN [--episodes N] [--render]
  anyspace inspect ENV [--algo ppo] [--model.fcnet-hiddens 64 64] ...
  anyspace list

ENV is a Gymnasium id or package.module:EnvClass; RUN is the folder of a run or a checkpoint.
Algorithms of your own are package.module:Class; the current folder is searched as well.
`anyspace COMMAND --help` lists every flag."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 0, 1 for an environment's own error, 2 for wrong input.

    The folder in which the command runs is searched for modules as well, as by ``python -m``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(OVERVIEW)
        return 0
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return _run(arguments[0], arguments[1:])


def _run(name: str, words: list[str]) -> int:
    """Run one command. Everything heavy is imported from here on: the overview comes at once."""
    from anyspace.cli.output import print_error, print_traceback
    from anyspace.errors import AnyspaceError, nearest

    commands = _commands()
    if name not in commands:
        print_error(f"error: there is no command {name!r}.{nearest(name, commands)}\n\n{OVERVIEW}")
        return 2
    try:
        commands[name](words)
    except AnyspaceError as error:
        print_error(f"error: {error}", style="red")
        return 2
    except KeyboardInterrupt as interrupt:
        print_error(str(interrupt) or "stopped")
        return 130
    except Exception as error:
        print_traceback(error)
        return 1
    return 0


def _commands() -> dict[str, Callable[[list[str]], None]]:
    from anyspace.cli.look import evaluate, inspect, list_algorithms
    from anyspace.cli.train import train

    return {"train": train, "evaluate": evaluate, "inspect": inspect, "list": list_algorithms}
