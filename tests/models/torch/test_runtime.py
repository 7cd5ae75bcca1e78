import re
from typing import NamedTuple

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from torch import nn

from anyspace.errors import CheckpointError, ConfigError, ModelError
from anyspace.models import MODEL_DEFAULTS, FullyConnectedNetwork, ModelCatalog, TorchModelV2
from anyspace.models.host import HostRuntime
from anyspace.models.runtime import Layer
from anyspace.models.torch import runtime as module
from anyspace.models.torch.runtime import TorchRuntime


def network(width=4, hidden=3):
    config = {**MODEL_DEFAULTS, "fcnet_hiddens": [hidden]}
    return FullyConnectedNetwork(Box(-1, 1, (width,)), Discrete(2), 2, config, "net")


class Normed(TorchModelV2):
    def __init__(self):
        super().__init__(Box(-1, 1, (4,)), Discrete(4), 4, MODEL_DEFAULTS, "normed")
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout()


@pytest.fixture
def runtime():
    return TorchRuntime("cpu")


def test_arrays_are_shared_both_ways(runtime):
    array = np.zeros(3, np.float32)
    tensor = runtime.asarray(array)
    array[0] = 5
    assert tensor.tolist() == [5, 0, 0]
    back = runtime.numpy(tensor.requires_grad_())
    assert np.shares_memory(back, array)


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.int8, np.uint8, np.uint16, np.int64, np.bool_]
)
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: x[::-1],
        lambda x: x[:, ::2],
        lambda x: np.broadcast_to(x[0], x.shape),
        lambda x: x[0, 0, None],
    ],
    ids=["plain", "backwards", "strided", "read-only", "one"],
)
def test_any_array_becomes_a_tensor(runtime, dtype, change):
    array = change(np.arange(6).reshape(2, 3).astype(dtype))
    tensor = runtime.asarray(array)
    np.testing.assert_array_equal(tensor.numpy(), array)
    assert tensor.numpy().dtype == dtype


def test_a_read_only_array_is_not_written_through(runtime):
    array = np.zeros(3, np.float32)
    array.flags.writeable = False
    runtime.asarray(array).add_(1)
    assert not array.any()


def test_a_layer_that_was_given_a_train_of_its_own_decides(runtime):
    model = Normed()
    model.norm.train = lambda mode=True: model.norm
    runtime.set_training(model.eval(), True)
    assert (model.norm.training, model.drop.training) == (True, True)
    runtime.set_training(model, False)
    assert (model.norm.training, model.drop.training) == (True, False)


def test_lazy_layers_are_refused(runtime):
    class Lazy(Normed):
        def __init__(self, layer):
            super().__init__()
            self.late = layer

    for layer, name in ((nn.LazyLinear(2), "weight"), (nn.LazyBatchNorm1d(affine=False), "running_mean")):
        with pytest.raises(ModelError, match=rf"Lazy: `late\.{name}` is of a lazy layer, .* \(in_features"):
            runtime.place(Lazy(layer))


def test_gradients_are_recorded_outside_the_contexts_alone(runtime):
    weight = torch.ones(2, requires_grad=True)
    with runtime.acting():
        acted = weight * 2
    with runtime.no_grad():
        scored = weight * 2
    assert (acted.is_inference(), acted.requires_grad, scored.is_inference(), scored.requires_grad) == (
        True,
        False,
        False,
        False,
    )
    (weight * scored).sum().backward()
    assert weight.grad.tolist() == [2, 2]


def test_initial_weights_depend_on_the_seed_alone(runtime):
    def built(seed):
        with runtime.initialising(seed):
            return network().logits.weight

    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = built(5)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(built(5), first)
    assert not torch.equal(built(6), first)


