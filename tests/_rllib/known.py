"""Differences from RLlib 2.40 that are meant: a pattern of `name: difference`, and why.

docs/porting.md tells users about them.
"""

from __future__ import annotations

_DISTRIBUTION = r"models\.torch\.torch_action_dist\."

KNOWN: dict[str, str] = {
    r"utils\.framework\.TensorType": "for annotations alone",
    r"utils\.error\.(ERR|HOWTO)": "texts of our own",
    r"utils\.framework\.try_import_tf: call": "TensorFlow was not installed there",
    # ------------------------------------------------------------------------------------ parameters
    r"\S+: `framework='tf": "PyTorch is what there is",
    r"\S+\.logp: has no parameter `x`": "called `actions`",
    r"\S+Preprocessor(\.transform)?: has no parameter `(obs_space|observation)`": "called `space` and `obs`",
    r"\S+atari_wrappers\.\w+\.(step|observation): has no parameter": "called `action` and `observation`",
    r"\S+MonitorEnv: `env=None`": "there is nothing to monitor without an environment",
    r"\S+restore_original_dimensions: `tensorlib": "the array decides",
    r"models\.torch\.misc\.SlimConv2d: `bias_init=0`": "a float",
    r"policy\.view_requirement\.ViewRequirement: `space=None`": "the Box that None stands for",
    r"utils\.numpy\.one_hot_multidiscrete: `depths": "the default was a type",
    r"utils\.filter\.get_filter: has no parameter `filter_config`": "called `name`",
    r"env\.DM\w*Env\.render": "Gymnasium's render() takes nothing; the constructor has the camera",
    r"models\.ModelV2: has no parameter `framework`": "the class says it",
    r"policy\.rnn_sequencing\.\w+: .*(pad_infos_with_empty_dicts|_enable_new_api_stack|`padding`)": "the new API stack",
    r"\S+SACTorchModel|\S+DQNTorchModel\.get_": "the deviations page says what DQN and SAC do differently",
    # --------------------------------------------------------------------------------------- methods
    r"\S+\.(context|import_from_h5): is not here": "of TFModelV2",
    r"models\.ModelV2\.(trainable_)?variables: is not here": "of TorchModelV2",
    r"\S+\.clear_buffer: is not here": "an error there",
    r"\S+\.(GTrXLNet|LSTMWrapper)\.forward_rnn: is not here": "`forward` is whole",
    r"\S+RelativeMultiHeadAttention(\.forward: `memory=None`|\.rel_shift)": "None is an error there; the shift is a function of its own",
    r"\S*SampleBatch\.(as_multi_agent|(de)?compress\w*|concat_samples|\w+_slicing_by_batch_id|get_single_step_input_dict|zero_pad)": (
        "several agents, pickled columns, policies; two are errors there"
    ),
    r"utils\.spaces\.flexdict\.FlexDict\.assertSpace": "setting a part checks it",
    # --------------------------------------------------------------------------------------- results
    rf"{_DISTRIBUTION}TorchBeta: call .*logp": "the density of the scaled action integrates to one",
    rf"{_DISTRIBUTION}TorchBeta: call .*entropy": "one number for a row",
    rf"{_DISTRIBUTION}TorchSquashedGaussian: call .*kl": "that of the Gaussians; an error there",
    rf"{_DISTRIBUTION}TorchDirichlet: call .*deterministic": "the mean",
    rf"{_DISTRIBUTION}TorchDeterministic: call .*sampled_action_logp": "it asks for a sample first",
    r"models\.repeated_values\.RepeatedValues: call (repr|.*unbatch_all)": "numbers of no axes are numbers",
    r"models\.utils\.get_activation_fn: call f\('tanh'": "a Tanh that the CPU computes faster",
    r"models\.utils\.get_filter_config: call": "every size has filters, which end in one pixel",
    r"policy\.rnn_sequencing\.pad_batch\w+: call": "max_seq_len is what was padded to",
    r"utils\.filter\.MeanStdFilter: call": "statistics are float64, and filtered integers floats",
    r"utils\.spaces\.space_utils\.convert_element_to_space_type: call": "an error with NumPy 2 there",
    r"utils\.torch_utils\.sequence_mask: call .*dtype": "dtype has its effect",
    r"utils\.torch_utils\.minimize_and_clip: call": "the gradient is clipped; nothing was there",
}
