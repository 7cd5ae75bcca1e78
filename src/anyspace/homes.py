"""Where names are that are asked for in ``anyspace`` itself, and are in one of its modules."""

from __future__ import annotations

_NAMES = {
    "anyspace.algorithms.a2c": "A2CConfig",
    "anyspace.algorithms.appo": "APPOConfig",
    "anyspace.algorithms.config": "AlgorithmConfig",
    "anyspace.algorithms.dqn": "DQNConfig",
    "anyspace.algorithms.impala": "IMPALAConfig",
    "anyspace.algorithms.marwil": "BCConfig MARWILConfig",
    "anyspace.algorithms.pg": "PGConfig",
    "anyspace.algorithms.ppo": "PPOConfig",
    "anyspace.algorithms.sac": "SACConfig",
    "anyspace.data.atari": "FrameStack",
    "anyspace.data.trajectory": "Trajectory",
    "anyspace.distributions": (
        "ActionDistribution AutoregressiveActions Bernoulli Beta Categorical Deterministic DiagGaussian Dirichlet"
        " GumbelSoftmax MultiActionDistribution MultiCategorical SlateMultiCategorical SquashedGaussian"
    ),
    "anyspace.errors": (
        "CheckpointError ConfigError EnvironmentSetupError ExportError ModelError NonFiniteError ObservationError"
        " UnsupportedSpaceError WorkerError"
    ),
    "anyspace.execution.callbacks": "PruneTrial RecordVideo StopWithoutImprovement WeightsAndBiases",
    "anyspace.models": (
        "ComplexInputNetwork FullyConnectedNetwork GTrXLNet InputDict JaxModelV2 MODEL_DEFAULTS ModelCatalog"
        " ModelConfig ModelV2 RecurrentNetwork TFModelV2 TorchModelV2 ViewRequirement VisionNetwork"
    ),
    "anyspace.policy.batch": "Batch",
    "anyspace.spaces": (
        "ActionMasks BoundedGraph BoundedSequence Encoder Image Repeated RepeatedValues Simplex StackedFrames Words"
        " from_json to_json"
    ),
}

HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}
"""Name -> the module that has it."""
