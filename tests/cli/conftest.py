from __future__ import annotations

from pathlib import Path

import pytest

ENVIRONMENTS = """
import os
import time
import torch
from anyspace.models import TorchModelV2
from tests.support.environments import Drawn

def noted(algorithm, result):
    result["noted"] = 1

class Small(TorchModelV2):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.layer = torch.nn.Linear(obs_space.shape[0], num_outputs + 1)

    def forward(self, input_dict, state, seq_lens):
        self.out = self.layer(input_dict["obs_flat"])
        return self.out[:, 1:], state

    def value_function(self):
        return self.out[:, 0]

class Slow(Drawn):
    def step(self, action):
        time.sleep(0.002)
        return super().step(action)

class Strange(Drawn):
    'Built by no command: only trust brings it in.'

class Torn(Drawn):
    def render(self):
        raise RuntimeError("no context")

class Roaming(Drawn):
    def __init__(self, render_mode=None):
        super().__init__(render_mode)
        os.chdir(os.environ["ELSEWHERE"])

    def reset(self, **options):
        os.chdir(os.environ["ELSEWHERE"])
        return super().reset(**options)

class Blind(Drawn):
    metadata = {"render_modes": []}
"""


@pytest.fixture
def folder(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    without_curves: None,
) -> Path:
    """Return the folder in which commands run, which has the module ``toys``."""
    (tmp_path / "toys.py").write_text(ENVIRONMENTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELSEWHERE", str(tmp_path_factory.mktemp("elsewhere")))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path
