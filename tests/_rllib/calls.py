"""What `names.py` calls, by the name that is called `f`: expressions over the preludes.

Each is evaluated with RLlib's name and with ours, and the results are compared: values, dtypes, shapes and kinds.
"""

from __future__ import annotations

PRELUDE = """
import numpy as np, torch, gymnasium as gym
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
a = np.array([[0.5, -1.0, 2.0], [3.0, 0.25, -0.5]], np.float32)
t = torch.tensor(a)
ints = torch.tensor([[0, 2], [1, 1]])
nested = {"b": np.array([1, 3]), "a": (np.array([[1.0, 2.0], [4.0, 5.0]]), np.array([[[8.0], [7.0]], [[5.0], [4.0]]]))}
kinds = {"b": Discrete(4), "a": (Box(-1, 10, (2,)), Box(-1, 10, (2, 1)))}
space = Dict({"b": Discrete(3), "a": Tuple([Box(-2, 4, (2,)), MultiDiscrete([2, 3])])})
action = {"b": 1, "a": (np.array([0.5, -3.0], np.float32), np.array([1, 2]))}
lens = torch.tensor([3, 1, 2])
def gradients(): return {"w": torch.tensor([3.0, -4.0]), "b": None, "c": torch.tensor([12.0])}
def rows(f, **more):
    return f({"obs": np.arange(6.0).reshape(6, 1), "actions": np.arange(6), "eps_id": [1, 1, 2, 2, 2, 3],
              "terminateds": [False, True, False, False, True, False], **more})
def seqs(f): return rows(f, seq_lens=[2, 3, 1], state_in_0=np.arange(3.0).reshape(3, 1))
def plain(batch): return {k: batch[k] for k in sorted(batch.keys())}
def pushed(m, *values):
    for value in values: m(np.array(value, np.float64))
    return m
class Steps(gym.Env):
    observation_space, action_space = Box(0, 255, (4, 4, 1), np.uint8), Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed); self.t = 0
        return np.full((4, 4, 1), 1, np.uint8), {}
    def step(self, action):
        self.t += 1
        return np.full((4, 4, 1), self.t, np.uint8), 0.5 * self.t, self.t == 3, False, {}
class Fails(Steps):
    def step(self, action): raise RuntimeError("broken")
def outputs(module, *inputs):
    torch.manual_seed(3)
    for parameter in module.parameters(): torch.nn.init.normal_(parameter, std=0.3)
    return module(*inputs)
def optimiser(*parameters): return type("Optimiser", (), {"param_groups": [{"params": list(parameters)}]})()
def seeded(seed, make):
    torch.manual_seed(seed); return make()
"""

_DISTRIBUTION = (
    "f(a[:, :2], {}).logp(torch.tensor([0, 1]))",
    "f(t[:, :2], {}).entropy()",
    "f(t[:, :2], {}).kl(f(t[:, 1:], {}))",
    "f(t[:, :2], {}).deterministic_sample()",
    "type(f(a[:, :2], {}).sample()).__name__",
    "f(a[:, :2], {}).sample().shape",
    "type(f(a[:, :2], {}).inputs).__name__",
    "f.required_model_output_shape(Discrete(4), {})",
)
_NUMBERS = (
    "f(a4, {}).logp(torch.tensor([[0.3, 0.4], [0.2, -0.1]]))",
    "f(a4, {}).deterministic_sample()",
    "type(f(a4, {}).sample()).__name__",
    "f(a4, {}).sample().shape",
    "f.required_model_output_shape(Box(-1, 1, (3,)), {})",
)

