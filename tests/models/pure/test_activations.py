"""Activations over array namespaces are those of the frameworks."""

import numpy as np
import pytest
import torch
from torch import nn

from anyspace.errors import ConfigError
from anyspace.maths.xp import xp
from anyspace.models.pure.activations import activation

OF_PYTORCH = {
    **{"tanh": nn.Tanh(), "relu": nn.ReLU(), "elu": nn.ELU(), "selu": nn.SELU(), "CELU": nn.CELU()},
    **{
        "gelu": nn.GELU(),
        "GELU": nn.GELU(),
        "relu6": nn.ReLU6(),
        "Hardtanh": nn.Hardtanh(),
        "hard_tanh": nn.Hardtanh(),
    },
    **{"Hardswish": nn.Hardswish(), "hard_silu": nn.Hardswish(), "hard_sigmoid": nn.Hardsigmoid()},
    **{"softmax": nn.Softmax(-1), "log_softmax": nn.LogSoftmax(-1), "LogSigmoid": nn.LogSigmoid()},
    **{"swish": nn.SiLU(), "silu": nn.SiLU(), "Sigmoid": nn.Sigmoid(), "softplus": nn.Softplus(), "Mish": nn.Mish()},
    **{"soft_sign": nn.Softsign(), "LeakyReLU": nn.LeakyReLU(), "identity": nn.Identity()},
}


@pytest.mark.spec(51)
@pytest.mark.parametrize("name", OF_PYTORCH)
def test_names_stand_for_the_functions_of_pytorch(name):
    x = torch.tensor([[-200.0, -7, -1.5, -0.3], [0.2, 1.5, 7, 80]], requires_grad=True)
    y = x.detach().clone().requires_grad_()
    expected, found = OF_PYTORCH[name](x), activation(name, "jax")(xp(y))(y)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)
    weights = torch.arange(8.0).reshape(2, 4)
    gradients = [torch.autograd.grad((out * weights).sum(), of)[0] for out, of in ((expected, x), (found, y))]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)
    array = x.detach().numpy()
    acted = activation(name, "jax")(xp(array))(array)
    assert acted.dtype == np.float32
    np.testing.assert_allclose(acted, expected.detach(), rtol=1e-5, atol=5e-6)


def test_each_framework_has_its_own_leaky_relu():
    x = np.array([-1.0, 2.0], np.float32)
    slopes = {"tf": -0.2, "jax": -0.01}
    for framework, slope in slopes.items():
        np.testing.assert_allclose(activation("leaky_relu", framework)(xp(x))(x), [slope, 2])
        np.testing.assert_allclose(activation("LeakyReLU", framework)(xp(x))(x), [-0.01, 2])


@pytest.mark.spec(51)
def test_no_activation_and_unknown_ones():
    assert activation(None, "tf") is activation("linear", "jax") is None
    with pytest.raises(ConfigError, match=r"Unknown activation \(gleu\) for framework=tf! Did you mean .*'gelu'"):
        activation("gleu", "tf")
