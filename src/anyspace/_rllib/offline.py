"""Readers and writers of recorded steps, as RLlib's old stack had them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

import numpy as np

from anyspace import tree
from anyspace._rllib import advice
from anyspace._rllib.sample_batch import SampleBatch, concat_samples
from anyspace.answers import Explains
from anyspace.data.offline import json_writer
from anyspace.data.offline.files import JsonLines, find_files
from anyspace.data.offline.json_lines import read_line
from anyspace.data.offline.remedies import of_files
from anyspace.data.offline.spaces_file import read_spaces
from anyspace.errors import ConfigError, ObservationError
from anyspace.execution.file_fleet import require_shares
from anyspace.folders import current_folder
from anyspace.models.host import CALLBACK
from anyspace.spaces import Preprocessor, get_preprocessor


class IOContext(Explains):
    """What a reader or writer is told of the process that it is made in.

    Args:
        log_dir: where a writer without a path writes; None: the current folder.
        config: ``train_batch_size`` over the number of collecting processes is how many rows a reader returns at least.
        worker_index: of the process.
        worker: accepted for old call sites, and kept.
    """

    _foreign = advice.OFFLINE

    def __init__(
        self,
        log_dir: str | None = None,
        config: Mapping[str, Any] | None = None,
        worker_index: int = 0,
        worker: Any = None,
    ):
        self.log_dir = log_dir or str(current_folder())
        self.config: dict[str, Any] = dict(config or {})
        self.worker_index, self.worker = worker_index, worker

    @property
    def input_config(self) -> dict[str, Any]:
        """The dict of the key ``input_config``."""
        return dict(self.config.get("input_config", {}))


def _at_every_step(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a method ``next`` that a compiled step calls at every step, not only while it is traced."""

    @wraps(read)
    def asked(self: Any) -> Any:
        callback = CALLBACK.get()
        return read(self) if callback is None else callback(partial(read, self))

    return asked


def _require_seed(seed: int) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"the seed of a reader is {seed!r}, but a seed is a whole number of at least 0.")


class InputReader(Explains):
    """Base of what gives batches of recorded steps.

    A class of yours overrides `next`. Within a compiled step `next` gives the framework's arrays, of new steps at every
    one; what your code returns are NumPy's arrays all the same. No checkpoint holds how far a reader has got: in a
    resumed run it begins anew.
    """

    _foreign = advice.OFFLINE

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "next" in vars(cls):
            cls.next = _at_every_step(cls.next)  # type: ignore[assignment, method-assign]

    def next(self) -> SampleBatch:
        """Return the next batch."""
        raise NotImplementedError(f"{type(self).__name__} has no next().")

    def tf_input_ops(self, queue_size: int = 1) -> SampleBatch:
        """Return the next batch, as :meth:`next` does; called within ``custom_loss`` it is new at every step.

        Args:
            queue_size: not read: nothing is read ahead.
        """
        return self.next()


