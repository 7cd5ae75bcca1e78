"""Lists, texts and graphs: what lies beyond a length, orders, pooling beside plain NumPy."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, Text
from torch import nn

from anyspace import tree
from anyspace.models import MODEL_DEFAULTS
from anyspace.models.components import encoder_of
from anyspace.models.sets import pooled
from anyspace.models.torch.complex_input import module_of
from anyspace.models.torch.set_encoder import GraphEncoder, SetEncoder
from anyspace.spaces import BoundedGraph, BoundedSequence, Repeated, get_preprocessor
from anyspace.spaces.leaves import iter_specs, structure
from anyspace.spaces.repeated_values import RepeatedValues
from tests.support.catalogue import OBSERVATION_SPACES
from tests.support.torch_nets import draw, shuffled

VECTORS = Repeated(Box(-1, 1, (3,)), 4)
GRAPH = BoundedGraph(Box(-1, 1, (2,)), Box(-1, 1, (3,)), max_nodes=4, max_edges=5)
LISTS = [
    name for name, space in OBSERVATION_SPACES.items() if any(leaf.repeats for leaf in iter_specs(structure(space)))
]
ROWS = 16


def encoder(space, **config):
    config = {**MODEL_DEFAULTS, "fcnet_hiddens": [6], **config}
    return shuffled(module_of(encoder_of(structure(space), config), config))


def observations(space, *, raw=False):
    space.seed(5)
    preprocessor = get_preprocessor(space)
    samples = [preprocessor.encode.single(space.sample()) for _ in range(ROWS)]
    tensors = [torch.from_numpy(np.stack(leaf)) for leaf in zip(*samples, strict=True)]
    return preprocessor.restore(tensors if raw else preprocessor.expand(tensors))


def lists(values, lengths):
    return RepeatedValues(values, torch.tensor(lengths), tree.leaves(values)[0].shape[1])


def littered(structured, there=None):
    """The same observations with large numbers wherever a list has ended, in the lists beneath it too."""

    def litter(leaf):
        if isinstance(leaf, RepeatedValues):
            inside = torch.arange(leaf.max_len) < leaf.lengths[..., None]
            inside = inside if there is None else inside & there[..., None]
            lengths = leaf.lengths if there is None else torch.where(there, leaf.lengths, leaf.max_len)
            return RepeatedValues(littered(leaf.values, inside), lengths, leaf.max_len)
        if there is None:
            return leaf
        mask = there.reshape(*there.shape, *(1,) * (leaf.dim() - there.dim()))
        return torch.where(mask, leaf, torch.as_tensor(77, dtype=leaf.dtype))

    return tree.map_leaves(litter, structured)


def gradients(module):
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters()}


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("name", LISTS)
def test_what_lies_beyond_a_length_changes_nothing(name, raw):
    space = OBSERVATION_SPACES[name]
    made, clean = encoder(space), observations(space, raw=raw)
    results = []
    for obs in (clean, littered(clean)):
        made.zero_grad()
        features = made(obs)
        features.square().sum().backward()
        results.append((features.detach(), gradients(made)))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


def test_the_litter_is_there():
    clean = lists(torch.ones(2, 3, 1), [1, 3])
    assert littered(clean).values[..., 0].tolist() == [[1, 77, 77], [1, 1, 1]]
    nested = RepeatedValues(RepeatedValues(torch.ones(1, 2, 2), torch.tensor([[1, 0]]), 2), torch.tensor([1]), 2)
    assert littered(nested).values.values.tolist() == [[[1, 77], [77, 77]]]
    assert littered(nested).values.lengths.tolist() == [[1, 2]]


# ------------------------------------------------------------------------------------------ pooling


def numpy_pooled(rows, most):
    """Means, largest values and the share of places taken, of the elements [n, E] of one list."""
    if not len(rows):
        return np.zeros(2 * rows.shape[1] + 1)
    return np.concatenate([rows.mean(axis=0), rows.max(axis=0), [len(rows) / most]])


def weights(module):
    return {name: value.detach().double().numpy() for name, value in module.named_parameters()}


def test_pooling():
    x, lengths = draw(4, 3, 2), [0, 1, 2, 3]
    there = torch.arange(3) < torch.tensor(lengths)[:, None]
    expected = [numpy_pooled(row[:length].numpy(), 3) for row, length in zip(x, lengths, strict=True)]
    np.testing.assert_allclose(pooled(x, there), expected, rtol=1e-6, atol=1e-6)


def test_a_list_is_its_elements_through_one_layer_pooled():
    made, values, lengths = encoder(VECTORS), draw(5, 4, 3), [4, 0, 1, 3, 2]
    features, p = made(lists(values, lengths)).detach(), weights(made)
    assert made.width == 13
    for row, length, result in zip(values.double().numpy(), lengths, features, strict=True):
        hidden = row[:length] @ p["layer.dense.weight"].T + p["layer.dense.bias"] + p["layer.positions"][:length]
        np.testing.assert_allclose(result, numpy_pooled(np.tanh(hidden), 4), rtol=1e-5, atol=1e-5)


def test_a_graph_is_a_round_of_messages_pooled():
    made, obs = encoder(GRAPH), observations(GRAPH)
    features, p = made(obs).detach(), weights(made)
    nodes, edges = obs["nodes"], obs["edges"]
    counted = set()
    for row, result in enumerate(features):
        n, m = int(nodes.lengths[row]), int(edges.lengths[row])
        counted.add((n > 0, m > 0))
        x, e = nodes.values[row, :n].double().numpy(), edges.values["features"][row, :m].double().numpy()
        ends = edges.values["links"][row, :m].reshape(m, 2, 4).argmax(dim=2).numpy()
        h = np.tanh(x @ p["node_layer.dense.weight"].T + p["node_layer.dense.bias"])
        seen = np.concatenate([e, h[ends[:, 0]], h[ends[:, 1]]], axis=1) if m else np.zeros((0, 15))
        messages = np.tanh(seen @ p["edge_layer.dense.weight"].T + p["edge_layer.dense.bias"])
        into = [messages[ends[:, 1] == node] for node in range(n)]
        incoming = np.stack([each.mean(axis=0) if len(each) else np.zeros(6) for each in into] or [np.zeros(6)])[:n]
        joined = np.concatenate([h, incoming], axis=1)
        updated = np.tanh(joined @ p["update_layer.dense.weight"].T + p["update_layer.dense.bias"])
        expected = np.concatenate([numpy_pooled(updated, 4), numpy_pooled(messages, 5)])
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
    assert {(True, True), (False, False)} <= counted
    assert made.width == 26


def test_lists_in_lists_are_pooled_twice():
    made = encoder(Repeated(Repeated(Box(-1, 1, (2,)), 3), 2))
    values = draw(3, 2, 3, 2)
    inner = RepeatedValues(values, torch.tensor([[3, 1], [0, 2], [2, 2]]), 3)
    features = made(RepeatedValues(inner, torch.tensor([2, 1, 0]), 2)).detach()
    p = weights(made)
    for row in range(3):
        elements = []
        for place in range([2, 1, 0][row]):
            length = int(inner.lengths[row, place])
            x = values[row, place, :length].double().numpy()
            hidden = x @ p["element.layer.dense.weight"].T + p["element.layer.dense.bias"]
            elements.append(numpy_pooled(np.tanh(hidden + p["element.layer.positions"][:length]), 3))
        x = np.array(elements).reshape(-1, 13)
        hidden = x @ p["layer.dense.weight"].T + p["layer.dense.bias"] + p["layer.positions"][: len(x)]
        np.testing.assert_allclose(features[row], numpy_pooled(np.tanh(hidden), 2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "space", [VECTORS, Text(4, min_length=0), BoundedGraph(Box(-1, 1, (2,)), None, max_nodes=3)], ids=str
)
def test_empty_lists_are_zeros_without_a_gradient(space):
    made, obs = encoder(space), observations(space)
    part = obs["nodes"] if isinstance(obs, dict) else obs
    part.lengths = torch.zeros_like(part.lengths)
    features = made(obs)
    assert not features.any()
    features.sum().backward()
    assert not any(gradient.any() for gradient in gradients(made).values())


# -------------------------------------------------------------------------------------------- order


@pytest.mark.parametrize(
    "space",
    [VECTORS, BoundedSequence(Box(-1, 1, (3,)), 4), Text(4, charset="xyz"), Repeated(Dict(a=Discrete(4)), 4)],
    ids=lambda space: type(space).__name__,
)
def test_the_order_of_a_list_counts(space):
    made, obs = encoder(space), observations(space)
    swapped = tree.map_leaves(lambda array: array[:, [1, 0, 2, 3]], obs.values)
    twice = torch.stack([made(obs), made(RepeatedValues(swapped, obs.lengths, 4))])
    first, second = (tree.leaves(each)[0][:, :2].flatten(1) for each in (obs.values, swapped))
    differs = (obs.lengths > 1) & (first != second).any(dim=1)
    assert differs.any()
    assert ((twice[0] - twice[1]).abs().amax(dim=1) > 1e-4)[obs.lengths > 1].tolist() == differs[
        obs.lengths > 1
    ].tolist()


def test_the_order_counts_by_positions_alone():
    made, values = encoder(VECTORS), draw(3, 4, 3)
    nn.init.zeros_(made.layer.positions)
    torch.testing.assert_close(made(lists(values, [4] * 3)), made(lists(values[:, [2, 0, 3, 1]], [4] * 3)))


def permuted(obs, nodes, edges):
    """The same graphs, whose first nodes and edges come in another order."""
    to_node = torch.tensor(nodes)
    links = obs["edges"].values["links"].unflatten(2, (2, -1))[..., to_node].flatten(2)
    values = {"features": obs["edges"].values["features"][:, edges], "links": links[:, edges]}
    return {
        "nodes": RepeatedValues(obs["nodes"].values[:, nodes], obs["nodes"].lengths, 4),
        "edges": RepeatedValues(values, obs["edges"].lengths, 5),
    }


def full_graphs():
    obs = observations(GRAPH)
    links = torch.nn.functional.one_hot(torch.tensor([[0, 1], [1, 2], [3, 0], [2, 2], [0, 1]]), 4).float()
    values = {"features": draw(ROWS, 5, 3), "links": links.flatten(1).expand(ROWS, 5, 8)}
    return {
        "nodes": RepeatedValues(draw(*obs["nodes"].values.shape), torch.full((ROWS,), 4), 4),
        "edges": RepeatedValues(values, torch.full((ROWS,), 5), 5),
    }


def test_the_order_of_nodes_and_edges_counts_for_nothing():
    made, obs = encoder(GRAPH), full_graphs()
    expected = made(obs)
    assert expected.std(dim=0)[:12].all()
    torch.testing.assert_close(made(permuted(obs, [2, 0, 3, 1], [4, 2, 0, 1, 3])), expected)


@pytest.mark.parametrize("end", [0, 1])
def test_where_edges_come_from_and_lead_to_counts(end):
    made, obs = encoder(GRAPH), full_graphs()
    links = obs["edges"].values["links"].unflatten(2, (2, -1)).clone()
    links[:, 0, end] = torch.eye(4)[3]
    values = {**obs["edges"].values, "links": links.flatten(2)}
    moved = {**obs, "edges": RepeatedValues(values, obs["edges"].lengths, 5)}
    assert ((made(moved) - made(obs)).abs().amax(dim=1) > 1e-4).all()
    assert not torch.allclose(
        made({**obs, "nodes": obs["nodes"].map(lambda x: x.flip(1) if x.dim() > 1 else x)}), made(obs)
    )


# -------------------------------------------------------------------------------------- configuration


def test_elements_go_through_a_layer_as_configured():
    made = encoder(VECTORS, fcnet_hiddens=[9, 5], fcnet_activation="relu")
    assert (made.layer.dense.out_features, made.width) == (9, 19)
    assert isinstance(made.layer.activation, nn.ReLU)
    assert encoder(VECTORS, fcnet_hiddens=[]).layer.dense.out_features == 64
    assert encoder(VECTORS, fcnet_activation="linear")(lists(100 * draw(1, 4, 3), [4])).abs().max() > 10
    config = {**MODEL_DEFAULTS, "fcnet_weights_initializer": "zeros", "fcnet_bias_initializer": "ones"}
    for space, kind in ((VECTORS, SetEncoder), (GRAPH, GraphEncoder)):
        fresh = module_of(encoder_of(structure(space), config), config)
        assert type(fresh) is kind
        dense = [layer for layer in fresh.modules() if isinstance(layer, nn.Linear)]
        assert len(dense) == (1 if kind is SetEncoder else 3)
        for layer in dense:
            assert not layer.weight.any()
            assert (layer.bias == 1).all()


def test_elements_without_features_are_counted():
    made = encoder(Repeated(Dict([]), 3))
    features = made(RepeatedValues({}, torch.tensor([0, 1, 3]), 3))
    assert features[:, -1].tolist() == pytest.approx([0, 1 / 3, 1])
    assert not features[0].any()
    assert features[1].any()
