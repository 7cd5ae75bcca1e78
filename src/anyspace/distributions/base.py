"""The contract of an action distribution: what a model's output means as a random action."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from anyspace import tree
from anyspace.answers import Explains
from anyspace.foreign_names import DISTRIBUTION
from anyspace.maths.xp import Array, Rng, xp
from anyspace.tree import Tree


class ActionDistribution(Explains):
    """A batch of B distributions over actions, one per row of a model's output.

    Subclass it to define your own: take ``(inputs, model)``, hand both to ``super().__init__``, and implement
    `required_model_output_shape`, `sample`, `deterministic_sample` and `logp`; `entropy` and `kl` where the
    algorithm asks for them. ``sample`` may take the random source ``rng`` or no argument at all. ``mask``
    reaches only classes whose constructor names it.

    To have its randomness drawn ahead for a whole rollout, a class implements `standard_noise`, `noise_width`
    and `sample_from_noise` in place of `sample`. SAC learns from `path_sample`: where `sample` gives actions without a
    gradient, override that as well.

    Every method works on arrays of the framework of ``inputs`` and mutates none of them; results per row are
    ``[B]``. Batches of more axes (``[T, B, ...]``) keep them.

    Attributes:
        inputs: Parameters of the distributions ``[B, required_model_output_shape]``.
        model: The model that made them, or None.
        mask: Which actions are allowed, in the layout that the class documents, or None for all.
        last_sample: The latest answer of `sample` or `deterministic_sample`, for `sampled_action_logp`.
        has_entropy: Whether `entropy` is implemented: it is where a class overrides it, unless that class
            says False.
        has_kl: Whether `kl` is implemented, found in the same way.
        depends_on_model: Whether the distribution depends on anything but ``inputs`` and ``mask``, such as a part of
            the model. Once the model has learnt, such a distribution cannot be built again from stored inputs, so no
            algorithm asks for its `kl` or `entropy`. User classes are assumed to depend on the model as soon as they
            define a method, until a policy has tried whether its log-probabilities have a gradient in the weights of
            the model. A class may set it itself.
        says_dependence: Whether ``depends_on_model`` is what a class has set, and no assumption.
        sample_takes_rng: Whether `sample` accepts the random source, read off its signature.
        entropy_takes_rng: Whether `entropy` is an estimate from a sample: it has a parameter ``rng`` then.
    """

    _foreign = DISTRIBUTION
    last_sample: Tree | None = None
    has_entropy: bool = False
    has_kl: bool = False
    depends_on_model: bool = True
    says_dependence: bool = False
    sample_takes_rng: bool = True
    entropy_takes_rng: bool = False
    _noise_ahead: bool = True

    def __init__(self, inputs: Array, model: Any = None, *, mask: Any = None) -> None:
        self.inputs = inputs
        self.model = model
        self.mask = mask

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of inputs {[*getattr(self.inputs, 'shape', ())]}>"

    @property
    def allowed(self) -> Any:
        """What may be taken at random: the mask, or what the logits of a model leave, in its layout; None: all."""
        return self.mask

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        cls.has_entropy, cls.has_kl = _implements(cls, "entropy"), _implements(cls, "kl")
        defines = any(hasattr(value, "__get__") and not name.startswith("__") for name, value in own.items())
        says = "depends_on_model" in own or (cls.says_dependence and not defines)
        cls.says_dependence = own.get("says_dependence", says)
        cls.depends_on_model = own.get("depends_on_model", defines or cls.depends_on_model)
        cls.sample_takes_rng = len(inspect.signature(cls.sample).parameters) > 1
        cls.entropy_takes_rng = "rng" in inspect.signature(cls.entropy).parameters
        samplers = (vars(base).keys() & {"sample", "sample_from_noise"} for base in cls.__mro__)
        cls._noise_ahead = "sample_from_noise" in next(names for names in samplers if names)
        # What a class inherits of these draws, or draws and scores at once, in a way that is no longer its own.
        draws = own.keys() & {"sample", "sample_from_noise"}
        if draws and "path_sample" not in own:
            cls.path_sample = ActionDistribution.path_sample  # type: ignore[method-assign]
        if (draws or own.keys() & {"path_sample", "logp"}) and "sample_logp" not in own:
            cls.sample_logp = ActionDistribution.sample_logp  # type: ignore[method-assign]

    @staticmethod
    def required_model_output_shape(action_space: Any, model_config: Any) -> int:
        """Return how many numbers per row the model has to put out for ``action_space``."""
        raise NotImplementedError(
            "An action distribution must say how wide the model's output is: implement the static method "
            "required_model_output_shape(action_space, model_config)."
        )

    def draw_noise(self, rng: Rng, steps: int) -> Array | None:
        """Draw the randomness of ``steps`` future samples ``[steps, B, W]``, W being `noise_width`.

        None means that this class has to be sampled step by step: it knows no such noise, or it replaces the
        `sample` of a class that does, and turning noise into actions would skip its own sampling.
        """
        return self.standard_noise(rng, steps) if self._noise_ahead else None

    @property
    def largest_entropy(self) -> float:
        """The most entropy that any inputs give, nats: inf unless a class knows of less."""
        return math.inf

    @property
    def noise_width(self) -> int:
        """Random numbers W that one sample of a row takes, where they can be drawn ahead."""
        return 0

    def standard_noise(self, rng: Rng, steps: int) -> Array | None:
        """Draw ``[steps, B, W]`` numbers that depend on the shape and device of ``inputs`` alone, or None."""
        return None

    def _noise_of_parts(self, parts: Sequence[ActionDistribution], rng: Rng, steps: int) -> Array | None:
        """Return the noise of distributions of parts side by side ``[steps, B, W]``; None if one of them has none."""
        ns = xp(self.inputs)
        sources = ns.split(rng, len(parts))
        noises = [part.draw_noise(source, steps) for part, source in zip(parts, sources, strict=True)]
        return None if any(noise is None for noise in noises) else ns.concatenate(noises, axis=-1)

    def sample_from_noise(self, noise: Array) -> Tree:
        """Turn one row ``[B, W]`` of `draw_noise` into an action per distribution."""
        raise self._missing("sample_from_noise")

    def sample(self, rng: Rng = None) -> Tree:
        """Draw an action per row; ``rng`` None is the framework's global source (JAX has none: TypeError)."""
        noise = self.standard_noise(rng, 1)
        if noise is None:
            raise self._missing("sample")
        return self.sample_from_noise(noise[0])

    def deterministic_sample(self) -> Tree:
        """Return each row's representative action: the most likely one or the mean."""
        raise self._missing("deterministic_sample")

    def logp(self, actions: Tree) -> Array:
        """Log-probability, or log-density, of ``actions`` ``[B]``."""
        raise self._missing("logp")

    def logp_of(self, actions: Tree) -> Array:
        """Return :meth:`logp` of actions that may be NumPy's where the inputs are tensors of another framework."""
        return self.logp(tree.map_leaves(lambda leaf: xp(self.inputs).asarray(leaf, like=self.inputs), actions))

    def sampled_action_logp(self) -> Array:
        """`logp` of the latest sample ``[B]``.

        Raises:
            AssertionError: Nothing was sampled yet.
        """
        if self.last_sample is None:
            raise AssertionError(
                f"{type(self).__name__}.sampled_action_logp() needs a sample first: call sample() or "
                "deterministic_sample() (your own version of these stores its answer in self.last_sample)."
            )
        return self.logp(self.last_sample)

    def path_sample(self, rng: Rng = None) -> Tree:
        """Draw an action per row as `sample` does, with the gradient of the inputs along the path of the sample.

        Every continuous distribution of the library has that gradient (reparameterisation: Kingma & Welling, 2014,
        https://arxiv.org/abs/1312.6114; for gamma draws implicitly: Figurnov et al., 2018,
        https://arxiv.org/abs/1805.08498). By default it is what `sample` gives, with or without one.
        """
        return self.sample(rng) if self.sample_takes_rng else self.sample()

    def sample_logp(self, rng: Rng = None) -> tuple[Tree, Array]:
        """Draw an action per row by `path_sample`, and return it with its `logp` ``[B]``."""
        actions = self.path_sample(rng)
        return actions, self.logp(actions)

    def option_log_probs(self) -> list[Array]:
        """Log-probabilities of the options of each choice, ``[B, n]`` each, those of masked options -inf.

        The choices are the components of the action space, leaf by leaf, in C order. None stands for numbers.
        """
        raise self._missing("option_log_probs")

    def entropy(self) -> Array:
        """Entropy in nats ``[B]``."""
        raise self._missing("entropy")

    def entropy_from(self, source: Callable[[], Rng]) -> Array:
        """`entropy` ``[B]``; one that is an estimate asks ``source`` for the random source to draw its sample from."""
        return self.entropy(source()) if self.entropy_takes_rng else self.entropy()  # type: ignore[call-arg]

    def kl(self, other: Any) -> Array:
        """Kullback-Leibler divergence KL(self || other) in nats ``[B]``; ``other`` is of the same class."""
        raise self._missing("kl")

    def multi_entropy(self) -> Array:
        """Entropy of each component ``[B, k]``; of the whole, `entropy`, where there is but one."""
        return self.entropy()

    def multi_kl(self, other: Any) -> Array:
        """Divergence of each component ``[B, k]``; of the whole, `kl`, where there is but one."""
        return self.kl(other)

    @property
    def _batch_shape(self) -> tuple[int, ...]:
        return tuple(self.inputs.shape[:-1])

    def _missing(self, method: str) -> NotImplementedError:
        name = type(self).__name__
        return NotImplementedError(f"{name} has no {method}(). Implement it, or use what does not ask for it.")


def _implements(cls: type[ActionDistribution], method: str) -> bool:
    """Return what the nearest class says, by its attribute ``has_...``; one that says nothing overrides the method."""
    flag = f"has_{method}"
    nearest = next(base for base in cls.__mro__ if {method, flag} & vars(base).keys())
    return bool(vars(nearest).get(flag, True))