CALLS: dict[str, tuple[str, ...]] = {
    "env.env_context.EnvContext": (
        "dict(f({'a': 1}, 2))",
        "f({'a': 1}, 2, num_workers=3).copy_with_overrides(worker_index=5).worker_index",
        "(lambda c: (c.set_defaults({'a': 2, 'b': 3}), dict(c))[1])(f({'a': 1}, 0))",
        "str(f({'a': 1}, 2))",
    ),
    "env.wrappers.atari_wrappers.FrameStack": ("f(Steps(), 3).reset()[0]", "f(Steps(), k=2).observation_space.shape"),
    "env.wrappers.atari_wrappers.FrameStackTrajectoryView": ("f(Steps()).reset()[0]",),
    "env.wrappers.atari_wrappers.MonitorEnv": (
        "(lambda e: (e.reset(), [e.step(0) for _ in range(3)], e.reset(), e.step(0), list(e.next_episode_results()),"
        " e.get_episode_rewards(), e.get_episode_lengths(), e.get_total_steps())[4:])(f(Steps()))",
    ),
    "env.wrappers.atari_wrappers.get_wrapper_by_cls": (
        "type(f(gym.wrappers.TimeLimit(Steps(), 5), gym.wrappers.TimeLimit)).__name__",
        "f(Steps(), gym.wrappers.TimeLimit)",
    ),
    "env.wrappers.atari_wrappers.is_atari": ("f('ALE/Pong-v5')", "f('CartPole-v1')", "f(Steps())"),
    "env.wrappers.exception_wrapper.ResetOnExceptionWrapper": ("f(Fails()).reset()[0]", "f(Fails()).step(0)[1:3]"),
    "evaluation.postprocessing.adjust_nstep": (
        "(lambda b: (f(3, 0.5, b), plain(b))[1])(B({'obs': np.arange(5.0), 'new_obs': np.arange(1.0, 6.0),"
        " 'rewards': np.array([1.0, 2.0, 4.0, 8.0, 16.0]), 'terminateds': [False] * 4 + [True],"
        " 'truncateds': [False] * 5}))",
    ),
    "evaluation.postprocessing.compute_advantages": tuple(
        f"plain(f(B({{'rewards': np.array([1.0, 2.0, 4.0]), 'vf_preds': np.array([0.5, 1.0, 2.0])}}), 3.0, 0.9, 0.8, {x}))"
        for x in ("True, True", "False, True", "False, False")
    ),
    "evaluation.postprocessing.discount_cumsum": ("f(np.array([1.0, 2.0, 4.0]), 0.5)",),
    "evaluation.sample_batch_builder.SampleBatchBuilder": (
        "(lambda b: (b.add_values(obs=[1.0, 2.0], actions=3), b.add_values(obs=[0.0, 1.0], actions=4),"
        " {k: v for k, v in plain(b.build_and_reset()).items() if k != 'unroll_id'}, b.count)[2:])(f())",
    ),
    "models.catalog.ModelCatalog": (
        "type(f.get_preprocessor(gym.make('CartPole-v1'))).__name__",
        "f.get_preprocessor(gym.make('CartPole-v1')).transform(np.array([0.1, 0.2, 0.3, 0.4], np.float32))",
        "f.get_preprocessor_for_space(space).shape",
        "f.get_preprocessor_for_space(space, {'dim': 42}).size",
        "f.get_preprocessor_for_space(space, {'dimm': 42}).size",
        "f.get_preprocessor_for_space(Discrete(3)).transform(1)",
        "f.get_preprocessor_for_space(space).transform(space_value)",
        "f.get_action_dist(Discrete(3), {}, framework='torch')[1]",
        "f.get_action_dist(Box(-1, 1, (3,)), None, framework='torch')[1]",
        "f.get_action_dist(MultiDiscrete([2, 3]), {}, framework='torch')[1]",
        "f.get_action_dist(space, {}, framework='torch')[1]",
        "f.get_action_dist(Box(-1, 1, (3,)), {}, dist_type='deterministic', framework='torch')[1]",
        "f.get_action_shape(Box(-1, 1, (3,)), 'torch')[1]",
        "f.get_action_shape(Discrete(3), 'torch')",
        "f.get_action_shape(Tuple([Discrete(3), Box(-1, 1, (2,))]), 'torch')[1]",
        "f.get_action_placeholder(Discrete(3))",
        "f.get_model_v2(Box(-1, 1, (4,)), Discrete(2), 2, M, 'torch')({'obs': torch.ones(3, 4)})[0].shape",
    ),
    "models.modelv2.flatten": ("f(torch.ones(2, 3, 4), 'torch').shape",),
    "models.preprocessors.get_preprocessor": tuple(
        f"f({space}).__name__"
        for space in ("Discrete(3)", "space", "Box(-1, 1, (3,))", "MultiBinary(3)", "Box(0, 255, (4, 4, 3), np.uint8)")
    ),
    "models.preprocessors.OneHotPreprocessor": (
        "f(Discrete(3)).transform(1)",
        "f(Discrete(3), {}).shape",
        "(lambda x: (f(Discrete(3)).write(2, x, 1), x)[1])(np.zeros(5, np.float32))",
        "f(MultiDiscrete([2, 3])).transform(np.array([1, 2]))",
        "f(Discrete(3)).check_shape(1)",
        "f(Discrete(3)).check_shape(7)",
    ),
    "models.repeated_values.RepeatedValues": (
        "f(np.arange(6.0).reshape(2, 3), np.array([1, 3]), 3).unbatch_all()",
        "f(np.arange(6.0).reshape(2, 3), np.array([1, 3]), 3).unbatch_repeat_dim()",
        "repr(f(np.arange(2.0).reshape(1, 2), np.array([1]), 2))",
    ),
    "models.torch.misc.AppendBiasLayer": ("f(2)(t)",),
    "models.torch.misc.Reshape": ("f([-1, 3, 1])(t).shape",),
    "models.torch.misc.SlimConv2d": (
        "outputs(f(2, 3, 3, 1, (1, 1, 1, 1)), torch.ones(1, 2, 4, 4)).sum()",
        "f(2, 3, [2, 3], 2, None)(torch.ones(1, 2, 5, 5)).shape",
        "sorted(f(2, 3, 3, 1, 1).state_dict())",
    ),
    "models.torch.misc.SlimFC": (
        "outputs(f(3, 2, activation_fn='tanh'), t)",
        "outputs(f(3, 2, use_bias=False, activation_fn=torch.nn.ReLU), t)",
        "sorted(f(3, 2, activation_fn='swish').state_dict())",
    ),
    "models.torch.misc.normc_initializer": ("(lambda w: (f(0.5)(w), w.norm(dim=1))[1])(torch.ones(4, 3))",),
    "models.torch.misc.same_padding": ("f((84, 84), [8, 8], 4)", "f((10, 5), 3, (1, 2))", "f([7, 6], (2, 4), [2, 3])"),
    "models.torch.misc.same_padding_transpose_after_stride": (
        "f((13, 13), 4, 2)",
        "f((7, 5), (5, 3), (2, 1))",
        "f((7, 5), (4, 3), 3)",
    ),
    "models.torch.misc.valid_padding": ("f((10, 5), 3, (1, 2))", "f([7, 6], (2, 4), [2, 3])"),
    "models.torch.modules.convtranspose2d_stack.ConvTranspose2DStack": (
        "outputs(f(input_size=3, filters=((4, 3, 2), (2, 4, 2)), output_shape=(1, 8, 8)), t).mean",
        "outputs(f(input_size=3, filters=((4, 3, 2), (2, 4, 2)), output_shape=(1, 8, 8)), t)"
        ".log_prob(torch.zeros(2, 1, 8, 8))",
    ),
    "models.torch.modules.gru_gate.GRUGate": (
        "outputs(f(3, 1.0), (t, t + 1))",
        "sorted(f(3).state_dict())",
        "f(3, 2.0)._bias_z",
    ),
    "models.torch.modules.multi_head_attention.MultiHeadAttention": (
        "outputs(f(3, 4, 2, 5), torch.arange(24.0).reshape(2, 4, 3) / 10)",
        "sorted(f(3, 4, 2, 5).state_dict())",
    ),
    "models.torch.modules.noisy_layer.NoisyLayer": (
        "sorted(f(3, 4, 0.5).state_dict())",
        "f(3, 4, 0.5).sigma_b",
        "(f(3, 4, 0.5).sigma_w.abs().max() <= 3 ** -0.5).item()",
        "f(3, 4, 0.5)(t).shape",
        "f(3, 4, 0.5).w.std() > 0",
    ),
    "models.torch.modules.relative_multi_head_attention.RelativeMultiHeadAttention": (
        "outputs(f(6, 6, 2, 5), torch.arange(24.0).reshape(1, 4, 6) / 10, torch.arange(12.0).reshape(1, 2, 6) / 7)",
        "outputs(f(6, 6, 2, 5, True, torch.nn.ReLU), torch.arange(24.0).reshape(1, 4, 6) / 10,"
        " torch.arange(12.0).reshape(1, 2, 6) / 7)",
        "sorted(f(6, 6, 2, 5).state_dict())",
    ),
    "models.torch.modules.relative_multi_head_attention.RelativePositionEmbedding": ("f(4)(3)",),
    "models.torch.modules.skip_connection.SkipConnection": ("outputs(f(torch.nn.Linear(3, 3)), t)",),
    "models.torch.torch_action_dist.TorchCategorical": (
        *_DISTRIBUTION,
        "f(t.clone(), None, 2.0).logp(torch.tensor([0, 1]))",
    ),
    "models.torch.torch_action_dist.TorchDiagGaussian": (
        *_NUMBERS,
        "f(a4, {}).entropy()",
        "f(a4, {}).kl(f(a4 + 1, {}))",
    ),
    "models.torch.torch_action_dist.TorchSquashedGaussian": (
        *_NUMBERS,
        "f(a4, {}).entropy()",
        "f(a4, {}).kl(f(a4 + 1, {}))",
    ),
    "models.torch.torch_action_dist.TorchBeta": (
        "f(a4, {}, -1.0, 1.0).logp(torch.tensor([[0.3, 0.4], [0.2, -0.1]]))",
        *_NUMBERS[1:],
        "f(a4, {}).entropy().shape",
    ),
    "models.torch.torch_action_dist.TorchDeterministic": (
        "f(t, None).deterministic_sample()",
        "f(t, None).sample()",
        "f(t, None).sampled_action_logp()",
    ),
    "models.torch.torch_action_dist.TorchDirichlet": (
        "f(t, None).logp(torch.tensor([[0.2, 0.3, 0.5], [0.5, 0.25, 0.25]]))",
        "f(t, None).entropy()",
        "f(t, None).deterministic_sample()",
        "f(t, None).sample().shape",
    ),
    "models.torch.torch_action_dist.TorchMultiCategorical": (
        "f(a4, None, [2, 2]).logp(torch.tensor([[0, 1], [1, 1]]))",
        "f(a4, None, [2, 2]).entropy()",
        "f(a4, None, [2, 2]).deterministic_sample()",
        "f(a4, None, [2, 2]).kl(f(a4 + a4 ** 2, None, [2, 2]))",
        "f(a4, None, [2, 2]).multi_entropy()",
        "type(f(a4, None, [2, 2]).sample()).__name__",
        "f(a4, None, [2, 2]).logp([torch.tensor([0, 1]), torch.tensor([1, 1])])",
        "f.required_model_output_shape(MultiDiscrete([2, 3]), {})",
    ),
    "models.torch.torch_action_dist.TorchMultiActionDistribution": (
        "multi(f).logp({'a': torch.tensor([[0.5, 0.1], [0.2, 0.3]]), 'b': torch.tensor([0, 2])})",
        "multi(f).logp([torch.tensor([[0.5, 0.1], [0.2, 0.3]]), torch.tensor([0, 2])])",
        "multi(f).logp([torch.tensor([[0.5, 0.1], [0.2, 0.3]]), torch.tensor([[0], [2]])])",
        "multi(f).logp(torch.tensor([[0.5, 0.1, 0.0], [0.2, 0.3, 2.0]]))",
        "multi(f).logp(np.array([[0.5, 0.1, 0.0], [0.2, 0.3, 2.0]], np.float32))",
        "multi(f).entropy()",
        "multi(f).kl(multi(f))",
        "multi(f).deterministic_sample()",
        "sorted(multi(f).sample())",
        "multi(f).input_lens",
        "len(multi(f).flat_child_distributions)",
        "sorted(multi(f).action_space_struct)",
        "(lambda d: (d.sample(), d.sampled_action_logp().shape)[1])(multi(f))",
    ),
    "models.torch.torch_action_dist.get_torch_categorical_class_with_temperature": (
        "f(2.0)(t.clone(), None).logp(torch.tensor([0, 1]))",
    ),
    "models.utils.get_activation_fn": tuple(
        f"f({name!r}, 'torch')"
        for name in ("relu", "ReLU", "tanh", "swish", "silu", "elu", "linear", None, "GELU", "no")
    ),
    "models.utils.get_filter_config": tuple(
        f"f({shape})"
        for shape in (
            "(84, 84, 3)",
            "(42, 42, 1)",
            "(96, 96)",
            "(64, 64, 3)",
            "(10, 10, 3)",
            "(3, 84, 84)",
            "(7, 9, 3)",
        )
    ),
    "models.utils.get_initializer": (
        "f('xavier_uniform', 'torch').__name__",
        "f('xavier_normal', 'torch').__name__",
        "f(None, 'torch').__name__",
        "f('no', 'torch')",
    ),
    "models.utils.get_initializer_fn": ("f('normal_').__name__", "f(None)", "f('normal')", "f('no_')"),
    "policy.rnn_sequencing.add_time_dimension": (
        "f(torch.arange(12).reshape(6, 2), seq_lens=torch.tensor([3, 2]), framework='torch')",
        "f(torch.arange(12).reshape(6, 2), seq_lens=torch.tensor([3, 2]), framework='torch', time_major=True)",
        "f(np.arange(12).reshape(6, 2), seq_lens=np.array([3, 2]), framework='np')",
        "f(np.arange(12).reshape(6, 2), seq_lens=np.array([3, 2]), framework='torch')",
    ),
    "policy.rnn_sequencing.chop_into_sequences": (
        "f(episode_ids=[1, 1, 5, 5, 5, 5], unroll_ids=[4] * 6, agent_indices=[0] * 6, max_seq_len=3,"
        " feature_columns=[[4, 4, 8, 8, 8, 8], [1, 1, 0, 1, 1, 0]], state_columns=[[4, 5, 4, 5, 5, 5]])",
        "f(episode_ids=[1, 1, 5], unroll_ids=[4] * 3, agent_indices=[0] * 3, max_seq_len=4, dynamic_max=False,"
        " feature_columns=[np.arange(6.0).reshape(3, 2)], state_columns=[np.arange(3.0)], padding='last')",
        "f(seq_lens=np.array([1, 2]), max_seq_len=4, feature_columns=[{'x': np.arange(3)}], state_columns=[],"
        " handle_nested_data=True, _extra_padding=1)",
        "f(episode_ids=[1, 1], unroll_ids=[0, 1], agent_indices=[0, 0], max_seq_len=4,"
        " feature_columns=[['x', 'y']], state_columns=[], dynamic_max=False)",
    ),
    "policy.rnn_sequencing.get_fold_unfold_fns": (
        "f(2, 3, 'torch')[0]({'x': torch.ones(2, 3, 4), 'y': None})['x'].shape",
        "f(2, 3, 'torch')[1](torch.ones(6, 4)).shape",
    ),
    "policy.rnn_sequencing.pad_batch_to_sequences_of_same_size": (
        "(lambda b: (f(b, 2), plain(b), b.max_seq_len, b.zero_padded)[1:])(rows(B, unroll_id=[0] * 6,"
        " agent_index=[0] * 6, state_in_0=np.arange(6.0)))",
        "(lambda b: (f(b, 4), plain(b), b.max_seq_len, b.zero_padded)[1:])(seqs(B))",
    ),
    "policy.sample_batch.SampleBatch": (
        "len(rows(f))",
        "rows(f).count",
        "len(f())",
        "bool(f())",
        "bool(rows(f))",
        "len(seqs(f))",
        "repr(rows(f))",
        "repr(seqs(f))",
        "plain(rows(f)[1:4])",
        "plain(rows(f)[:2])",
        "plain(rows(f)[4:])",
        "plain(rows(f)[2:100])",
        "plain(seqs(f)[0:5])",
        "plain(seqs(f)[2:6])",
        "plain(seqs(f).slice(1, 4))",
        "plain(seqs(f).slice(2, 5))",
        "plain(seqs(f).slice(-2, 3))",
        "plain(rows(f).slice(1, 3))",
        "plain(seqs(f).slice(0, 5, 0, 2))",
        "plain(rows(f).copy())",
        "(lambda b: b.copy(shallow=True)['obs'] is b['obs'])(rows(f))",
        "(lambda b: np.shares_memory(b.copy(shallow=True)['obs'], b['obs']))(rows(f))",
        "(lambda b: np.shares_memory(b.copy()['obs'], b['obs']))(rows(f))",
        "[len(b) for b in rows(f).timeslices(2)]",
        "[len(b) for b in rows(f).timeslices(num_slices=4)]",
        "[len(b) for b in rows(f).timeslices(k=3)]",
        "[len(b) for b in rows(f).split_by_episode()]",
        "[len(b) for b in rows(f).split_by_episode(key='dones')]",
        "[len(b) for b in f({'obs': np.arange(3), 'terminateds': [True, False, False]}).split_by_episode()]",
        "plain(rows(f).concat(rows(f)))",
        "plain(seqs(f).concat(seqs(f)))",
        "list(rows(f).rows())[1]",
        "list(seqs(f).rows())[1]",
        "rows(f).columns(['actions', 'eps_id'])",
        "rows(f)['dones']",
        "f({'dones': [1]})",
        "f(dones=[1])",
        "rows(f).is_terminated_or_truncated()",
        "rows(f).is_single_trajectory()",
        "rows(f)[2:5].is_single_trajectory()",
        "plain(seqs(f).right_zero_pad(4))",
        "rows(f).right_zero_pad(4)",
        "seqs(f).max_seq_len",
        "rows(f).max_seq_len",
        "type(rows(f).to_device('cpu')['obs']).__name__",
        "rows(f).to_device('cpu')['obs'].dtype",
        "rows(f).size_bytes()",
        "rows(f).get('nothing')",
        "rows(f).get('nothing', 3)",
        "rows(f).is_training",
        "f({'obs': [1.0]}, is_training=True).is_training",
        "(lambda b: (b.set_training(), b.is_training)[1])(rows(f))",
        "rows(f).agent_steps()",
        "rows(f).env_steps()",
        "sorted(rows(f).shuffle()['actions'].tolist())",
        "seqs(f).shuffle()",
        "f({'obs': {'x': np.arange(3), 'y': (np.ones((3, 2)),)}})[1:]['obs']['y'][0]",
        "len(f({'obs': {'x': np.arange(3)}}))",
        "(lambda b: (b.set_get_interceptor(lambda v: v * 2), b['actions'])[1])(rows(f))",
        "f(rewards=[1.0])['rewards']",
        "(f.CUR_OBS, f.NEXT_OBS, f.DONES, f.ENV_ID, f.VALUES_BOOTSTRAPPED, f.ACTION_DIST, f.OBS_EMBEDS, f.ATTENTION_MASKS)",
        "rows(f)['nothing']",
        "plain(f({'obs': np.arange(4), 'infos': [{}, {'a': 1}, {}, {}]})[1:3])",
    ),
    "policy.sample_batch.concat_samples": (
        "plain(f([rows(B), rows(B)[2:4]]))",
        "len(f([]))",
        "plain(f([seqs(B), seqs(B)]))",
        "plain(f([B({'obs': torch.ones(2)}), B({'obs': torch.zeros(1)})]))",
    ),
    "policy.sample_batch.attempt_count_timesteps": ("f({'obs': np.ones((3, 2))})", "f({'seq_lens': [2, 1]})", "f({})"),
    "policy.view_requirement.ViewRequirement": (
        "f('obs', shift='-3:-1').shift_arr",
        "f('obs', shift=[0, -2]).shift_arr",
        "f('obs', shift=-1).shift_arr",
        "f('obs', shift='-3:-1').shift_from",
        "f('obs', shift='-3:-1').shift_to",
        "f('obs', shift=-1).shift_from",
        "sorted(f('obs', Box(-1, 1, (2,)), shift='-3:-1').to_dict())",
        "f.from_dict(f('obs', Box(-1, 1, (2,)), shift='-3:-1').to_dict()).space",
        "f.from_dict(f('obs', shift=[0, -1], used_for_training=False).to_dict()).shift",
        "(lambda v: (setattr(v, 'used_for_training', False), v.used_for_training)[1])(f())",
    ),
    "utils.add_mixins": (
        "f(dict, [type('M', (), {'x': 3})]).x",
        "[c.__name__ for c in f(object, [type('A', (), {}), type('B', (), {})]).__mro__][-4:]",
    ),
    "utils.annotations.override": ("(lambda m: f(dict)(m) is m)(dict.get)",),
    "utils.deep_update": (
        "f({'a': {'b': 1}, 'c': 2}, {'a': {'b': 3}})",
        "f({'a': 1}, {'b': 2})",
        "f({'a': 1}, {'b': 2}, new_keys_allowed=True)",
    ),
    "utils.merge_dicts": ("f({'a': {'b': 1, 'c': 2}}, {'a': {'b': 3}, 'd': 4})",),
    "utils.force_list": ("f()", "f(3)", "f((1, 2))", "f([1])", "f(3, to_tuple=True)"),
    "utils.deprecation.deprecation_warning": ("f('a', 'b')", "f('a', error=True)", "f('a', error=KeyError)"),
    "utils.filter.MeanStdFilter": (
        "pushed(f((2,), clip=None), [1.0, 2.0], [3.0, 0.0], [2.0, 5.0])(np.array([2.0, 2.0]), update=False)",
        "pushed(f(()), 5.0)(np.array(5.0), update=False)",
        "pushed(f((1,)), [1.0], [2.0]).running_stats.n",
        "(lambda m: (m.reset_buffer(), m.buffer.n, m.running_stats.n)[1:])(pushed(f((1,)), [1.0]))",
        "(lambda m, o: (m.apply_changes(o), m.running_stats.mean)[1])(f((1,)), pushed(f((1,)), [1.0], [4.0]))",
        "(lambda m, o: (m.apply_changes(o, with_buffer=True), m.buffer.n)[1])(f((1,)), pushed(f((1,)), [1.0], [4.0]))",
        "(lambda m: (m.sync(pushed(f((1,), clip=2.0), [3.0])), m.clip, m.running_stats.mean)[1:])(f((1,)))",
        "pushed(f((1,)), [1.0], [4.0]).as_serializable().running_stats.mean",
        "pushed(f((1,)), [1.0], [4.0]).copy().buffer.n",
        "pushed(f((1,)), [1.0], [4.0]).running_stats.std",
        "f((1,))(np.array([[1.0], [2.0], [3.0]]))",
        "pushed(f((1,)), [1.0])(np.array([1], np.int64)).dtype",
    ),
    "utils.filter.NoFilter": ("f()(3.0)", "f().as_serializable().reset_buffer()", "f()((1, 2))"),
    "utils.filter.get_filter": (
        "type(f('MeanStdFilter', (2,))).__name__",
        "f('MeanStdFilter', (2,)).clip",
        "type(f('NoFilter', None)).__name__",
        "f('no', ())",
    ),
    "utils.framework.convert_to_tensor": ("f({'x': a}, 'torch')", "f(a, 'np')"),
    "utils.framework.get_variable": (
        "f(3.0, framework='torch')",
        "f(3.0, framework='torch', torch_tensor=True)",
        "f(a, framework='torch', torch_tensor=True, dtype=np.float32, trainable=True).requires_grad",
    ),
    "utils.framework.tf_function": ("f(None)(abs)(-3)",),
    "utils.framework.try_import_tf": ("f()[0]", "bool(f()[1])", "f()[2]", "isinstance(f()[1].keras.Model, type)"),
    "utils.framework.try_import_torch": ("f()[0].__name__",),
    "utils.lambda_defaultdict.LambdaDefaultDict": ("f(lambda k: k * 2)['ab']", "f(3)"),
    "utils.numpy.convert_to_numpy": (
        "f({'x': torch.ones(2, dtype=torch.float64), 'n': 7})",
        "f(torch.tensor(3.5))",
        "f(torch.ones(2, dtype=torch.int64))",
        "f(torch.ones(2, dtype=torch.int64), reduce_type=False)",
        "f(np.ones(2))",
        "f(torch.ones(2, dtype=torch.bool))",
        "f('x')",
        "f(None)",
    ),
    "utils.numpy.fc": ("f(a, np.ones((3, 2)), np.array([1.0, 2.0]))", "f(a, torch.ones(2, 3), framework='torch')"),
    "utils.numpy.flatten_inputs_to_1d_tensor": (
        "f(nested, kinds)",
        "f(nested)",
        "f({'x': np.ones((2, 3, 4)), 'd': np.zeros((2, 3), int)}, {'x': Box(-1, 1, (4,)), 'd': Discrete(2)}, time_axis=True)",
        "f({'x': np.ones(3), 'm': np.array([1, 0])}, {'x': Box(-1, 1, (3,)), 'm': MultiDiscrete([2, 3])}, batch_axis=False)",
    ),
    "utils.numpy.huber_loss": ("f(a)", "f(a, 2.0)"),
    "utils.numpy.l2_loss": ("f(a)",),
    "utils.numpy.lstm": (
        "f(np.arange(12.0).reshape(2, 3, 2) / 10, np.arange(32.0).reshape(4, 8) / 30 - 0.5, np.arange(8.0) / 8)",
        "f(np.arange(12.0).reshape(3, 2, 2) / 10, np.arange(32.0).reshape(4, 8) / 30 - 0.5, np.arange(8.0) / 8, (np.ones((2, 2)), np.zeros((2, 2))), True)[1]",
    ),
    "utils.numpy.make_action_immutable": ("f(np.ones(2)).flags.writeable", "dict(f({'x': 1}))", "f(3)"),
    "utils.numpy.one_hot": (
        "f(2, depth=4)",
        "f(np.array([[0], [2]]))",
        "f(np.array([1.9]).astype(int), 3, 5, -1)",
        "f(np.array([True, False]))",
        "f(torch.tensor([1, 0]), 2, dtype=np.float64)",
        "f(np.array([3]), 2)",
    ),
    "utils.numpy.one_hot_multidiscrete": ("f(np.array([1, 2]), [2, 3])", "f(np.array([[1, 2], [0, 0]]), [2, 3])"),
    "utils.numpy.relu": ("f(a.copy())", "f(a.copy(), 0.5)"),
    "utils.numpy.sigmoid": ("f(a)", "f(a, derivative=True)"),
    "utils.numpy.softmax": ("f(a)", "f(a, 0)", "f(np.array([0.0, 100.0]), epsilon=0.1)"),
    "utils.schedules.ConstantSchedule": ("f(3.0).value(5)", "f(3.0)(5)"),
    "utils.schedules.ExponentialSchedule": ("f(100, initial_p=2.0, decay_rate=0.5).value(50)",),
    "utils.schedules.LinearSchedule": (
        "f(schedule_timesteps=100, final_p=0.5, framework=None).value(50)",
        "f(schedule_timesteps=100, final_p=0.5, framework=None, initial_p=2.0)(500)",
    ),
    "utils.schedules.PiecewiseSchedule": (
        "f([(0, 1.0), (10, 3.0)], framework=None, outside_value=7.0).value(5)",
        "f([(0, 1.0), (10, 3.0)], outside_value=7.0).value(10)",
        "f([(0, 1.0), (10, 3.0)]).value(10)",
    ),
    "utils.schedules.PolynomialSchedule": (
        "f(100, 0.5, None).value(50)",
        "f(100, 0.5, framework=None, initial_p=2.0, power=3.0)(25)",
    ),
    "utils.spaces.flexdict.FlexDict": (
        "(lambda d: (d.__setitem__('x', Discrete(2)), sorted(d.spaces))[1])(f({}))",
        "repr(f(x=Discrete(2)))",
        "f({'a': 3})",
    ),
    "utils.spaces.repeated.Repeated": (
        "f(Discrete(3), 4).contains([0, 2])",
        "f(Discrete(3), 1).contains([0, 2])",
        "f(Discrete(3), 4).max_len",
    ),
    "utils.spaces.simplex.Simplex": (
        "f((3,)).contains(np.array([0.2, 0.3, 0.5], np.float32))",
        "f((2, 3)).dim",
        "f((3,)).sample().sum().round(5)",
    ),
    "utils.spaces.space_utils.batch": (
        "f([{'a': 1, 'b': (4, 7.0)}, {'a': 2, 'b': (5, 8.0)}])",
        "f([{'a': np.ones(2)}, {'a': np.zeros(1)}], individual_items_already_have_batch_dim=True)",
        "f([])",
    ),
    "utils.spaces.space_utils.clip_action": ("f(action, struct)",),
    "utils.spaces.space_utils.convert_element_to_space_type": (
        "f({'x': np.ones(2), 'n': 3.0}, {'x': np.ones(2, np.float32), 'n': 1})",
        "f(2, np.array(1.0, np.float32))",
    ),
    "utils.spaces.space_utils.flatten_space": ("f(space)", "f(Discrete(2))"),
    "utils.spaces.space_utils.flatten_to_single_ndarray": (
        "f(action)",
        "f(np.ones((2, 2)))",
        "f([np.ones((2, 2)), np.zeros(1)])",
    ),
    "utils.spaces.space_utils.from_jsonable_if_needed": ("f([1], Discrete(2))",),
    "utils.spaces.space_utils.get_base_struct_from_space": ("f(space)", "f(Discrete(2))"),
    "utils.spaces.space_utils.get_dummy_batch_for_space": (
        "f(space, 2)",
        "f(Box(-1, 1, (2,)), 3, fill_value=0.5)",
        "f(Discrete(3), 2, time_size=3)",
        "f(Box(-1, 1, (2,)), 2, time_size=3, time_major=True).shape",
        "f(Discrete(3), 2, one_hot_discrete=True)",
        "f(Box(-1, 1, (2,)), 0)",
        "f(Box(-1, 1, (2,)), 3, fill_value='random').shape",
    ),
    "utils.spaces.space_utils.get_original_space": ("f(Discrete(2))",),
    "utils.spaces.space_utils.is_composite_space": (
        "f(space)",
        "f(Discrete(2))",
        "f(gym.spaces.Sequence(Discrete(2)))",
    ),
    "utils.spaces.space_utils.normalize_action": ("f(action, struct)",),
    "utils.spaces.space_utils.to_jsonable_if_needed": ("f(1, Discrete(2))",),
    "utils.spaces.space_utils.unbatch": (
        "f({'a': np.array([1, 2]), 'b': (np.array([4, 5]), np.array([7.0, 8.0]))})",
        "f(np.arange(3))",
    ),
    "utils.spaces.space_utils.unsquash_action": (
        "f(action, struct)",
        "f(np.array([1, 2]), Box(3, 9, (2,), np.int32))",
        "f(np.array([0.5]), Box(-np.inf, 1, (1,)))",
    ),
    "utils.tensor_dtype.get_np_dtype": ("f(t)", "f(a)", "f(3)"),
    "utils.threading.with_lock": (
        "f(lambda self: 3)(type('L', (), {'_lock': __import__('threading').RLock()})())",
        "f(lambda self: 3)(object())",
    ),
    "utils.torch_utils.apply_grad_clipping": (
        "(lambda p: (setattr(p, 'grad', torch.tensor([3.0, 4.0])), f(type('P', (), {'config': {'grad_clip': 1.0}}), optimiser(p), None), p.grad)[1:])(torch.nn.Parameter(torch.zeros(2)))",
        "f(type('P', (), {'config': {'grad_clip': 1.0}}), optimiser(torch.nn.Parameter(torch.zeros(2))), None)",
    ),
    "utils.torch_utils.clip_gradients": tuple(
        f"(lambda g: (f(g, grad_clip={clip}, grad_clip_by={by!r}), g))({given})"
        for clip, by, given in (
            (2.0, "value", "gradients()"),
            (2.0, "norm", "gradients()"),
            (6.5, "global_norm", "{k: v for k, v in gradients().items() if v is not None}"),
            (None, "norm", "gradients()"),
            (50.0, "global_norm", "{k: v for k, v in gradients().items() if v is not None}"),
            (1.0, "no", "gradients()"),
        )
    ),
    "utils.torch_utils.compute_global_norm": ("f([torch.tensor([3.0, 4.0]), torch.tensor([12.0])])", "f([])"),
    "utils.torch_utils.convert_to_torch_tensor": (
        "f({'x': a, 'n': 3, 'z': None, 'o': np.array([{}], object), 's': np.array(['a'])})",
        "f(np.ones(2))",
        "f(np.ones(2, np.float16))",
        "f([1, 2])",
        "f(True)",
        "f(torch.ones(2, dtype=torch.float64), 'cpu')",
        "f(a, 'cpu', pin_memory=True)",
        "f((np.arange(2), [np.zeros(1)]))",
        "f(np.arange(3, dtype=np.uint8))",
    ),
    "utils.torch_utils.copy_torch_tensors": ("f({'x': t, 'y': 3})", "(lambda x: f(x) is x)(t)"),
    "utils.torch_utils.explained_variance": (
        "f(t[0], t[0])",
        "f(t[0], -10 * t[0])",
        "f(t[0], t[1])",
        "f(torch.ones(3), torch.ones(3))",
    ),
    "utils.torch_utils.flatten_inputs_to_1d_tensor": (
        "f({k: v for k, v in totensor(nested).items()}, kinds)",
        "f(totensor(nested))",
        "f({'x': torch.ones(2, 3, 4), 'd': torch.zeros(2, 3)}, {'x': Box(-1, 1, (4,)), 'd': Discrete(2)}, time_axis=True)",
    ),
    "utils.torch_utils.global_norm": ("f([torch.tensor([3.0, 4.0]), torch.tensor([12.0])])",),
    "utils.torch_utils.huber_loss": ("f(t)", "f(t, 2.0)"),
    "utils.torch_utils.l2_loss": ("f(t)",),
    "utils.torch_utils.one_hot": (
        "f(torch.tensor([2, 0]), Discrete(3))",
        "f(ints, MultiDiscrete([2, 3]))",
        "f(torch.tensor([[[0, 1], [1, 2]]]), MultiDiscrete([[2, 2], [2, 3]]))",
        "f(t, Box(-1, 1, (3,)))",
    ),
    "utils.torch_utils.reduce_mean_ignore_inf": ("f(torch.tensor([[1.0, -float('inf')], [3.0, 5.0]]), 1)", "f(t, 0)"),
    "utils.torch_utils.sequence_mask": (
        "f(lens)",
        "f(lens, 4)",
        "f(lens, time_major=True)",
        "f(lens, dtype=torch.float32)",
    ),
    "utils.torch_utils.set_torch_seed": ("f(None)",),
    "utils.torch_utils.softmax_cross_entropy_with_logits": ("f(t, torch.softmax(t, 1))",),
    "utils.torch_utils.update_target_network": (
        "(lambda x, y: (f(x, y, 0.25), y.weight)[1])(seeded(1, lambda: torch.nn.Linear(2, 2)), seeded(2, lambda: torch.nn.Linear(2, 2)))",
    ),
    "utils.torch_utils.minimize_and_clip": (
        "(lambda p: (setattr(p, 'grad', torch.tensor([3.0, 4.0])), f(optimiser(p), 1.0), p.grad)[2])(torch.nn.Parameter(torch.zeros(2)))",
    ),
}

LATE = """
a4 = torch.tensor([[0.5, -1.0, 2.0, 0.1], [0.0, 0.25, -0.5, -1.0]]) * 0.5
struct = {"b": Discrete(3), "a": (Box(-2, 4, (2,)), MultiDiscrete([2, 3]))}
space_value = {"b": 1, "a": (np.array([0.5, -1.0], np.float32), np.array([1, 2]))}
B = module("policy.sample_batch").SampleBatch
M = module("models.catalog").MODEL_DEFAULTS
def totensor(x): return {"b": torch.tensor(x["b"]), "a": tuple(map(torch.tensor, x["a"]))}
def multi(f):
    dists = module("models.torch.torch_action_dist")
    return f(torch.cat([a4, t], 1), None, child_distributions=[dists.TorchDiagGaussian, dists.TorchCategorical],
             input_lens=[4, 3], action_space=Dict({"a": Box(-1, 1, (2,)), "b": Discrete(3)}))
"""
"""More of the prelude, which takes names of the library under test by ``module(path)``."""
