"""Names of TensorFlow's side of RLlib's old stack that stand in two tables: of paths, and of what they stand for."""

from __future__ import annotations

FUNCTIONS = (
    "explained_variance flatten_inputs_to_1d_tensor get_gpu_devices huber_loss inverse_symlog l2_loss minimize_and_clip"
    " one_hot reduce_mean_ignore_inf symlog two_hot zero_logps_from_actions"
)
"""Of ``utils.tf_utils``."""

LAYERS = {
    "gru_gate": "GRUGate",
    "multi_head_attention": "MultiHeadAttention",
    "noisy_layer": "NoisyLayer",
    "relative_multi_head_attention": "PositionalEmbedding RelativeMultiHeadAttention",
    "skip_connection": "SkipConnection",
}
"""Of ``models.tf.layers``, by the file there."""
