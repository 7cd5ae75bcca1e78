"""Readers and writers of recorded steps under their old names, and a model that imitates what was recorded."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from anyspace import PPO
from anyspace.data.offline import write_spaces
from anyspace.errors import ConfigError, ObservationError
from anyspace.rllib.offline import (
    D4RLReader,
    InputReader,
    IOContext,
    JsonReader,
    JsonWriter,
    MixedInput,
    NoopOutput,
    ShuffledInput,
)
from anyspace.rllib.offline.json_reader import from_json_data
from anyspace.rllib.policy.sample_batch import SampleBatch
from tests.data.offline.test_trajectories import drawn, recorded
from tests.rllib_files.custom_losses import TorchImitatingModel


def batch(first: int = 0, rows: int = 3) -> SampleBatch:
    numbers = np.arange(first, first + rows)
    return SampleBatch({"obs": np.stack([numbers, -numbers], 1) / 2, "actions": numbers % 2, "rewards": numbers * 1.0})


@pytest.mark.spec(148)
def test_batches_are_written_and_read(tmp_path):
    writer = JsonWriter(str(tmp_path))
    writer.write(batch())
    reader = JsonReader(str(tmp_path))
    for _ in range(3):
        found = reader.next()
        assert isinstance(found, SampleBatch)
        assert found.count == 3
        for name, column in batch().items():
            np.testing.assert_array_equal(found[name], column)
    many = JsonReader(str(tmp_path), IOContext(config={"train_batch_size": 8, "num_workers": 2}))
    assert many.next().count == 6
    with pytest.raises(ValueError, match="no file matches"):
        JsonReader(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([{"actions": [0], "seq_lens": ["x"]}], r"a\.json, line 1: no batch can be made of the columns"),
        ([{"actions": [0]}, {"rewards": [0.0]}], r"from .*a\.json, line 1 to .*a\.json, line 2: .*different columns"),
        ([{"obs": [[1.0, 2.0]]}, {"obs": [[1.0]]}], r"from .*a\.json, line 1 to .*a\.json, line 2: no batch"),
    ],
)
def test_lines_that_are_no_batch_are_named(tmp_path, lines, text):
    written = [json.dumps({"type": "SampleBatch", **line}) + "\n" for line in lines]
    (tmp_path / "a.json").write_text("".join(written))
    with pytest.raises(ConfigError, match=text):
        JsonReader(str(tmp_path), IOContext(config={"train_batch_size": 2})).next()


def test_an_observation_that_its_space_does_not_allow_is_named(tmp_path):
    write_spaces(tmp_path, Box(-1, 1, (2,)), Discrete(2))
    (tmp_path / "a.json").write_text('{"type": "SampleBatch", "obs": [[0.5, 0.5, 0.5]], "actions": [0]}\n')
    with pytest.raises(ObservationError, match=r"a\.json, line 1: obs: expected shape .*`spaces.json`"):
        JsonReader(tmp_path).next()


def test_a_context_names_the_folder_and_the_process(tmp_path):
    JsonWriter(ioctx=IOContext(str(tmp_path), worker_index=4)).write(batch())
    (file,) = tmp_path.iterdir()
    assert "_worker-4_0.json" in file.name
    found = from_json_data(json.loads(file.read_text()))
    assert found.count == 3
    NoopOutput().write(batch())


def test_readers_are_mixed_and_shuffled(tmp_path):
    for name, first in (("a", 0), ("b", 100)):
        JsonWriter(str(tmp_path / name)).write(batch(first))
    mixed = MixedInput({str(tmp_path / "a"): 0.5, str(tmp_path / "b"): 0.5})
    assert {int(mixed.next()["rewards"][0]) for _ in range(40)} == {0, 100}
    with pytest.raises(ValueError, match="sum to 1"):
        MixedInput({str(tmp_path / "a"): 0.5})
    writer = JsonWriter(str(tmp_path / "c"))
    for first in range(6):
        writer.write(batch(first, 1))
    shuffled = ShuffledInput(JsonReader(str(tmp_path / "c")), 4)
    order = [int(shuffled.next()["rewards"][0]) for _ in range(12)]
    assert order != [*range(6)] * 2
    assert set(order) <= set(range(6))


def test_readers_read_alike_in_every_run(tmp_path):
    for first in range(6):
        JsonWriter(str(tmp_path)).write(batch(first, 1))

    def order(reader):
        return [int(reader.next()["rewards"][0]) for _ in range(24)]

    for build in (
        lambda **seed: JsonReader(str(tmp_path), **seed),
        lambda **seed: MixedInput({str(tmp_path): 1.0}, **seed),
        lambda **seed: ShuffledInput(JsonReader(str(tmp_path)), 4, **seed),
    ):
        assert order(build()) == order(build()) != order(build(seed=1))
        with pytest.raises(ConfigError, match="the seed of a reader is -1, but a seed is a whole number of at least 0"):
            build(seed=-1)


def test_what_is_not_offered_says_so():
    with pytest.raises(NotImplementedError, match=r"D4RLReader: recorded steps are read from JSON .* and from Minari"):
        D4RLReader("d4rl.hopper")
    with pytest.raises(NotImplementedError, match=r"InputReader has no next"):
        InputReader().tf_input_ops()


def test_observations_are_preprocessed_where_their_spaces_are_known(tmp_path):
    space = Dict(a=Discrete(3, start=4), b=Box(-1, 1, (2,)))
    algorithm, trajectory = recorded(drawn(space), tmp_path)
    found = JsonReader(str(tmp_path)).next()
    leaves = [leaf[: len(found["obs"])] for leaf in trajectory.all_obs()]
    np.testing.assert_array_equal(found["obs"], algorithm.policy.preprocessor.flatten(leaves))
    assert found["new_obs"].shape == found["obs"].shape
    (tmp_path / "index").mkdir()
    write_spaces(tmp_path / "index", Discrete(3), Discrete(2))
    JsonWriter(str(tmp_path / "index")).write({"obs": np.array([0, 2]), "actions": np.array([0, 1])})
    np.testing.assert_array_equal(JsonReader(str(tmp_path / "index")).next()["obs"], [[1, 0, 0], [0, 0, 1]])


class FromFiles(TorchImitatingModel):
    """Imitates the steps of files, as the model of RLlib's example does."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, input_files):
        super().__init__(obs_space, action_space, num_outputs, model_config, name, JsonReader(input_files))


