"""Run the tests with the lowest allowed and with other versions, each in a virtual environment of its own.

``python -m tests.support.versions`` makes the environments under ``.venv-versions``, runs the tests in each and prints
a table; with ``--write`` the table goes into ``docs/installation.md``. Other arguments go to pytest.

Environments are filled by uv, which finds versions that fit together within seconds, where pip tries for minutes. It is
installed into an environment of its own, and reads variables such as ``UV_TORCH_BACKEND=cpu`` and ``UV_FIND_LINKS``.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "installation.md"
BEGIN, END = "<!-- versions: begin -->", "<!-- versions: end -->"
TOLERANT = tuple(
    word
    for warning in ("DeprecationWarning", "FutureWarning", "ResourceWarning", "pytest.PytestUnraisableExceptionWarning")
    for word in ("-W", f"default::{warning}")
)
"""What packages of different ages say of each other is no fault of ours; all other warnings stay errors."""
ALL = ("-m", "not learning and not fuzz and not ray and not soak")
"""The arguments of pytest for the whole suite."""
WITHOUT = 'triton ; python_version < "3"'
"""Triton, which PyTorch's wheels for GPUs bring, ends the process when it is imported after TensorFlow."""
EXTRAS = ("atari", "export", "jax", "ray", "sweep", "video")
"""Those that the development packages bring, without those for documents alone."""
SHOWN = ("gymnasium", "numpy", "torch", "jax")
HEADER = ("Python", *SHOWN, "what it stands for", "result")


@dataclass(frozen=True)
class Leg:
    """One set of versions.

    Attributes:
        python: major and minor version of the interpreter.
        stands_for: what the set shows, for the table.
        pins: requirements with exact versions; they take precedence over ``constraints.txt``.
        constrained: install everything else as ``constraints.txt`` says; otherwise uv chooses.
    """

    python: str
    stands_for: str
    pins: tuple[str, ...] = ()
    constrained: bool = True

    @property
    def name(self) -> str:
        """A name for the folder of the environment."""
        return re.sub(r"\W+", "-", f"{self.python} {self.stands_for}")

    def constraints(self) -> str:
        """Return the constraints on what is installed."""
        own = {requirement_name(pin) for pin in self.pins}
        lines = (ROOT / "constraints.txt").read_text().splitlines() if self.constrained else []
        return "\n".join([*self.pins, *(line for line in lines if requirement_name(line) not in own)])


@dataclass
class Outcome:
    """What a set of versions brought: the installed versions, and the last line of the tests."""

    leg: Leg
    result: str
    versions: dict[str, str] = field(default_factory=dict)
    passed: bool = False

    def row(self) -> str:
        """Return a line of the table."""
        shown = [self.versions.get("python", self.leg.python), *(self.versions.get(name, "-") for name in SHOWN)]
        return f"| {' | '.join([*shown, self.leg.stands_for, self.result])} |"


def requirement_name(line: str) -> str:
    """Return the name of a requirement, in lower case."""
    return re.split(r"[\s=<>!~\[;]", line, maxsplit=1)[0].lower()


def lowest() -> tuple[str, ...]:
    """Return the lower bounds of what the library and its extras require, as exact versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = (project["optional-dependencies"][name] for name in EXTRAS)
    requirements = itertools.chain(project["dependencies"], *extras)
    return tuple(requirement.partition(";")[0].replace(">=", "==") for requirement in requirements)


def legs() -> tuple[Leg, ...]:
    """Return the sets of versions, the lowest first."""
    return (
        Leg("3.11", "the lowest allowed versions", lowest(), constrained=False),
        Leg("3.11", "Gymnasium 1.2", ("gymnasium==1.2.3",)),
        Leg("3.11", "Gymnasium 1.3", ("gymnasium==1.3.0",)),
        Leg("3.12", "Python 3.12"),
        Leg("3.13", "Python 3.13"),
        Leg("3.11", "the newest versions", constrained=False),
    )


def interpreter(version: str) -> str | None:
    """Return the path of ``pythonX.Y``: on the path, or one that pyenv holds; None where there is none."""
    found = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    held = sorted(pyenv.glob(f"{version}.*/bin/python"))
    return str(held[-1]) if held else found


def uv(folder: Path) -> Path:
    """Return the path of uv in an environment of its own, made where it is not there yet."""
    found = folder / "uv" / "bin" / "uv"
    if not found.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "uv"], check=True)
        subprocess.run([folder / "uv" / "bin" / "python", "-m", "pip", "install", "--quiet", "uv"], check=True)
    return found


def tried(leg: Leg, folder: Path, pytest: Sequence[str]) -> Outcome:
    """Make the environment of a set of versions, and run the tests in it."""
    base = interpreter(leg.python)
    if base is None:
        return Outcome(leg, f"not tried: no python{leg.python} found")
    venv = folder / leg.name
    python = venv / "bin" / "python"
    constraints, overrides = folder / f"{leg.name}.txt", folder / "without.txt"
    folder.mkdir(exist_ok=True)
    constraints.write_text(leg.constraints())
    overrides.write_text(WITHOUT)
    if not python.exists():
        subprocess.run([base, "-m", "venv", venv], check=True)
    install = [
        "pip",
        "install",
        "--python",
        python,
        "--constraint",
        constraints,
        "--override",
        overrides,
        "--editable",
        f"{ROOT}[dev]",
    ]
    if subprocess.run([uv(folder), *install, "--quiet"]).returncode:
        return Outcome(leg, "cannot be installed")
    versions = dict(_versions(python))
    command = [python, "-m", "pytest", "-q", "--no-header", *TOLERANT, *pytest]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    (folder / f"{leg.name}.log").write_text(run.stdout)
    last = next(reversed(run.stdout.strip().splitlines()), "pytest printed nothing").strip("= ")
    return Outcome(leg, re.sub(r" in [\d.]+s.*", "", last), versions, run.returncode == 0)


def _versions(python: Path) -> Iterator[tuple[str, str]]:
    asked = f"import sys, importlib.metadata as m; print(sys.version.split()[0], *map(m.version, {SHOWN!r}))"
    told = subprocess.run([python, "-c", asked], check=True, stdout=subprocess.PIPE, text=True).stdout
    return zip(("python", *SHOWN), told.split(), strict=True)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the table in Markdown."""
    lines = [f"| {' | '.join(HEADER)} |", "|" + "---|" * len(HEADER)]
    return "\n".join([*lines, *(outcome.row() for outcome in outcomes)])


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--only", metavar="WORD", default="", help="only the sets whose name holds this word")
    parser.add_argument("--folder", type=Path, default=ROOT / ".venv-versions", help="where the environments lie")
    known, pytest = parser.parse_known_args(arguments)
    outcomes = []
    for leg in legs():
        if known.only in leg.name:
            outcomes.append(tried(leg, known.folder, pytest or ALL))
            print(outcomes[-1].row(), flush=True)
    text = table(outcomes)
    print(f"\n{text}")
    if known.write:
        page = PAGE.read_text()
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")
    return 0 if all(outcome.passed or not outcome.versions for outcome in outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
