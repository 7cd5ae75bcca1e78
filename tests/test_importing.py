"""Names of code."""

import functools
import re
import sys
import types
from pathlib import Path

import gymnasium as gym
import pytest

import anyspace
from anyspace.errors import ConfigError
from anyspace.importing import import_name, importable_name, is_installed


def a_function():
    return 1


class Maker:
    @classmethod
    def build(cls):
        return cls()

    def method(self):
        return self


def test_names_for_import():
    assert importable_name(gym.Wrapper) == "gymnasium.core:Wrapper"
    assert import_name("gymnasium.core:Wrapper") is gym.Wrapper
    assert importable_name(Maker.build) == f"{__name__}:Maker.build"
    assert import_name(f"{__name__}:Maker.build") == Maker.build

    class Local:
        pass

    for nameless in (Local, lambda: 1, Maker().method, functools.partial(a_function), 3):
        assert importable_name(nameless) is None


@pytest.mark.parametrize(
    "name",
    [
        "compat:normc_initializer",
        "compat_choices:TorchCategorical",
        "compat_continuous:TorchBeta",
        "compat_dists:TorchMultiActionDistribution",
        "compat_gradients:global_norm",
        "compat_modules:GRUGate",
        "compat_tensors:huber_loss",
        "compat_wrapper:TorchDistributionWrapper",
    ],
)
def test_modules_have_their_earlier_names_too(name):
    found = import_name(f"anyspace.models.torch.{name}")
    assert importable_name(found).startswith("anyspace._rllib.torch.")


def test_a_name_that_means_something_else_by_now_is_no_name(monkeypatch):
    former = Maker
    monkeypatch.setitem(globals(), "Maker", type("Maker", (), {}))
    assert importable_name(former) is None


def test_a_folder_whose_name_begins_like_an_installed_one_is_none():
    folder = Path(anyspace.__file__).parent
    assert is_installed(str(folder / "ppo.py"))
    assert is_installed(gym.__file__)
    assert not is_installed(f"{folder}_zoo/envs.py")


@pytest.mark.parametrize("module", ["__main__", "__mp_main__", "made_here"])
def test_what_another_process_cannot_import_has_no_name(module, monkeypatch):
    here = types.ModuleType(module)
    here.Thing = type("Thing", (), {"__module__": module})
    monkeypatch.setitem(sys.modules, module, here)
    assert importable_name(here.Thing) is None


@pytest.mark.parametrize("name", ["os", "os:", ":getcwd", ".os:getcwd", "os:<lambda>", "", "os path:x"])
def test_malformed_names_are_refused(name):
    with pytest.raises(ConfigError, match=re.escape(f"{name!r} cannot be imported: write it as `package.module:Name`")):
        import_name(name)


@pytest.mark.parametrize("name", ["json:py", "json.py:JSONDecoder"])
def test_a_file_is_no_module(name):
    with pytest.raises(ConfigError, match=r"write a module and what is in it, and no file: `json:Name`"):
        import_name(name)


@pytest.mark.parametrize("name", ["no_such_module:x", "os:no_such_name"])
def test_names_of_nothing_are_refused(name):
    with pytest.raises(ConfigError, match=f"'{name}' cannot be imported: .*no_such"):
        import_name(name)


def test_python_s_path_is_left_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "module_in_current_folder.py").write_text("thing = 42\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nowhere"])
    with pytest.raises(ConfigError, match=r"a folder on Python's path \(`sys.path`\)"):
        import_name("module_in_current_folder:thing")
    assert sys.path == ["/nowhere"]
