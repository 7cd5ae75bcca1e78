"""GTrXL: what it makes of an episode, however it is cut, against the formulas written out in NumPy."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

import tests.support.gtrxl_reference as reference
from anyspace.errors import ModelError
from anyspace.models.gtrxl import GTrXLSizes
from anyspace.models.torch.gtrxl import GTrXL
from tests.support.torch_nets import draw, shuffled

SIZES = GTrXLSizes(
    num_transformer_units=2, attention_dim=6, num_heads=2, memory_inference=3, memory_training=3, head_dim=3
)


class Recorder:
    """Keeps what the network said of one episode, and shows it as the model's views ask for it."""

    def __init__(self, model):
        self.initial = model.initial_state() if isinstance(model, GTrXL) else model.get_initial_state()
        views = model.sizes.view_requirements() if isinstance(model, GTrXL) else model.view_requirements
        self.views = [views[f"state_in_{i}"] for i in range(len(self.initial))]
        self.steps = []

    def record(self, state_out, rows):
        self.steps += [[state[row] for state in state_out] for row in rows]

    def state(self, start):
        """Return the state for a sequence that begins at a step, with S = 1."""
        found = []
        for i, view in enumerate(self.views):
            assert view.data_col == f"state_out_{i}"
            rows = [start + offset for offset in view.offsets]
            seen = torch.stack([self.steps[row][i] if row >= 0 else self.initial[i] for row in rows])
            found.append(seen[None] if len(rows) > 1 else seen)
        return found


def step_by_step(network, features):
    """Return what acting gives, one step at a time, and the record of it."""
    recorder, out = Recorder(network), []
    for t in range(len(features)):
        row, state_out = network(features[t : t + 1], recorder.state(t))
        recorder.record(state_out, [0])
        out.append(row)
    return torch.cat(out), recorder


def in_chunks(network, features, recorder, borders, *, training, time_major=False, told=True):
    """Return what one pass over padded chunks of an episode gives, the padding filled with noise.

    ``told``: the network is told where the padding is.
    """
    chunks = [features[a:b] for a, b in zip([0, *borders], [*borders, len(features)], strict=True)]
    lens = [len(chunk) for chunk in chunks]
    padded = 9 * draw(len(chunks), max(lens), features.shape[1], seed=3)
    for row, chunk in zip(padded, chunks, strict=True):
        row[: len(chunk)] = chunk
    states = [recorder.state(start) for start in (0, *borders)]
    state = [torch.cat(parts) for parts in zip(*states, strict=True)]
    flat = padded.reshape(-1, features.shape[1])
    seq_lens = torch.tensor(lens, dtype=torch.int32) if told else None
    out, state_out = network(flat, state, seq_lens, training=training, time_major=time_major)

    def take_out(rows):
        shape = (max(lens), len(chunks), -1) if time_major else (len(chunks), max(lens), -1)
        rows = rows.reshape(shape).transpose(0, 1) if time_major else rows.reshape(shape)
        return torch.cat([row[:n] for row, n in zip(rows, lens, strict=True)])

    return take_out(out), [take_out(column) for column in state_out]


# ------------------------------------------------------------------------------------ memory and reach


@pytest.mark.spec(108, 109)
@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("dim", [6, 7])
@pytest.mark.parametrize(("inference", "training"), [(1, 1), (3, 3), (20, 20), (3, 0), (2, 5), (0, 3)])
def test_steps_are_what_the_formulas_make_of_the_episode(blocks, dim, inference, training):
    sizes = dataclasses.replace(
        SIZES, num_transformer_units=blocks, attention_dim=dim, memory_inference=inference, memory_training=training
    )
    network, features = shuffled(GTrXL(5, sizes)), draw(9, 5)
    weights = {name: value.detach().double().numpy() for name, value in network.named_parameters()}
    expected, inputs = reference.episode(weights, features.double().numpy(), 2, blocks, inference)
    out, recorder = step_by_step(network, features)
    np.testing.assert_allclose(out.detach(), expected, atol=1e-5)
    for t, state in enumerate(recorder.steps):
        for block in range(blocks):
            np.testing.assert_allclose(state[block].detach(), inputs[block][t], atol=1e-5)
        assert state[blocks].tolist() == [t + 1]


@pytest.mark.spec(109)
@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("borders", [[], [4], [1, 2, 9], [3, 6, 9], list(range(1, 11))])
@pytest.mark.parametrize("memory", [1, 3, 4, 30])
@pytest.mark.parametrize("blocks", [1, 2])
def test_steps_equal_one_pass_wherever_it_is_cut(blocks, memory, borders, time_major):
    sizes = dataclasses.replace(SIZES, num_transformer_units=blocks, memory_inference=memory, memory_training=memory)
    network, features = shuffled(GTrXL(5, sizes)), draw(11, 5)
    stepped, recorder = step_by_step(network, features)
    for training, told in itertools.product((False, True), repeat=2):
        out, states = in_chunks(
            network, features, recorder, borders, training=training, time_major=time_major, told=told
        )
        torch.testing.assert_close(out, stepped, atol=1e-5, rtol=0)
        for i, column in enumerate(states):
            recorded = torch.stack([step[i] for step in recorder.steps])
            torch.testing.assert_close(column, recorded, atol=1e-5, rtol=0)