class JsonReader(InputReader):
    """Reads batches of files of JSON, without end, the files in an order that the seed decides.

    Where a file ``spaces.json`` lies beside the files, observations are what a preprocessor makes of them, as RLlib
    wrote them: one-hot vectors of indices, one flat vector of several parts, pictures as they are. Otherwise all
    columns are as they were written, with the types that JSON gives.

    Args:
        inputs: a folder, file or pattern, or a list of these.
        ioctx: says how many rows a batch has at least; None: one line.
        unpacks: turn packed columns into arrays, which takes lz4. Arrays of NumPy alone are accepted.
        seed: of the order of the files, at least 0. It is not that of a run: runs of all seeds read alike.

    Raises:
        ConfigError: there is no file, or ``inputs`` is no text or path.
    """

    def __init__(
        self, inputs: str | Sequence[str], ioctx: IOContext | None = None, *, unpacks: bool = False, seed: int = 0
    ):
        _require_seed(seed)
        files = find_files(inputs)
        spaces = read_spaces({file.parent for file in files})
        self._lines = JsonLines(files, seed, unpacks=unpacks)
        self._preprocessor = None if spaces is None else get_preprocessor(spaces[0], scale_images=False)
        self.batch_size = 1
        if ioctx is not None:
            workers = int(ioctx.config.get("num_env_runners", ioctx.config.get("num_workers", 0)))
            self.batch_size = max(1, int(ioctx.config.get("train_batch_size", 1)) // max(1, workers))

    def next(self) -> SampleBatch:
        """Return the steps of as many lines as make a batch.

        Raises:
            ConfigError: the columns of a line are no batch, or those of several lines are not alike.
            ObservationError: an observation is not of its space.
        """
        places: list[str] = []
        batches: list[SampleBatch] = []
        rows = 0
        while rows < self.batch_size:
            place, columns = self._lines.next()
            with _naming(place):
                batches.append(_batch(columns, self._preprocessor))
            places.append(place)
            rows += max(1, batches[-1].count)
        if len(batches) == 1:
            return batches[0]
        with _naming(f"from {places[0]} to {places[-1]}"):
            return concat_samples(batches)


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Name a place in errors about the columns that were read there."""
    try:
        yield
    except ObservationError as error:
        raise ObservationError(f"{place}: {of_files(error)}") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise ConfigError(f"{place}: no batch can be made of the columns: {error}") from error


class MixedInput(InputReader):
    """Draws each batch from one of several readers, by probability.

    Args:
        dist: probabilities by source, a path or a reader. They sum to 1.
        ioctx: of the readers.
        seed: of the draws, and of the readers that it makes, at least 0.
    """

    def __init__(self, dist: Mapping[Any, float], ioctx: IOContext | None = None, *, seed: int = 0):
        _require_seed(seed)
        require_shares({str(source): share for source, share in dist.items()})
        self.choices = [
            source if isinstance(source, InputReader) else JsonReader(source, ioctx, seed=seed) for source in dist
        ]
        self.p = np.array([*dist.values()], np.float64)
        self._rng = np.random.default_rng(seed)

    def next(self) -> SampleBatch:
        """Return a batch of a source that is drawn."""
        return self.choices[self._rng.choice(len(self.choices), p=self.p / self.p.sum())].next()


class ShuffledInput(InputReader):
    """Keeps some batches of another reader, and returns them in random order.

    Args:
        child: the other reader.
        n: how many are kept; 0 keeps none.
        seed: of the order, at least 0.
    """

    def __init__(self, child: InputReader, n: int = 0, *, seed: int = 0):
        _require_seed(seed)
        self.child, self.n = child, n
        self.buffer: list[SampleBatch] = []
        self._rng = np.random.default_rng(seed)

    def next(self) -> SampleBatch:
        """Return one of the batches that are kept, and read another in its place."""
        if self.n <= 1:
            return self.child.next()
        while len(self.buffer) < self.n:
            self.buffer.append(self.child.next())
        position = int(self._rng.integers(self.n))
        found, self.buffer[position] = self.buffer[position], self.child.next()
        return found


class OutputWriter:
    """Base of what writes batches."""

    def write(self, sample_batch: Any) -> None:
        """Write a batch."""
        raise NotImplementedError(f"{type(self).__name__} has no write().")


class NoopOutput(OutputWriter):
    """Writes nothing."""

    def write(self, sample_batch: Any) -> None:
        """Do nothing."""


class JsonWriter(OutputWriter):
    """Writes batches as lines of JSON, into files that no other writer writes into.

    Args:
        path: of the folder; None: that of the context.
        ioctx: names the folder and the process.
        max_file_size: bytes after which another file is begun.
        compress_columns: columns of arrays to pack, which takes lz4; none by default.
    """

    def __init__(
        self,
        path: str | None = None,
        ioctx: IOContext | None = None,
        max_file_size: int = json_writer.LARGEST_FILE,
        compress_columns: Collection[str] = (),
    ):
        self.ioctx = ioctx or IOContext()
        self._writer = json_writer.JsonWriter(
            path or self.ioctx.log_dir,
            largest_file=max_file_size,
            worker=self.ioctx.worker_index,
            compressed=compress_columns,
        )

    def write(self, sample_batch: Mapping[str, Any]) -> None:
        """Write a batch as a line."""
        self._writer.write({name: sample_batch[name] for name in sample_batch})


def from_json_data(json_data: dict[str, Any], worker: Any = None) -> SampleBatch:
    """Return the batch of a line of a file that was read already."""
    return _batch(read_line(json.dumps(json_data), "the data"), None)


def _batch(columns: Mapping[str, Any], preprocessor: Preprocessor | None) -> SampleBatch:
    found = {name: tree.map_leaves(np.asarray, _nested(value)) for name, value in columns.items()}
    if preprocessor is not None:
        found |= {name: _preprocessed(preprocessor, columns[name]) for name in ("obs", "new_obs") if name in columns}
    return SampleBatch(found)


def _nested(value: Any) -> Any:
    """Return the dicts of a column as they are, and everything else as an array if it is one."""
    if isinstance(value, dict):
        return {key: _nested(part) for key, part in value.items()}
    try:
        return np.asarray(value)
    except ValueError:
        return np.array([*value, None], object)[:-1]


def _preprocessed(preprocessor: Preprocessor, obs: Any) -> Any:
    places = [spec.place() for spec in preprocessor.encode.specs]
    if isinstance(obs, dict) and obs.keys() == {*places}:
        pairs = zip(places, preprocessor.encode.specs, strict=True)
        return preprocessor.flatten([np.asarray(obs[place], spec.dtype) for place, spec in pairs])
    array = None if isinstance(obs, dict) else np.asarray(obs)
    if array is not None and array.shape[1:] == preprocessor.shape:
        return array.astype(preprocessor.observation_space.dtype or np.float32)
    return preprocessor.transform_batch(obs)
