"""The pipeline of a policy as a tree for people to read."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from rich.markup import escape
from rich.text import Text
from rich.tree import Tree

from anyspace import nesting, tree
from anyspace.distributions import MultiActionDistribution
from anyspace.models.view_requirement import ViewRequirement
from anyspace.policy.policy import Policy
from anyspace.spaces import LeafSpec, Simplex, describe_images
from anyspace.spaces.prepared import describe_readings


def pipeline_tree(policy: Policy, title: str) -> Tree:
    """Return what each leaf of the observation turns into, the model's layers, the distribution, the actions."""
    root = Tree(Text(title, style="bold"))
    _add_observation(root, policy)
    root.add(f"[bold]masks[/] of actions: {escape(mask_source(policy))}")
    _add_model(root, policy)
    _add_distribution(root, policy)
    _add_actions(root, policy)
    return root


def _add_observation(root: Tree, policy: Policy) -> None:
    branch = root.add("[bold]observation[/] -> preprocessor -> filter")
    for position, leaf in enumerate(policy.preprocessor.specs):
        branch.add(Text(f"{leaf.place()}  {leaf.space}  ->  {fate(leaf, position, policy)}"))
    for sentence in describe_readings(policy.observation_space, "obs"):
        branch.add(Text(sentence))
    for sentence in describe_images(policy.encode.specs):
        branch.add(Text(sentence))
    if policy.config.preprocesses:
        branch.add(f"flat: {policy.shown.size} float32 values ({type(policy.shown).__name__})")
    else:
        branch.add("preprocessing is off: the model sees the structure as it is")


def fate(leaf: LeafSpec, position: int, policy: Policy) -> str:
    """Return what a leaf of the observation turns into, in words."""
    if position in policy.masking.positions:
        feature = "no feature of the model" if policy.masking.shown else "a feature of the model as well"
        return f"mask of the action, {leaf.dtype} {leaf.shape}, {feature}"
    steps = []
    if leaf.kind == "index" and policy.config.preprocesses:
        hots = f"{len(leaf.nvec)} one-hots" if len(leaf.nvec) > 1 else "one-hot"
        each = " for each of at most " + " x ".join(map(str, leaf.repeats)) if leaf.repeats else ""
        return f"{hots}{each}, {leaf.width} values"
    if position in policy.stacks:
        steps.append(f"{leaf.stack} frames, of which the newest is stored")
    if leaf.image is not None:
        layout = leaf.image
        order = "first" if layout.channels_first else "last"
        steps.append(f"picture of {layout.height} x {layout.width} pixels, channels ({layout.channels}) {order}")
    if policy.config.preprocesses and (leaf.shift, leaf.scale) != (0.0, 1.0):
        steps.append(f"{'' if leaf.shift == 0 else f'less {leaf.shift:g}, '}divided by {1 / leaf.scale:g}")
    if leaf.path in policy.filter.paths:
        steps.append("normalised by its running mean and deviation")
    return ", ".join([f"{'float32' if policy.config.preprocesses else leaf.dtype} {leaf.shape}", *steps])


def _add_model(root: Tree, policy: Policy) -> None:
    layers = policy.runtime.layers(policy.model)
    total = sum(layer.parameters for layer in layers)
    branch = root.add(
        f"[bold]model[/] {type(policy.model).__name__}, {total:,} parameters, {policy.runtime.framework} on"
        f" {policy.runtime.device}"
    )
    for layer in layers:
        branch.add(Text(f"{layer.name}  {layer.kind}  {layer.shape}  {layer.parameters:,} parameters"))
    _add_views(root, policy)


def _add_views(root: Tree, policy: Policy) -> None:
    views = policy.views
    if not (views.rows or views.states):
        return
    branch = root.add("[bold]memory and views[/] of other steps")
    for initial, view in zip(views.initial, views.states, strict=True):
        branch.add(Text(f"{view.data_col}  {initial.dtype} {initial.shape}  of steps {_steps(view)}"))
    for name, view in views.rows.items():
        when = "" if view.used_for_compute_actions else ", in training alone"
        branch.add(Text(f"{name}  <-  {view.data_col} of steps {_steps(view)}{when}"))
    if views.recurrent:
        branch.add(f"learns from sequences of at most {policy.max_seq_len} steps")


def _steps(view: ViewRequirement) -> str:
    first, last = view.offsets[0], view.offsets[-1]
    if len(view.offsets) > 2 and view.offsets == tuple(range(first, last + 1)):
        return f"{_step(first)} to {_step(last)}"
    return ", ".join(map(_step, view.offsets))


def _step(offset: int) -> str:
    return f"t {'-' if offset < 0 else '+'} {abs(offset)}" if offset else "t"


def _add_distribution(root: Tree, policy: Policy) -> None:
    name, parts = named_parts(policy)
    branch = root.add(f"[bold]distribution[/] {name}, takes {policy.num_outputs} model outputs")
    for place, kind in parts:
        branch.add(Text(f"{place}  {kind}"))


def named_parts(policy: Policy) -> tuple[str, list[tuple[str, str]]]:
    """Return the name of a policy's distribution, and the place and the name of each part, if it is made of parts."""
    blank = policy.runtime.asarray(np.zeros((1, policy.num_outputs), np.float32))
    distribution = policy.distribution(blank)
    if not isinstance(distribution, MultiActionDistribution):
        return type(distribution).__name__, []
    leaves = zip(nesting.iter_leaves(policy.action_space), distribution.children, strict=True)
    return type(distribution).__name__, [
        (tree.place("action", path), type(child).__name__) for (path, _), child in leaves
    ]


def _add_actions(root: Tree, policy: Policy) -> None:
    branch = root.add("[bold]action[/] -> environment")
    for path, space in nesting.iter_leaves(policy.action_space):
        branch.add(Text(f"{tree.place('action', path)}  {space}  <-  {origin(space, policy)}"))
    for sentence in describe_readings(policy.env_action_space, "action"):
        branch.add(Text(sentence))


def origin(space: gym.Space[Any], policy: Policy) -> str:
    """Return what makes a part of the action, in words."""
    match space:
        case spaces.MultiBinary():
            return "bits"
        case Simplex():
            return "shares that sum to 1"
        case spaces.Discrete() | spaces.MultiDiscrete():
            return "index, start added" if np.any(space.start) else "index"
        case spaces.Box() if space.dtype.kind == "f":
            return _origin_of_numbers(space, policy)
        case spaces.Box():
            return "index, low added"
    return "index"


def _origin_of_numbers(space: spaces.Box, policy: Policy) -> str:
    scaled = policy.config.normalize_actions and bool(np.any(space.bounded_below & space.bounded_above))
    clipped = policy.config.normalize_actions or policy.config.clip_actions
    steps = ["scaled from [-1, 1] to the bounds"] * scaled + ["clipped"] * clipped
    return ", ".join(steps) or "as sampled"


def mask_source(policy: Policy) -> str:
    """Say where masks of actions come from, or where none were found."""
    masking, key = policy.masking, policy.config.action_mask_key
    if not masking.width:
        return "none, for the action has no separate options"
    if key is None:
        return "none are looked for, as `action_mask_key` is None"
    places = {
        "observation": f"{tree.place('obs', (key,))}, {masking.width} entries",
        "infos": f"info[{key!r}] of the environment, {masking.width} entries",
        "method": f"the environment's method action_masks(), {masking.width} entries",
    }
    nowhere = f"no {tree.place('obs', (key,))}, no method action_masks() and no info[{key!r}] after a reset"
    origin = masking.found_origin()
    return "not known before the first reset" if origin is None else places.get(origin, f"no masks: there is {nowhere}")
