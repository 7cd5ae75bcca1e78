"""From recorded columns to recordings: observations are encoded, actions brought to what distributions draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from anyspace import nesting, tree
from anyspace.data.offline.forms import Forms
from anyspace.data.offline.recording import Recording, ends_of
from anyspace.data.offline.remedies import of_files, require_columns
from anyspace.data.trajectory import Bools, Floats, ObsLeaves
from anyspace.errors import ConfigError, ObservationError
from anyspace.maths.limits import IMPOSSIBLE
from anyspace.models.runtime import NumpyArray
from anyspace.policy.policy import Policy
from anyspace.spaces import Encoder, find_fault, get_preprocessor, normalize_action
from anyspace.spaces.decoding import options, unscaled_samples
from anyspace.spaces.encoding import batch_shape
from anyspace.tree import Tree

Where = Callable[[int], str]
"""Spells the place of a row."""


class ColumnReader:
    """Makes recordings of columns.

    Observations (``obs``, ``new_obs``) come in any of these forms:

    * as the environment gave them, stacked: arrays [N, ...] nested as the space is, a list of N values where something
      varies in length;
    * as flat vectors [N, F] of a preprocessor, one-hot where the space has indices, pictures unscaled;
    * as encoded parts [N, ...] in an object, under the parts' places: ``{'obs["kind"]': [...], ...}``.

    Actions come as [N, ...], those of several parts flat, side by side, or nested.

    Args:
        policy: whose spaces they have to be of.
        normalized: whether actions are samples, indices from 0 and numbers in which -1 and 1 stand for the bounds;
            else they are the environment's.
        needs_values: whether values are learnt, which takes rewards, ends and what the steps led to.
        collect: further columns of numbers to read.
    """

    def __init__(
        self, policy: Policy, *, normalized: bool = True, needs_values: bool = True, collect: Sequence[str] = ()
    ):
        self._policy, self._normalized, self._needs_values = policy, normalized, needs_values
        self._collect = list(collect)
        self._has_masks: bool | None = None
        self._unscaled = get_preprocessor(policy.observation_space, scale_images=False)
        self._specs = {spec.place(): spec for spec in policy.encode.specs}
        self._encode_action = Encoder(policy.action_space)
        self._widths = [int(np.prod(leaf.shape or ())) for leaf in nesting.leaves(policy.action_space)]
        self._forms = Forms(
            {
                "obs": (policy.observation_space, self._unscaled.size),
                "actions": (policy.action_space, sum(self._widths)),
            }
        )

    @property
    def wanted(self) -> list[str]:
        """Names of the columns that are read, where they are there."""
        known = ["obs", "actions", "rewards", "terminateds", "truncateds", "eps_id", "t", "action_mask", "action_logp"]
        return [*known, *(["new_obs"] if self._needs_values else []), *self._collect]

    def knows(self, columns: Mapping[str, Any]) -> bool:
        """Return whether the forms of some columns are known, by themselves or by columns that were read before."""
        return all(self._forms.is_known(name, columns.get(name)) for name in ("obs", "actions"))

    def __call__(self, columns: Mapping[str, Any], place: str) -> Recording:
        """Return the recording of some columns.

        Args:
            columns: arrays, lists or nested ones by name, of N rows each.
            place: of the columns, for messages.

        Raises:
            ConfigError: a column is missing, or has another number of rows.
            ObservationError: a value is outside its space; the message names place, row and part.
        """
        self._require(columns, place)

        def where(row: int) -> str:
            return f"{place}, row {row}"

        obs = self._leaves("obs", columns["obs"], where, _rows_of(columns))
        rows = len(obs[0])
        obs += self._mask(columns, rows, place)
        following = None
        if self._needs_values and "new_obs" in columns:
            following = self._leaves("new_obs", columns["new_obs"], where, rows)
            _require_rows("new_obs", len(following[0]), rows, place)
            # What a last observation allows is not recorded: everything.
            following += [np.ones((rows, *mask.shape[1:]), np.bool_) for mask in obs[len(following) :]]
        flags = {name: self._flags(columns, name, rows, place) for name in ("terminateds", "truncateds")}
        over = flags["terminateds"] | flags["truncateds"]
        over[:-1] |= self._borders(columns, obs, following, rows, place)
        ends = ends_of(over, flags["terminateds"], has_next=following is not None or not self._needs_values)
        actions, kept = self._actions(columns["actions"], rows, place), ends.kept
        self._require_allowed(obs, actions, where)
        terminated = flags["terminateds"][kept]
        truncated = np.zeros_like(terminated)
        truncated[ends.last] = ~terminated[ends.last]
        return Recording(
            obs=[leaf[kept] for leaf in obs],
            actions=tree.map_leaves(lambda leaf: leaf[kept], actions),
            rewards=self._numbers(columns, "rewards", rows, place, 0.0)[kept],
            terminated=terminated,
            truncated=truncated,
            final_obs=[leaf[ends.led_to] for leaf in (obs if following is None else following)],
            action_logp=self._numbers(columns, "action_logp", rows, place, np.nan)[kept],
            collected={name: self._numbers(columns, name, rows, place)[kept] for name in self._collect},
        )

    def _require(self, columns: Mapping[str, Any], place: str) -> None:
        needed = ["obs", "actions", *self._collect]
        if self._needs_values:
            needed += ["rewards", "terminateds"]
        require_columns(columns, needed, place)

    # ------------------------------------------------------------------------------------- observations

    def _leaves(self, name: str, value: Any, where: Where, rows: int | None) -> ObsLeaves:
        """Return the encoded leaves [N, ...] of observations in any of their forms; ``rows`` is N where it is known."""
        policy = self._policy
        if isinstance(value, list) and [spec.dtype for spec in self._specs.values()] == [np.uint64]:
            value = dict.fromkeys(self._specs, value)
        if isinstance(value, dict) and value.keys() == self._specs.keys():
            leaves = [self._encoded(place, value[place], where) for place in self._specs]
        elif (flat := self._flat(value, rows)) is not None and self._forms.note("obs", value, has_rows=True):
            leaves = self._unflattened(flat, where)
        else:
            self._forms.note("obs", value, has_rows=False)
            try:
                leaves = [*policy.encode(value, where)]
            except ObservationError as error:
                raise ObservationError(f"{where(0)} and after it, column {name!r}: {of_files(error)}") from error
        if len(batch_shape(policy.encode.specs[0], leaves[0])) != 1:
            raise ObservationError(
                f"{where(0)} and after it, column {name!r}: expected observations [N, ...], of N steps, but the first"
                f" part has the shape {leaves[0].shape}."
            )
        counts = {spec.place(): len(leaf) for spec, leaf in zip(policy.encode.specs, leaves, strict=True)}
        if len({*counts.values()}) > 1:
            raise ObservationError(
                f"{where(0)} and after it, column {name!r}: expected as many rows of each part, got {counts}."
            )
        try:
            policy.require_valid(leaves, lambda row: where(row[0]))
        except ObservationError as error:
            raise ObservationError(of_files(error)) from None
        return leaves

    def _encoded(self, place: str, value: Any, where: Where) -> NumpyArray:
        spec = self._specs[place]
        array = _array(value)
        if array is not None and not array.size and 0 in spec.shape:
            array = array.reshape(len(array), *spec.shape)  # lists without numbers do not say all of their shape
        if array is not None and array.dtype == np.float64 and spec.dtype == np.uint64:
            array = np.asarray(value, object)  # NumPy makes floats of whole numbers on both sides of 2**63
        if array is None or array.shape[1:] != spec.shape:
            came = "no array" if array is None else f"shape {array.shape}"
            expected = ", ".join(("N", *map(str, spec.shape)))
            raise ObservationError(f"{where(0)} and after it: {place}: expected an array [{expected}], got {came}.")
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                stored = array.astype(spec.dtype)
        except (OverflowError, ValueError) as error:
            raise ObservationError(
                f"{where(0)} and after it: {place}: expected values of {spec.dtype}: {error}."
            ) from error
        _require_equal(stored, array, lambda row: f"{where(row)}: {place}: expected values of {spec.dtype}")
        return stored

    def _flat(self, value: Any, rows: int | None) -> NumpyArray | None:
        """Return observations that are flat vectors [N, F] and nothing else, or None.

        The parts of a Tuple, [N] each, look like flat vectors where N is F: two choices of 2 and of 3, in 5 steps.
        """
        array = None if isinstance(value, dict) else _array(value)
        first = self._unscaled.specs[0]
        is_raw = self._unscaled.is_array and array is not None and array.shape[1:] == first.space.shape
        if array is None or is_raw or array.ndim != 2 or array.shape[1] != self._unscaled.size:
            return None
        return array if nesting.is_leaf(self._policy.observation_space) or rows in (None, len(array)) else None

    def _unflattened(self, flat: NumpyArray, where: Where) -> ObsLeaves:
        leaves = self._unscaled.unflatten(flat)
        again = self._unscaled.flatten(leaves)
        wrong = np.argwhere(~(np.abs(again - flat) <= 1e-4 * np.maximum(1.0, np.abs(flat))))
        if len(wrong):
            row, slot = wrong[0]
            raise ObservationError(
                f"{where(row)}: slot {slot} of the flat observation is {flat[row, slot]}, which no observation of"
                f" {self._policy.observation_space} has there: indices are one-hot vectors, and whole numbers whole."
            )
        return [*leaves]

    def _mask(self, columns: Mapping[str, Any], rows: int, place: str) -> list[Bools]:
        masking, has_mask = self._policy.masking, "action_mask" in columns
        if not masking.reads_infos:
            return []
        if self._has_masks not in (None, has_mask):
            raise ConfigError(
                f"{place}: there is {'a' if has_mask else 'no'} column 'action_mask', other than in what was read"
                " before: masks come with all steps or with none; record ones where everything is allowed."
            )
        self._has_masks = has_mask
        if not has_mask:
            return []
        masking.require_consumer()
        masking.trained_with("infos")
        mask = masking.layout.flatten(columns["action_mask"], place=f"{place}: action_mask")
        _require_rows("action_mask", len(mask), rows, place)
        return [mask]

    # ------------------------------------------------------------------------------------------ actions

    def _actions(self, value: Any, rows: int, place: str) -> Tree:
        """Return what the policy's distribution would have drawn, each leaf [N, *shape]."""
        space = self._policy.action_space
        array = None if isinstance(value, dict) else _array(value)
        if nesting.is_leaf(space):
            given: Sequence[NumpyArray | None] = [array]
        elif self._forms.note("actions", value, has_rows=array is not None and array.ndim == 2 and len(array) == rows):
            assert array is not None
            given = self._parts(array, place)
        else:
            try:
                given = [_array(leaf) for leaf in nesting.values(space, value)]
            except (KeyError, ValueError, TypeError) as error:
                raise ConfigError(f"{place}: actions: expected those of {space}, nested or flat: {error!r}.") from error
        leaves = [
            self._part(leaf, path, part, rows, place)
            for (path, leaf), part in zip(nesting.iter_leaves(space), given, strict=True)
        ]
        actions = nesting.built(space, leaves)
        scales = self._policy.config.normalize_actions
        if not self._normalized:
            self._require_members(actions, place)
            return normalize_action(space, actions, normalize=scales)
        return actions if scales else unscaled_samples(space, actions)

    def _parts(self, flat: NumpyArray, place: str) -> list[NumpyArray]:
        space, widths = self._policy.action_space, self._widths
        if flat.shape[1] != sum(widths):
            raise ConfigError(
                f"{place}: actions: expected {sum(widths)} numbers for each action of {space}, got {flat.shape[1]}."
            )
        return np.split(flat, np.cumsum(widths)[:-1], axis=1)

    def _part(self, leaf: Any, path: tree.Path, part: NumpyArray | None, rows: int, place: str) -> NumpyArray:
        """Return the actions of one leaf, [N, *shape]: samples in their dtype, environment actions as they are."""
        name, shape, count = tree.place("action", path), leaf.shape or (), options(leaf, path)
        if part is None or len(part) != rows or part.size != rows * int(np.prod(shape)):
            came = "no array" if part is None else f"shape {part.shape}"
            raise ConfigError(
                f"{place}: {name}: expected an array [{', '.join((str(rows), *map(str, shape)))}], got {came}."
            )
        part = part.reshape(rows, *shape)
        if not count:
            wrong = ~np.isfinite(part)
        else:
            with np.errstate(invalid="ignore"):
                whole = part.astype(np.int64)
            wrong = whole != part
            if self._normalized:
                wrong |= (whole < 0) | (whole >= np.reshape(count, shape))
        if wrong.any():
            row, *component = np.argwhere(wrong)[0]
            at = f"[{', '.join(map(str, component))}]" if component else ""
            expected = f"a whole number from 0 to {max(count) - 1}" if count and self._normalized else "a finite number"
            hint = " Environment actions are read with `actions_in_input_normalized` off." if self._normalized else ""
            raise ObservationError(
                f"{place}, row {row}: {name}{at}: expected {expected}, got {part[(row, *component)]}.{hint}"
            )
        return whole if count else part.astype(np.float32) if self._normalized else part

    def _require_members(self, actions: Tree, place: str) -> None:
        """Refuse environment actions that are not in their space."""
        encoder = self._encode_action
        fault = find_fault(encoder, encoder(actions))
        if fault is not None:
            name = fault.leaf.place("action")
            raise ObservationError(
                f"{place}, row {fault.index[0]}: {name}: {fault.what}. Samples of a policy, such as the old format"
                " holds, are read with `actions_in_input_normalized` on."
            )

    def _require_allowed(self, obs: ObsLeaves, actions: Tree, where: Where) -> None:
        """Refuse actions that their mask forbids: their probability is zero, whatever is learnt."""
        policy, runtime = self._policy, self._policy.runtime
        mask = policy.masking.find(obs)
        if mask is None or not policy.masking.takes_mask:
            return
        policy.require_choice(obs, np.ones(len(mask), np.bool_), lambda row: where(row[0]))
        with runtime.no_grad():
            inputs = runtime.asarray(np.zeros((len(mask), policy.num_outputs), np.float32))
            distribution = policy.distribution(inputs, runtime.asarray(mask))
            if distribution.depends_on_model:
                return
            logp: Any = runtime.numpy(distribution.logp_of(tree.map_leaves(runtime.asarray, actions)))
        forbidden = np.flatnonzero(logp < IMPOSSIBLE)
        if len(forbidden):
            row = int(forbidden[0])
            action = tree.map_leaves(lambda leaf: leaf[row].tolist(), actions)
            raise ObservationError(f"{where(row)}: the mask forbids the action that was taken, {action}.")

    # ------------------------------------------------------------------------------------- other columns

    def _flags(self, columns: Mapping[str, Any], name: str, rows: int, place: str) -> Bools:
        return np.asarray(self._numbers(columns, name, rows, place, 0.0) != 0)

    def _numbers(
        self, columns: Mapping[str, Any], name: str, rows: int, place: str, default: float | None = None
    ) -> Floats:
        if name not in columns and default is not None:
            return np.full(rows, default, np.float32)
        given = self._finite(columns, name, rows, place)
        with np.errstate(over="ignore"):
            found = given.astype(np.float32)
        if not np.isfinite(found).all():
            row = int(np.argmin(np.isfinite(found)))
            raise ObservationError(f"{place}, row {row}: {name}: {given[row]} is beyond what float32 holds.")
        return found

    def _finite(self, columns: Mapping[str, Any], name: str, rows: int, place: str) -> NumpyArray:
        """Return a column of one number for each step, [N], in its own dtype."""
        column = _array(columns[name])
        if column is None or column.shape not in ((rows,), (rows, 1)):
            came = "something else" if column is None else f"shape {column.shape}"
            raise ConfigError(f"{place}: {name}: expected {rows} numbers, one for each step, got {came}.")
        column = column.reshape(rows)
        if not np.isfinite(column).all():
            row = int(np.argmin(np.isfinite(column)))
            raise ObservationError(f"{place}, row {row}: {name}: expected a finite number, got {column[row]}.")
        return column

    def _borders(
        self, columns: Mapping[str, Any], obs: ObsLeaves, following: ObsLeaves | None, rows: int, place: str
    ) -> Bools:
        """Return after which rows but the last, [N - 1], the next row is no next step, whatever ended there."""
        borders = np.zeros(max(rows - 1, 0), np.bool_)
        if "t" in columns:
            borders |= np.diff(self._finite(columns, "t", rows, place).astype(np.int64)) != 1
        if "eps_id" in columns:
            ids = np.asarray(columns["eps_id"]).reshape(-1)
            _require_rows("eps_id", len(ids), rows, place)
            return np.asarray(borders | (ids[1:] != ids[:-1]))
        if following is not None:
            for leaf, led_to in zip(self._policy.masking.observation(obs), following, strict=False):
                borders |= (leaf[1:] != led_to[:-1]).any(axis=tuple(range(1, leaf.ndim)))
        return borders


def _require_rows(name: str, count: int, rows: int, place: str) -> None:
    if count != rows:
        raise ConfigError(f"{place}: {name}: expected {rows} rows, as many as `obs` has, got {count}.")


def _rows_of(columns: Mapping[str, Any]) -> int | None:
    """Return how many steps there are, as columns of numbers say it; None where there are no such columns."""
    for name in ("rewards", "terminateds", "truncateds", "t", "eps_id"):
        column = _array(columns.get(name))
        if column is not None:
            return len(column)
    return None


def _array(value: Any) -> NumpyArray | None:
    """Return an array of numbers, or None where a value is none."""
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return array if array.dtype.kind in "biuf" and array.ndim else None


def _require_equal(stored: NumpyArray, given: NumpyArray, what: Callable[[int], str]) -> None:
    """Refuse whole numbers that their dtype cannot hold; floats may round."""
    if stored.dtype.kind != "f" and not (stored == given).all():
        lost = tuple(np.argwhere(stored != given)[0])
        raise ObservationError(f"{what(int(lost[0]))}, got {given[lost]}.")