@pytest.mark.spec(147)
def test_imitating_recorded_steps_drives_accuracy_on_them_up(tmp_path):
    rng = np.random.default_rng(0)
    obs = rng.uniform(-0.2, 0.2, (256, 4)).astype(np.float32)
    actions = (obs[:, 2] + 0.5 * obs[:, 3] > 0).astype(np.int64)
    writer = JsonWriter(str(tmp_path))
    for rows in np.split(np.arange(256), 4):
        writer.write(SampleBatch({"obs": obs[rows], "actions": actions[rows]}))
    model = {"custom_model": FromFiles, "custom_model_config": {"input_files": str(tmp_path)}, "fcnet_hiddens": [32]}
    settings = {"train_batch_size": 128, "minibatch_size": 32, "num_epochs": 1, "lr": 1e-2, "seed": 0}
    with closing(PPO("CartPole-v1", preset="none", model=model, **settings)) as algorithm:

        def accuracy() -> float:
            return float((algorithm.compute_actions(obs) == actions).mean())

        assert 0.2 < accuracy() < 0.8
        losses = [algorithm.train()["learner"]["model"]["imitation_loss"] for _ in range(10)]
        assert losses[-1] < 0.7 * losses[0]
        assert accuracy() > 0.95
        algorithm.save(tmp_path / "saved")
    assert Path(tmp_path / "saved").is_dir()


def test_a_context_has_its_input_s_configuration(tmp_path):
    context = IOContext(config={"input_config": {"paths": ["a"]}})
    assert context.input_config == {"paths": ["a"]}
    assert IOContext().input_config == {}
    JsonWriter(str(tmp_path)).write(batch())
    with pytest.raises(AttributeError, match=r"no attribute 'read_all_files'\. next\(\) reads without end"):
        _ = JsonReader(str(tmp_path)).read_all_files
