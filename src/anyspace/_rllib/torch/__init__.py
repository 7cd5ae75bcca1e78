"""PyTorch's side of RLlib's old stack: layers, distributions, and functions of tensors, with their old signatures."""

# It sets how threads wait for each other, which is done before PyTorch is imported.
import anyspace.models.torch  # noqa: F401