@pytest.mark.parametrize("source", ["acting", "learning", "evaluation"])
def test_random_sources_restart_and_are_restored(runtime, source):
    runtime.place(network())
    runtime.seed(3)
    first = torch.rand(4, generator=runtime.rng(source))
    state = runtime.rng_state()
    second = torch.rand(4, generator=runtime.rng(source))
    assert state[source].dtype == np.uint8
    runtime.set_rng_state(state)
    assert torch.equal(torch.rand(4, generator=runtime.rng(source)), second)
    runtime.seed(3)
    assert torch.equal(torch.rand(4, generator=runtime.rng(source)), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("first", [0, 123])
def test_a_state_is_restored_whatever_byte_it_begins_with(runtime, first):
    state = torch.Generator().manual_seed(first).get_state().numpy()
    assert state[0] == first
    runtime.set_rng_state({"acting": state})
    assert np.array_equal(runtime.rng_state()["acting"], state)


def test_what_another_framework_saved_is_left_alone(runtime):
    before = runtime.rng_state()["acting"]
    runtime.set_rng_state(HostRuntime().rng_state())
    assert np.array_equal(runtime.rng_state()["acting"], before)
    host = HostRuntime()
    state = host.rng_state()
    host.set_rng_state({"acting": torch.Generator().manual_seed(123).get_state().numpy()})
    assert all(np.array_equal(host.rng_state()[name], state[name]) for name in state)


def test_random_sources_are_independent(runtime):
    runtime.place(network())
    runtime.seed(3)
    first = {source: torch.rand(4, generator=runtime.rng(source)) for source in ("acting", "learning", "evaluation")}
    assert len({tuple(drawn.tolist()) for drawn in first.values()}) == 3
    runtime.seed(3)
    torch.rand(100, generator=runtime.rng("acting"))
    runtime.permutation(10)
    assert torch.equal(torch.rand(4, generator=runtime.rng("evaluation")), first["evaluation"])


def test_the_global_source_is_borrowed_once(runtime):
    runtime.place(network())
    runtime.seed(0)
    before = torch.get_rng_state()
    with runtime.own_randomness("learning"):
        first = torch.rand(3)
        with runtime.own_randomness("learning"):
            second = torch.rand(3)
        with runtime.own_randomness("evaluation"):
            torch.rand(3)
        third = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    runtime.seed(0)
    with runtime.own_randomness("learning"):
        assert torch.equal(torch.rand(9), torch.cat([first, second, third]))


def test_permutations_come_from_the_random_source(runtime):
    runtime.seed(0)
    first = runtime.permutation(50)
    assert (first.dtype, sorted(first.tolist())) == (torch.int64, list(range(50)))
    assert not torch.equal(runtime.permutation(50), first)
    runtime.seed(0)
    torch.manual_seed(99)
    assert torch.equal(runtime.permutation(50), first)


def test_modes_reach_every_layer(runtime):
    model = Normed()
    for training in (False, True):
        runtime.set_training(model, training)
        assert (model.training, model.norm.training, model.drop.training) == (training,) * 3


def test_parameters_are_copies_with_buffers(runtime):
    model = Normed()
    values = runtime.parameters(model)
    assert sorted(values) == [
        "norm.bias",
        "norm.num_batches_tracked",
        "norm.running_mean",
        "norm.running_var",
        "norm.weight",
    ]
    values["norm.weight"][:] = 7
    assert model.norm.weight.tolist() == [1] * 4
    values["norm.num_batches_tracked"] = np.array(12)
    runtime.load_parameters(model, values)
    assert (model.norm.weight.tolist(), int(model.norm.num_batches_tracked)) == ([7] * 4, 12)
    values["norm.weight"][:] = 9
    assert model.norm.weight.tolist() == [7] * 4


def test_parameters_of_another_model_are_refused(runtime):
    model = network()
    before = runtime.parameters(model)
    with pytest.raises(
        CheckpointError, match=re.escape("(1 of 6 tensors differ): encoder.0.weight: the model has (3, 4)")
    ):
        runtime.load_parameters(model, {**before, "encoder.0.weight": np.zeros((3, 5), np.float32)})
    with pytest.raises(CheckpointError, match=r"logits.bias: the model has \(2,\), the weights have none.* Some alone"):
        runtime.load_parameters(model, {name: value for name, value in before.items() if name != "logits.bias"})
    with pytest.raises(CheckpointError, match=r"more: the model has none, the weights have.* were trained with\.$"):
        runtime.load_parameters(model, {**before, "more": np.zeros(1)})
    with pytest.raises(CheckpointError, match=re.escape("(8 of 9 tensors differ)")):
        runtime.load_parameters(model, {"logits.bias": before["logits.bias"], **{n: np.zeros(1) for n in "abc"}})
    for name, value in runtime.parameters(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_layers_for_people(runtime):
    assert runtime.layers(network()) == [
        Layer("encoder.0", "Linear", "weight (3, 4), bias (3,)", 15),
        Layer("logits", "Linear", "weight (2, 3), bias (2,)", 8),
        Layer("value_head", "Linear", "weight (1, 3), bias (1,)", 4),
    ]
    free = FullyConnectedNetwork(Box(-1, 1, (1,)), Discrete(2), 2, {"fcnet_hiddens": [], "free_log_std": True})
    assert runtime.layers(free)[0] == Layer("(model)", "FullyConnectedNetwork", "log_std (1,)", 1)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_missing_device_is_refused(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"config key `device` is '{device}', but PyTorch finds no such device"):
        TorchRuntime(device)


def test_small_models_stay_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    runtime = TorchRuntime()
    runtime.place(network())
    assert runtime.device == "cpu"
    # PyTorch's own stand-in for a device without data takes the accelerator's part.
    monkeypatch.setattr(module, "SMALL_MODEL", 1)
    moved = []
    monkeypatch.setattr(nn.Module, "to", lambda self, device: moved.append(device))

    class Generator(NamedTuple):
        device: str = "cpu"

        def manual_seed(self, seed):
            pass

    monkeypatch.setattr(torch, "Generator", Generator)
    runtime = TorchRuntime()
    runtime.place(network())
    runtime.seed(0)
    assert (runtime.device, moved, runtime.rng("acting").device) == ("cuda", ["cuda"], "cuda")


def test_little_work_keeps_to_one_thread():
    runtime = TorchRuntime("cpu")
    model = FullyConnectedNetwork(Box(-1, 1, (64,)), Discrete(64), 64, {"fcnet_hiddens": [512, 512]})
    runtime.place(model)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with runtime.threads_for(8):
            assert torch.get_num_threads() == 1
            with runtime.threads_for(4096):
                assert torch.get_num_threads() == 1  # never more than what is around it allows
        assert torch.get_num_threads() == 2
        with runtime.threads_for(4096):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("max_seq_len", "threads"), [(20, 1), (1, 2)])
def test_recurrent_layers_count_by_the_sequences_that_they_see_at_once(max_seq_len: int, threads: int):
    runtime = TorchRuntime("cpu")
    config = {"fcnet_hiddens": [], "use_lstm": True, "lstm_cell_size": 512, "max_seq_len": max_seq_len}
    space, actions = Box(-1, 1, (64,)), Discrete(4)
    runtime.place(ModelCatalog.get_model_v2(space, actions, 4, config))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with runtime.threads_for(256):
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
