"""Seeds of environments: different wherever and whenever they are reset, and apart from those of evaluations."""

from __future__ import annotations

import itertools

import numpy as np

from anyspace.data.seeds import derived_seed, environment_seed, evaluation_seed, replay_seed


def test_every_place_has_a_seed_of_its_own() -> None:
    places = itertools.product(range(5), range(5), range(5))
    seeds = [environment_seed(*place) for place in places]
    others = [evaluation_seed(seed, steps) for seed in range(5) for steps in range(5)]
    others += [replay_seed(seed) for seed in range(5)]
    assert len({*seeds, *others}) == len(seeds) + len(others)
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_the_first_workers_seeds_are_those_of_the_iteration() -> None:
    assert environment_seed(7, 3) == derived_seed(7, 3) == np.random.SeedSequence([7, 3]).generate_state(1)[0]
