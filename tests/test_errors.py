import pytest

from anyspace import errors

BUILT_IN = {
    "ConfigError": ValueError,
    "UnsupportedSpaceError": ValueError,
    "ObservationError": ValueError,
    "ModelError": ValueError,
    "EnvironmentSetupError": ValueError,
    "NonFiniteError": FloatingPointError,
    "CheckpointError": ValueError,
    "WorkerError": RuntimeError,
    "ExportError": ValueError,
}


def test_every_error_is_one_of_ours_and_of_pythons():
    found = {
        name: thing
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, errors.AnyspaceError) and thing is not errors.AnyspaceError
    }
    assert found.keys() == BUILT_IN.keys()
    assert all(issubclass(found[name], built_in) for name, built_in in BUILT_IN.items())


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("gama", ["gamma", "lr"], " Did you mean 'gamma'?"),
        ("GAMMA", ["gamma", "lr"], " Did you mean 'gamma'?"),
        ("cartpole", ["CartPole-v1", "Pendulum-v1"], " Did you mean 'CartPole-v1'?"),
        (
            "fcnet_hidens",
            ["fcnet_hiddens", "post_fcnet_hiddens"],
            " Did you mean one of 'fcnet_hiddens', 'post_fcnet_hiddens'?",
        ),
        ("rellu", ["relu", "ReLU"], " Did you mean 'relu'?"),
        ("xyz", ["gamma"], ""),
        ("gamma", [], ""),
        ("Shopkeeper-v0", ["Hopper-v5", "CartPole-v1"], ""),
        ("Cat-v5", ["Ant-v5"], ""),
        ("Ant-v7", ["Ant-v4", "Ant-v5", "Ant-v10"], " Did you mean 'Ant-v10'?"),
        ("pop", ["ppo", "sac"], " Did you mean 'ppo'?"),
        ("use_lstm", ["use_kl_loss", "use_critic", "use_gae"], ""),
        ("epochs", ["num_epochs", "gamma"], " Did you mean 'num_epochs'?"),
        (
            "entropy",
            ["entropy_coeff_schedule", "entropy_coeff"],
            " Did you mean one of 'entropy_coeff', 'entropy_coeff_schedule'?",
        ),
        ("kl", ["kl_coeff"], ""),
    ],
)
def test_the_nearest_names(name, known, hint):
    assert errors.nearest(name, known) == hint
    assert errors.nearest(name, iter(known)) == hint
