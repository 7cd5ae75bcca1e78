"""TensorFlow's side of RLlib's old stack: what its files need beside the models of `anyspace.models.tf`."""

# It sets what TensorFlow reads when it is imported.
import anyspace.models.tf  # noqa: F401
