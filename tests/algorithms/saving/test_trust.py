"""Loading a stranger's checkpoint runs nothing that it names, in any key; what is trusted or handed over loads."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import pytest

from anyspace import DQN, PPO, SAC, Algorithm, Policy, register_env
from anyspace.algorithms.ppo import PPOConfig
from anyspace.algorithms.saving import reading, trust
from anyspace.algorithms.saving.plain import MARK
from anyspace.algorithms.saving.trust import needs_trust
from anyspace.cli import main
from anyspace.data import environments
from anyspace.data.environments import origin_of
from anyspace.distributions import Categorical
from anyspace.errors import AnyspaceError, CheckpointError
from anyspace.models import FullyConnectedNetwork, ModelCatalog, catalog
from anyspace.policy.exploration import EpsilonGreedy
from anyspace.rllib.models.torch.torch_action_dist import TorchCategorical
from tests.support.tasks import Countdown, Endless

SMALL: dict[str, Any] = {
    "train_batch_size": 8,
    "minibatch_size": 8,
    "num_epochs": 1,
    "seed": 0,
    "model": {"fcnet_hiddens": [4]},
}

MODULE = "module_of_a_stranger"
SOURCE = """
from pathlib import Path
Path(__file__).with_name("pwned").touch()
import enum
import gymnasium as gym
from anyspace import PPO
class Env(gym.Wrapper):
    def __init__(self, **settings):
        super().__init__(gym.make("CartPole-v1"))
class Wrapper(gym.Wrapper): pass
class Kind(enum.Enum):
    ONE = 1
class Own(PPO): pass
gym.register("Stranger-v0", "gymnasium.envs.classic_control:CartPoleEnv")
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    PPO("CartPole-v1", SMALL).save(folder)
    return folder