@pytest.mark.spec(80)
@pytest.mark.parametrize(("inference", "training"), [(3, 1), (3, 0), (1, 4), (0, 2)])
def test_training_remembers_as_far_back_as_its_own_key_says(inference, training):
    sizes = dataclasses.replace(SIZES, num_transformer_units=1, memory_inference=inference, memory_training=training)
    network, features = shuffled(GTrXL(5, sizes)), draw(9, 5)
    weights = {name: value.detach().double().numpy() for name, value in network.named_parameters()}
    _, recorder = step_by_step(network, features)
    for mode, reach in ((False, inference), (True, training)):
        expected, _ = reference.episode(weights, features.double().numpy(), 2, 1, reach)
        for borders in ([], [2, 5, 6]):
            out, _ = in_chunks(network, features, recorder, borders, training=mode)
            np.testing.assert_allclose(out.detach(), expected, atol=1e-5)


@pytest.mark.spec(113)
@pytest.mark.parametrize("steps", [1, 4])
def test_memory_from_before_the_episode_has_no_weight(steps, monkeypatch):
    network = shuffled(GTrXL(5, SIZES))
    features = draw(3 * steps, 5)
    counter = torch.tensor([[0.0], [2.0], [100.0]])
    memory = [draw(3, 3, 6, seed=1), draw(3, 3, 6, seed=2)]
    seen = []
    softmax = torch.Tensor.softmax
    monkeypatch.setattr(torch.Tensor, "softmax", lambda x, dim: seen.append(softmax(x, dim)) or seen[-1])
    out, _ = network(features, [*memory, counter])
    assert len(seen) == 2
    for weights in seen:
        there = (weights[..., :3] > 0).any(dim=2).any(dim=1)
        assert there.tolist() == [[False, False, False], [False, True, True], [True, True, True]]
    for block in memory:
        block[0], block[1, 0] = 5, -7
    torch.testing.assert_close(network(features, [*memory, counter])[0], out, rtol=0, atol=0)
    memory[0][1, 1] = 5
    assert (network(features, [*memory, counter])[0] != out).any()


@pytest.mark.spec(109)
@pytest.mark.parametrize("seq_lens", [None, torch.tensor([2, 4])])
def test_memory_gets_no_gradient_and_padding_none_either(seq_lens):
    network = shuffled(GTrXL(5, SIZES))
    memory = [draw(2, 3, 6).requires_grad_() for _ in range(2)]
    features = draw(8, 5).requires_grad_()
    out, _ = network(features, [*memory, torch.full((2, 1), 3.0)], seq_lens, training=True)
    out.view(2, 4, 6)[[0, 1], [1, 3]].sum().backward()
    assert all(block.grad is None for block in memory)
    assert (features.grad.abs().sum(dim=1) > 0).tolist() == [True, True, False, False, True, True, True, True]


def test_a_memory_of_another_shape_is_named():
    network = shuffled(GTrXL(5, SIZES))
    with pytest.raises(ModelError, match=r"the memory of a block is \[S, 3, 6\].* shapes \[\(2, 6\), \(2, 6\)\] came"):
        network(draw(2, 5), [draw(2, 6), draw(2, 6), torch.zeros(2, 1)])


@pytest.mark.spec(79)
def test_sizes_change_the_shapes_they_say():
    def shapes(**changed):
        network = GTrXL(5, dataclasses.replace(SIZES, **changed))
        named = {name: tuple(value.shape) for name, value in network.named_parameters()}
        kept = [tuple(state.shape) for state in network.initial_state()]
        return named, kept, network.sizes.view_requirements()["state_in_0"].lookback

    named, kept, lookback = shapes()
    assert (kept, lookback) == ([(6,), (6,), (1,)], 3)
    assert named["embedding.weight"] == (6, 5)
    assert named["blocks.0.attention.query_key_value.weight"] == (18, 6)
    assert named["blocks.1.attention.content_bias"] == (2, 3)
    assert named["blocks.0.mlp.1.weight"] == (32, 6)
    assert shapes(num_transformer_units=3)[1] == [(6,)] * 3 + [(1,)]
    assert shapes(attention_dim=9)[0]["embedding.weight"] == (9, 5)
    assert shapes(attention_dim=9)[1] == [(9,), (9,), (1,)]
    assert shapes(num_heads=5)[0]["blocks.0.attention.content_bias"] == (5, 3)
    assert shapes(head_dim=4)[0]["blocks.0.attention.output.weight"] == (6, 8)
    assert shapes(position_wise_mlp_dim=7)[0]["blocks.0.mlp.3.weight"] == (6, 7)
    assert [shapes(memory_inference=9)[2], shapes(memory_training=8)[2]] == [9, 8]
    biased = GTrXL(5, dataclasses.replace(SIZES, init_gru_gate_bias=-1.5))
    assert {
        value for name, value in biased.named_parameters() if name.endswith("gate.bias") for value in value.tolist()
    } == {-1.5}
