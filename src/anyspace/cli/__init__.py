"""The command line: ``anyspace train``, ``evaluate``, ``record``, ``inspect`` and others."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from anyspace import __version__

OVERVIEW = """\
anyspace: any Gymnasium space in, any Gymnasium space out.

  anyspace train ENV               trains, and keeps a run folder; --resume RUN goes on with one
  anyspace sweep ENV               searches for settings with Optuna
  anyspace evaluate RUN            plays episodes with what a run learnt
  anyspace record RUN              films them, as MP4 and GIF
  anyspace report RUN              writes one page of HTML: curve, evaluation, film, settings
  anyspace inspect ENV             shows what becomes of observations and actions, and the model
  anyspace check ENV               steps an environment, and lists what is wrong with it
  anyspace bench ENV               trains for some seconds, and shows what takes the time
  anyspace plot RUN [RUN ...]      draws learning curves
  anyspace export RUN policy.onnx  writes a policy as one file for onnxruntime
  anyspace list                    names algorithms and presets

ENV is a Gymnasium id or package.module:EnvClass; RUN is the folder of a run or a checkpoint.
Algorithms of your own are package.module:Class; the current folder is searched as well.
`anyspace COMMAND --help` lists its flags, and `anyspace --version` the version.
Begin with: anyspace train CartPole-v1"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 0, 1 for an environment's own error, 2 for wrong input.

    Where the output cannot be written, it is 1, without a word where nobody reads it any more. A run that a signal
    stopped returns 128 and the signal's number: 130 after Ctrl-C, 143 after SIGTERM.

    The folder in which the command runs is searched for modules as well, as by ``python -m``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    with ExitStack() as stack:
        # `anyspace list >&-`: what has nowhere to go goes nowhere.
        for stream, redirect in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream is None:
                stack.enter_context(redirect(stack.enter_context(open(os.devnull, "w"))))
        # What the output's encoding lacks is spelt as Python spells it: a path is no reason to end in an error.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stack.callback(stream.reconfigure, errors=stream.errors)
                stream.reconfigure(errors="backslashreplace")
        more = ""
        try:
            status = _answer(arguments)
        except KeyboardInterrupt:  # while something was imported
            print("stopped", file=sys.stderr)
            status = 130
        except OSError:  # of the overview; commands see to their own
            status, more = 1, "\n"
        lost = _lost_output(more)
        if lost is not None and not isinstance(lost, BrokenPipeError):
            print(_unwritable(lost), file=sys.stderr)
        return status if lost is None else 1


def _answer(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(OVERVIEW)
        return 0
    if arguments[0] == "--version":
        print(f"anyspace {__version__}")
        return 0
    return _run(arguments[0], arguments[1:])


def _run(name: str, words: list[str]) -> int:
    """Run one command. Everything heavy is imported from here on: the overview comes at once."""
    from anyspace.cli.other_words import COMMANDS
    from anyspace.cli.output import print_error, print_traceback, with_notes
    from anyspace.errors import AnyspaceError, nearest
    from anyspace.execution.stopping import RunStopped

    try:
        with suppress(OSError):  # it may have been removed
            if (here := str(Path.cwd())) not in sys.path:
                sys.path.insert(0, here)
        commands = _commands()
        if name not in commands:
            hint = f" {COMMANDS[name]}" if name in COMMANDS else nearest(name, commands)
            print_error(f"error: there is no command {name!r}.{hint}\n\n{OVERVIEW}")
            return 2
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
        lost = _lost_output("\n") if isinstance(error, OSError) else None
        if lost is None or lost.errno != getattr(error, "errno", None):
            print_traceback(error)
        # `anyspace list | head -1`: what could not be printed is nobody's error.
        elif not isinstance(lost, BrokenPipeError):
            print_error(with_notes(_unwritable(lost), error), style="red")
        return 1


def _unwritable(error: OSError) -> str:
    return f"error: the output cannot be written ({error.strerror}); make room on the disk, or send it elsewhere."


def _lost_output(more: str = "") -> OSError | None:
    """Return why the output cannot be written, if it cannot; then the rest of it goes nowhere.

    Args:
        more: written to find out: what could not be written before is no longer waiting where it was long.
    """
    try:
        if _reader_is_gone():
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        sys.stdout.write(more)
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return error
    return None


def _reader_is_gone() -> bool:
    """Return whether the other end of a pipe for the output is closed."""
    if sys.platform == "win32":
        return False
    try:
        stream = sys.stdout.fileno()
    except (OSError, ValueError):
        return False
    watched = select.poll()
    watched.register(stream, 0)
    return any(event & select.POLLERR for _, event in watched.poll(0))


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
