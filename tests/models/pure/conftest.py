"""The catalogue builds networks over arrays under the name of a framework."""

import pytest

from anyspace.models.networks import NETWORKS


@pytest.fixture(autouse=True)
def _in_the_catalogue(monkeypatch):
    homes = {
        "base class": "base.ArrayModel",
        "dense": "fcnet.FullyConnectedNetwork",
        "vision": "visionnet.VisionNetwork",
        "complex input": "complex_input.ComplexInputNetwork",
        "recurrent memory": "recurrent_models.RecurrentWrapper",
        "parametric head": "parametric.ParametricActionsModel",
        "action network": "autoregressive.attach_action_network",
        "q values": "dqn_model.DQNModel",
        "soft actor-critic": "sac_model.SACModel",
        "gtrxl": "attention.GTrXLNet",
        "attention memory": "attention.AttentionWrapper",
    }
    monkeypatch.setitem(NETWORKS, "pure", homes)