@pytest.fixture
def stranger(tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkpoint in the current folder, beside a module that leaves a mark when it is imported."""
    shutil.copytree(saved, tmp_path / "run")
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(trust, "_built_with", set())
    yield tmp_path
    sys.modules.pop(MODULE, None)
    gym.registry.pop("Stranger-v0", None)


def edited(folder: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    file = folder / "run" / "state.json"
    state = json.loads(file.read_text())
    edit(state)
    file.write_text(json.dumps(state))
    return folder / "run"


def put(state: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    for key in keys[:-1]:
        state = state[key]
    state[keys[-1]] = value


def require_untouched(folder: Path) -> None:
    assert MODULE not in sys.modules
    assert not list(folder.glob("**/pwned"))


def every_key() -> list[tuple[str, ...]]:
    """Every place of a configuration: those that the dataclasses have today, and some that they have not."""

    def of(config_class: type, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for field in dataclasses.fields(config_class):
            factory = field.default_factory
            default = factory() if factory is not dataclasses.MISSING else field.default
            yield (*above, field.name)
            if dataclasses.is_dataclass(default):
                yield from of(type(default), (*above, field.name))

    return [("env",), ("algorithm",), *of(PPOConfig, ("config",)), ("config", "callbacks"), ("config", "model", "new")]


CODE = {"import": f"{MODULE}:Env"}

FORMS: dict[str, Any] = {
    "a name": f"{MODULE}:Env",
    "a dotted name": f"{MODULE}.Env",
    "an id behind a module": f"{MODULE}:Stranger-v0",
    "code": CODE,
    "code in a list": [CODE],
    "code in a dict": {"a": {"b": [1, CODE]}},
    "code in a tuple": {MARK: "tuple", "items": [CODE]},
    "code as a key": {MARK: "dict", "pairs": [[CODE, 1]]},
    "code as an item": {MARK: "ordered dict", "pairs": [[1, CODE]]},
    "code in a set": {MARK: "set", "items": [CODE]},
    "code in a number": {MARK: "scalar", "dtype": "<f4", "value": CODE},
    "an enum": {MARK: "enum", "name": f"{MODULE}:Kind", "member": "ONE"},
    "a dataclass": {MARK: "dataclass", "name": f"{MODULE}:Env", "fields": {"x": 1}},
    "a named tuple": {MARK: "named tuple", "name": f"{MODULE}:Env", "items": [CODE]},
    "an object": {MARK: "object", "name": f"{MODULE}:Env", "fields": {}},
    "a name in a list": [f"{MODULE}:Wrapper"],
    "a name in a dict": {"a": f"{MODULE}:Env"},
    "a name of NumPy's": {MARK: "scalar", "dtype": "<U30", "value": f"{MODULE}:Env"},
}


def refusal(load: Callable[[Path], Any], path: Path) -> str | None:
    """What loading says, or None where it loads; then everything that there is is used."""
    try:
        loaded = load(path)
    except CheckpointError as error:
        return str(error)
    try:
        loaded.compute_single_action(loaded.policy.observation_space.sample())
        loaded.evaluate(1)
    except Exception:  # of arguments that the environment does not take; all that matters is what has run until then
        return None
    return None


def require_refused_or_text(stranger: Path, keys: tuple[str, ...], form: str, load: Callable[[Path], Any]) -> None:
    path = edited(stranger, functools.partial(put, keys=keys, value=FORMS[form]))
    said = refusal(load, path)
    require_untouched(stranger)
    if "import" in str(FORMS[form]) or (MARK in str(FORMS[form]) and form != "a name of NumPy's"):  # a text else
        assert said is not None, form
        # Where a value of that type may not stand, that is said first.
        assert f"{MODULE}:" in said or f"`{keys[-1]}` is" in said or "unknown config key" in said, form


@pytest.mark.parametrize("keys", every_key(), ids=".".join)
def test_no_key_imports_what_it_names(stranger: Path, keys: tuple[str, ...]) -> None:
    for form in ("a name", "code", "code in a dict"):
        require_refused_or_text(stranger, keys, form, Algorithm.load)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("keys", [("config", "model", "custom_model_config"), ("config", "model", "custom_model")])
def test_no_form_is_imported(stranger: Path, keys: tuple[str, ...], form: str) -> None:
    for load in (Algorithm.load, PPO.load, Policy.load):
        require_refused_or_text(stranger, keys, form, load)


NAME = f"{MODULE}:Own"
OTHERS: dict[str, tuple[type[Any], str, tuple[str, str]]] = {
    "exploration": (DQN, "CartPole-v1", ("exploration_config", "type")),
    "policy model": (SAC, "Pendulum-v1", ("policy_model_config", "custom_model")),
    "Q model": (SAC, "Pendulum-v1", ("q_model_config", "custom_model")),
    "activation": (SAC, "Pendulum-v1", ("q_model_config", "fcnet_activation")),
}


@pytest.mark.parametrize("case", OTHERS)
def test_names_in_dicts_of_other_algorithms_are_asked_for(stranger: Path, case: str) -> None:
    """However the dict is written; and where the list of what is asked for missed one, it would not be imported."""
    kind, env, (key, inner) = OTHERS[case]
    path = stranger / "run"
    with closing(kind(env, {"model": {"fcnet_hiddens": [4]}, "replay_capacity": 2000}, preset="none")) as algorithm:
        algorithm.save(path)
    numpys = {MARK: "scalar", "dtype": "<U30", "value": NAME}
    for item in (NAME, NAME.replace(":", "."), numpys):
        pairs = [[inner, item]]
        for value in ({inner: item}, {MARK: "dict", "pairs": pairs}, {MARK: "ordered dict", "pairs": pairs}):
            edited(stranger, functools.partial(put, keys=("config", key), value=value))
            for load in (Algorithm.load, kind.load, Policy.load):
                said = refusal(load, path)
                require_untouched(stranger)
                assert said is not None
                assert f"\n  {key}.{inner}: {NAME}\n" in said


def test_what_is_not_listed_is_not_imported_either(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The door itself is shut while an algorithm of a stranger's is built."""
    monkeypatch.setattr(reading, "wants", lambda *_: [])
    path = edited(stranger, functools.partial(put, keys=("config", "model", "custom_model"), value=NAME))
    said = refusal(Algorithm.load, path)
    assert said is not None
    assert "names code that nobody has vouched for, so it is not imported" in said
    require_untouched(stranger)


def test_an_exploration_that_is_handed_over_takes_the_place_of_its_name_alone(stranger: Path) -> None:
    path, config = stranger / "run", {"exploration_config": {"type": "EpsilonGreedy", "final_epsilon": 0.3}}
    with closing(DQN("CartPole-v1", {**config, "replay_capacity": 2000}, preset="none")) as algorithm:
        algorithm.save(path)
    edited(stranger, functools.partial(put, keys=("config", "exploration_config", "type"), value=NAME))
    with closing(Algorithm.load(path, config={"exploration_config": {"type": EpsilonGreedy}})) as loaded:
        assert loaded.config.exploration_config == {"type": EpsilonGreedy, "final_epsilon": 0.3}
    require_untouched(stranger)


@pytest.mark.fuzz
@pytest.mark.parametrize("keys", every_key(), ids=".".join)
def test_no_form_is_imported_in_any_key(stranger: Path, keys: tuple[str, ...]) -> None:
    for form in FORMS:
        require_refused_or_text(stranger, keys, form, Algorithm.load)


NAMING = [
    ("env",),
    ("algorithm",),
    ("config", "wrappers"),
    ("config", "model", "custom_model"),
    ("config", "model", "custom_action_dist"),
    ("config", "model", "fcnet_activation"),
    ("config", "model", "fcnet_weights_initializer"),
]


@pytest.mark.parametrize("keys", NAMING, ids=".".join)
def test_keys_that_name_code_say_so(stranger: Path, keys: tuple[str, ...]) -> None:
    name = f"{MODULE}:Env"
    value = [name] if keys[-1] == "wrappers" else name
    place = ".".join(keys).removeprefix("config.") + "[0]" * (keys[-1] == "wrappers")
    said = refusal(Algorithm.load, edited(stranger, functools.partial(put, keys=keys, value=value)))
    assert said is not None
    assert f"\n  {place}: {name}\n" in said
    require_untouched(stranger)


REACHING: dict[str, Any] = {
    "ray_runtime_env": {"py_executable": "sh -c 'touch pwned'"},
    "ray_address": "stranger.example:6379",
    "output": "pwned",
}


@pytest.mark.parametrize("key", REACHING)
def test_settings_that_reach_out_of_the_process_are_asked_for(stranger: Path, key: str) -> None:
    def edit(state: dict[str, Any]) -> None:
        workers = {} if key == "output" else {"num_env_runners": 1}
        state["config"] |= {key: REACHING[key], **workers}

    path = edited(stranger, edit)
    said = refusal(Algorithm.load, path)
    assert said is not None
    assert f"\n  {key}: {json.dumps(REACHING[key])}, by which" in said
    assert "Nothing was run or written. If you trust" in said
    assert f'config={{"{key}": your_{key}}}' in said
    harmless = {"ray_runtime_env": {}, "ray_address": "auto", "output": None}[key]
    Policy.load(path)  # takes no steps, and so has no use for them
    for options in ({"config": {key: harmless}}, {"trust": True}):
        Algorithm.load(path, **options).close()
    Algorithm.load(path).close()  # by which this process has built now
    require_untouched(stranger)


@pytest.mark.parametrize("keys", [("config", "env_config"), ("config", "model", "custom_model_config")], ids=".".join)
def test_texts_among_settings_are_only_texts(stranger: Path, keys: tuple[str, ...]) -> None:
    put_there = functools.partial(put, keys=keys, value={"render_mode": f"{MODULE}:Env"})
    assert refusal(Algorithm.load, edited(stranger, put_there)) is None
    require_untouched(stranger)


def as_format(number: int, state: dict[str, Any]) -> None:
    state["format"] = number
    if number == 1:
        counters = state["parts"]["counters"]
        state |= {name: counters[name] for name in ("counters", "evaluated_at", "best_return", "latest_episodes")}
        state["coefficients"] = {"kl_coeff": 0.2, "entropy_coeff": 0.0}


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("key", ["custom_model", "custom_model_config", "fcnet_activation"])
def test_earlier_formats_import_nothing_either(stranger: Path, number: int, key: str) -> None:
    def edit(state: dict[str, Any]) -> None:
        as_format(number, state)
        value = {"import": f"{MODULE}:Env"}
        state["config"]["model"][key] = {"deep": [value]} if key == "custom_model_config" else value

    with pytest.raises(CheckpointError, match=f"{MODULE}:Env"):
        Algorithm.load(edited(stranger, edit))
    require_untouched(stranger)


COMMANDS = [["evaluate", "run", "--episodes", "1"], ["train", "--resume", "run", "--steps", "9", "--no-progress"]]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("env", "env_config"),
    [
        ("subprocess:Popen", {"args": "touch pwned", "shell": True}),
        ("os:system", {"command": "touch pwned"}),
        (f"{MODULE}:Env", {}),
        (f"{MODULE}:Stranger-v0", {}),
        ("gymnasium:make", {"id": f"{MODULE}:Stranger-v0"}),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_commands_run_nothing_that_a_checkpoint_names(
    stranger: Path, words: list[str], env: str, env_config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    def edit(state: dict[str, Any]) -> None:
        state["env"], state["config"]["env_config"] = env, env_config

    edited(stranger, edit)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"env: {env}" in said
    for command in ("evaluate run", "export run policy.onnx", "train --resume run"):
        assert f"  anyspace {command} --trust\n" in said
    require_untouched(stranger)


def test_a_command_names_the_environment_along_with_the_rest(
    stranger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited(stranger, everything)
    assert main(["train", "--resume", "run", "--no-progress"]) == 2
    said = capsys.readouterr().err
    assert f"  env: {MODULE}:Env\n" in said
    assert f"  wrappers[0]: {MODULE}:Wrapper\n" in said
    require_untouched(stranger)


def test_a_command_takes_another_environment(stranger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited(stranger, functools.partial(put, keys=("env",), value=f"{MODULE}:Env"))
    words = ["train", "CartPole-v1", "--resume", "run", "--steps", "8", "--no-progress", "--evaluate", "0"]
    assert main(words) == 0, capsys.readouterr().err
    require_untouched(stranger)


def everything(state: dict[str, Any]) -> None:
    state["algorithm"], state["env"] = f"{MODULE}:Own", f"{MODULE}:Env"
    state["config"]["wrappers"] = [f"{MODULE}:Wrapper", {"import": "os:getcwd"}]
    state["config"]["env_config"] = {"kind": {MARK: "enum", "name": f"{MODULE}:Kind", "member": "ONE"}}
    state["config"]["model"] |= {"custom_model": "not_registered", "custom_action_dist": "cooled"}
    state["config"]["model"]["custom_model_config"] = {"f": {"repr": "<lambda> of x"}}


def test_one_error_lists_all_that_is_wanted_and_the_ways_on(stranger: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        Algorithm.load(edited(stranger, everything))
    message = str(caught.value)
    for line in (
        f"algorithm: {MODULE}:Own",
        f"env: {MODULE}:Env",
        f"wrappers[0]: {MODULE}:Wrapper",
        "wrappers[1]: os:getcwd",
        f'env_config["kind"]: {MODULE}:Kind',
        "model.custom_model: 'not_registered', which nobody has registered",
        "model.custom_action_dist: 'cooled', which nobody has registered",
        'model.custom_model_config["f"]: <lambda> of x, which cannot be imported by a name',
        "ModelCatalog.register_custom_model('not_registered', YourModel)",
        "ModelCatalog.register_custom_action_dist('cooled', YourDistribution)",
    ):
        assert f"  {line}\n" in message
    *_, trusting, _, _, _, _, handing = message.splitlines()
    missing = '"custom_model": YourModel, "custom_model_config": {"f": your_f}, "custom_action_dist": YourDistribution'
    run = str(stranger / "run")
    assert trusting == f'  Algorithm.load({run!r}, config={{"model": {{{missing}}}}}, trust=True)'
    assert handing.startswith(f"  Own.load({run!r}, env=Env, config=")
    require_untouched(stranger)


def test_what_a_trusted_module_registers_is_known(stranger: Path) -> None:
    """Models are often registered where the environment is defined, whose name alone stands in the file."""
    file = stranger / f"{MODULE}.py"
    lines = (
        "from anyspace.models import FullyConnectedNetwork, ModelCatalog",
        "ModelCatalog.register_custom_model('beside', FullyConnectedNetwork)",
    )
    file.write_text("\n".join([file.read_text(), *lines]))

    def edit(state: dict[str, Any]) -> None:
        state["env"], state["config"]["model"]["custom_model"] = f"{MODULE}:Env", "beside"

    path = edited(stranger, edit)
    with pytest.raises(CheckpointError, match="'beside', which nobody has registered"):
        Algorithm.load(path)
    require_untouched(stranger)
    for load in (Algorithm.load, Policy.load):
        load(path, trust=True)
        sys.modules.pop(MODULE)
        gym.registry.pop("Stranger-v0")
        catalog._custom_models.pop("beside")


def test_code_that_has_moved_is_handed_over_anew(stranger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(state: dict[str, Any]) -> None:
        state["env"], state["config"]["model"]["custom_model"] = "gone.envs:Env", "gone.models.Net"

    with pytest.raises(CheckpointError) as caught:
        Algorithm.load(edited(stranger, edit), trust=True)
    assert str(caught.value).splitlines() == [
        f"{stranger / 'run'} names code that cannot be imported by the name it had:",
        "  model.custom_model: gone.models:Net (No module named 'gone')",
        "If it has moved, hand it over from where it is now:",
        f"""  Algorithm.load('{stranger / "run"}', config={{"model": {{"custom_model": Net}}}}, trust=True)""",
        f"  anyspace train --resume {stranger / 'run'} --trust --model.custom-model package.module:Net",
    ]
    put(state := json.loads((stranger / "run" / "state.json").read_text()), ("config", "model", "custom_model"), None)
    (stranger / "run" / "state.json").write_text(json.dumps(state))
    assert main(["evaluate", "run", "--trust"]) == 2
    assert "has moved to, is named by --env." in capsys.readouterr().err


def test_a_missing_environment_is_named_along_with_the_rest(stranger: Path) -> None:
    def edit(state: dict[str, Any]) -> None:
        state["env"], state["config"]["model"]["custom_action_dist"] = "nobodys", "cooled"

    with pytest.raises(CheckpointError) as caught:
        Algorithm.load(edited(stranger, edit))
    assert "register_env('nobodys', YourEnv)" in str(caught.value)
    assert "register_custom_action_dist('cooled', YourDistribution)" in str(caught.value)


def test_what_is_trusted_loads_and_goes_on(stranger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(state: dict[str, Any]) -> None:
        state["algorithm"], state["env"] = f"{MODULE}:Own", f"{MODULE}:Env"
        state["config"]["wrappers"] = [f"{MODULE}:Wrapper"]

    path = edited(stranger, edit)
    with pytest.raises(CheckpointError):
        Algorithm.load(path)
    algorithm = Algorithm.load(path, trust=True)
    assert type(algorithm).__name__ == "Own"
    assert (stranger / "pwned").exists()
    assert algorithm.train()["training_iteration"] == 1
    assert main(["train", "--resume", "run", "--trust", "--steps", "16", "--no-progress", "--evaluate", "0"]) == 0
    assert main(["evaluate", "run", "--trust", "--episodes", "1"]) == 0
    assert "mean return" in capsys.readouterr().out
    # By now this process has built algorithms with it.
    assert Algorithm.load(path).train()["training_iteration"] >= 1


def test_a_trusted_name_that_is_wrong_is_named_with_its_key(stranger: Path) -> None:
    for name in ("no_such_module_at_all:Model", f"{MODULE}:NoSuchName", "no name"):
        value = {"import": name}
        path = edited(stranger, functools.partial(put, keys=("config", "model", "custom_model"), value=value))

        with pytest.raises(CheckpointError, match=r"cannot be imported by .*\n  model\.custom_model: "):
            Algorithm.load(path, trust=True)


def test_a_trusted_module_that_fails_is_named_with_its_key(stranger: Path) -> None:
    (stranger / f"{MODULE}.py").write_text("1 / 0")
    path = edited(stranger, functools.partial(put, keys=("config", "model", "custom_model"), value=CODE))
    with pytest.raises(CheckpointError, match=r"custom_model`: .*cannot be imported: ZeroDivisionError"):
        Algorithm.load(path, trust=True)


def test_a_trusted_class_that_is_no_algorithm_is_refused(stranger: Path) -> None:
    path = edited(stranger, functools.partial(put, keys=("algorithm",), value=f"{MODULE}:Env"))
    with pytest.raises(CheckpointError, match=r"`algorithm` is .*:Env', which is no Algorithm"):
        Algorithm.load(path, trust=True)


# --------------------------------------------------------------------------------------- what needs no trust


class Own(PPO):
    """An algorithm with an importable name."""


class Plain(FullyConnectedNetwork):
    made: ClassVar[list[Any]] = []

    def __init__(self, *args: Any, tag: Any = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        Plain.made.append(tag)


def test_what_the_caller_hands_over_needs_no_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PPO(Countdown, SMALL, model={"custom_model": Plain, "custom_model_config": {"tag": len}}).save(tmp_path)
    monkeypatch.setattr(trust, "_built_with", set())
    with pytest.raises(CheckpointError, match=r"custom_model: .*:Plain"):
        Algorithm.load(tmp_path, env=Countdown)
    with pytest.raises(CheckpointError, match=r"env: .*:Countdown"):
        Algorithm.load(tmp_path, config={"model": {"custom_model": Plain, "custom_model_config": {"tag": 1}}})
    given = {"model": {"custom_model": Plain, "custom_model_config": {"tag": len}}}
    assert Algorithm.load(tmp_path, env=Countdown, config=given).train()["training_iteration"] == 1
    monkeypatch.setattr(trust, "_built_with", set())
    assert Policy.load(tmp_path, config=given).compute_single_action(1) in (0, 1)


def test_what_this_process_has_built_with_needs_no_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Own(Countdown, SMALL, model={"custom_model": Plain}).save(tmp_path)
    loaded = Algorithm.load(tmp_path)
    assert type(loaded) is Own
    assert type(PPO.load(tmp_path)) is Own
    assert loaded.train()["training_iteration"] == 1
    monkeypatch.setattr(trust, "_built_with", set())
    with pytest.raises(CheckpointError, match=r"algorithm: .*:Own\n"):
        Algorithm.load(tmp_path)


def test_to_be_imported_is_not_enough(stranger: Path) -> None:
    for name in ("subprocess:Popen", "collections:OrderedDict", "tests.support.tasks:Endless", "gymnasium:make"):
        with pytest.raises(CheckpointError, match=f"env: {name}\n"):
            Algorithm.load(edited(stranger, functools.partial(put, keys=("env",), value=name)))


def test_the_class_that_is_asked_needs_no_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Own("CartPole-v1", SMALL).save(tmp_path)
    monkeypatch.setattr(trust, "_built_with", set())
    assert type(Own.load(tmp_path)) is Own


def test_what_is_registered_needs_no_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Local(FullyConnectedNetwork):
        pass

    class Cooled(Categorical):
        pass

    register_env("cooled", Countdown)
    ModelCatalog.register_custom_model("a.dotted:name", Local)
    ModelCatalog.register_custom_action_dist("cooled", Cooled)
    model = {"custom_model": "a.dotted:name", "custom_action_dist": "cooled"}
    PPO("cooled", SMALL, model={**SMALL["model"], **model}).save(tmp_path)
    monkeypatch.setattr(trust, "_built_with", set())
    assert Algorithm.load(tmp_path).train()["training_iteration"] == 1


BUILT_IN: dict[str, dict[str, Any]] = {
    "the library's model": {"custom_model": FullyConnectedNetwork},
    "the library's distribution": {"custom_action_dist": Categorical},
    "a distribution of RLlib's old stack": {"custom_action_dist": TorchCategorical},
    "a built-in distribution by name": {"custom_action_dist": "Beta"},
    "an activation of the framework": {"fcnet_activation": __import__("torch").nn.ReLU},
    "an initialiser of the framework": {"fcnet_weights_initializer": __import__("torch").nn.init.orthogonal_},
}


@pytest.mark.parametrize("kind", BUILT_IN)
def test_what_the_library_brings_needs_no_trust(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = "Pendulum-v1" if "Beta" in BUILT_IN[kind].values() else "CartPole-v1"
    algorithm = PPO(env, SMALL, model={**SMALL["model"], **BUILT_IN[kind]})
    algorithm.save(tmp_path)
    monkeypatch.setattr(trust, "_built_with", set())
    loaded = Algorithm.load(tmp_path)
    assert loaded.config == algorithm.config
    assert not needs_trust(algorithm.description(), PPOConfig)


def test_a_class_is_found_by_the_name_that_an_earlier_checkpoint_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = PPO("CartPole-v1", SMALL, model={**SMALL["model"], "custom_action_dist": TorchCategorical})
    algorithm.save(tmp_path / "run")
    monkeypatch.setattr(trust, "_built_with", set())
    value = {"import": "anyspace.models.torch.compat_choices:TorchCategorical"}
    keys = ("config", "model", "custom_action_dist")
    run = edited(tmp_path, functools.partial(put, keys=keys, value=value))
    assert Algorithm.load(run).config == algorithm.config


@pytest.mark.parametrize(
    "name",
    [
        "anyspace.importing:import_name",
        "anyspace.models.catalog:import_path",
        "anyspace.cli:main",
        "anyspace.__main__:main",
        "anyspace.data.environments:register_env",
        "torch.nn.init:warnings",
        "torch.nn.modules.activation:torch",
        "torch.nn.modules.activation:no_such",
        "torch.hub:load",
    ],
)
def test_other_names_of_these_packages_are_code_like_any_other(stranger: Path, name: str) -> None:
    value = {"import": name}
    for keys in (("model", "custom_model"), ("model", "fcnet_activation"), ("env_config",)):
        path = edited(stranger, functools.partial(put, keys=("config", *keys), value={"a": value}))
        with pytest.raises(CheckpointError, match=name):
            Algorithm.load(path)


def test_an_environment_of_the_library_s_models_is_code(stranger: Path) -> None:
    name = "anyspace.models.torch.fcnet:FullyConnectedNetwork"
    with pytest.raises(CheckpointError, match=f"env: {name}"):
        Algorithm.load(edited(stranger, functools.partial(put, keys=("env",), value=name)))


# ---------------------------------------------------------------------------------------- names of environments


def test_who_stands_behind_the_name_of_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "_creators", {"mine": Countdown, "os:system": Countdown})
    wrapper = gym.envs.registration.WrapperSpec("W", "some_package.wrappers:W", None)
    for name, entry_point, more in (
        ("Plugin-v0", "some_package.envs:Env", {}),
        ("Plugin-v3", "some_package.envs:Env", {}),
        ("Disguised-v0", "gymnasium_of_a_stranger:Env", {}),
        ("Vector-v0", "gymnasium.envs.classic_control:CartPoleEnv", {"vector_entry_point": "some_package:Envs"}),
        ("Wrapped-v0", "gymnasium.envs.classic_control:CartPoleEnv", {"additional_wrappers": (wrapper,)}),
        ("Callers-v0", Countdown, {}),
    ):
        spec = gym.envs.registration.EnvSpec(name, entry_point=entry_point, **more)
        monkeypatch.setitem(gym.registry, name, spec)
        assert origin_of(name) == "other", name
    assert origin_of("Plugin") == "other"
    for name, origin in (
        ("mine", "registered"),
        ("os:system", "registered"),
        ("CartPole-v1", "gymnasium"),
        ("CartPole", "gymnasium"),
        ("ALE/Pong-v5", "gymnasium"),
        ("gymnasium:CartPole-v1", "code"),
        ("os:getcwd", "code"),
        ("a:b:c", "code"),
        (":", "code"),
        ("nobodys", "unknown"),
        ("", "unknown"),
    ):
        assert origin_of(name) == origin, name


def test_the_arguments_of_an_environment_of_somebody_else_may_name_code(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the wrappers of old environments do, which make the environment that an argument names."""
    made: list[Any] = []

    def old(env_id: str) -> gym.Env[Any, Any]:
        made.append(env_id)
        return gym.make("CartPole-v1")

    monkeypatch.setitem(gym.registry, "Old-v0", gym.envs.registration.EnvSpec("Old-v0", entry_point=old))

    def edit(env_id: str) -> Callable[[dict[str, Any]], None]:
        return lambda state: state.update(env="Old-v0", config=state["config"] | {"env_config": {"env_id": env_id}})

    with pytest.raises(CheckpointError, match=rf'env_config\["env_id"\]: {MODULE}:Stranger-v0\n'):
        Algorithm.load(edited(stranger, edit(f"{MODULE}:Stranger-v0")))
    assert not made
    Algorithm.load(edited(stranger, edit("Stranger-v0"))).train()
    assert "Stranger-v0" in made
    require_untouched(stranger)


def test_the_environment_of_a_policy_does_not_matter(stranger: Path) -> None:
    edited(stranger, everything)
    path = edited(stranger, functools.partial(put, keys=("algorithm",), value="PPO"))
    with pytest.raises(CheckpointError) as caught:
        Policy.load(path)
    assert "env" not in str(caught.value).replace(str(path), "")
    given = {"model": {"custom_model": None, "custom_action_dist": None, "custom_model_config": {}}}
    assert Policy.load(path, config=given).compute_single_action([0.0, 0, 0, 0]) in (0, 1)
    require_untouched(stranger)


def test_weights_are_numbers_and_need_no_trust(stranger: Path) -> None:
    path = edited(stranger, everything)
    algorithm = PPO("CartPole-v1", {**SMALL, "seed": 5})
    algorithm.load_weights(path)
    require_untouched(stranger)


# --------------------------------------------------------------------------------------------- the resume line


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({}, False),
        ({"env": Countdown}, True),
        ({"env": "tests.support.tasks:Countdown"}, True),
        ({"wrappers": ["gymnasium.wrappers:FlattenObservation"]}, True),
        ({"model": {"custom_model": Plain}}, True),
        ({"model": {"custom_model": f"{__name__}.Plain"}}, True),
        ({"model": {"fcnet_activation": "relu", "custom_action_dist": Categorical}}, False),
        ({"env": lambda: Endless()}, False),
        ({"output": "recorded"}, True),
    ],
)
def test_which_runs_another_process_has_to_trust(settings: dict[str, Any], needed: bool) -> None:
    algorithm = PPO(settings.get("env", "CartPole-v1"), SMALL, **{k: v for k, v in settings.items() if k != "env"})
    assert needs_trust(algorithm.description(), PPOConfig) is needed
    assert needs_trust(Own("CartPole-v1", SMALL).description(), PPOConfig)


def test_an_error_of_trust_is_one_of_ours(stranger: Path) -> None:
    with pytest.raises(AnyspaceError):
        Algorithm.load(edited(stranger, everything))
