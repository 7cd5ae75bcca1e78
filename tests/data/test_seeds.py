"""Seeds: different wherever and whenever something begins anew, and apart from those of everything else."""

from __future__ import annotations

from anyspace.data.seeds import acting_seed, environment_seed, evaluation_seed, replay_seed, worker_seed


def test_every_place_has_a_seed_of_its_own() -> None:
    seeds, numbers = range(5), range(5)
    found = [environment_seed(seed, iteration) for seed in seeds for iteration in numbers]
    found += [evaluation_seed(seed, steps) for seed in seeds for steps in numbers]
    found += [replay_seed(seed) for seed in seeds] + [acting_seed(seed) for seed in seeds]
    found += [worker_seed(seed, *place) for seed in seeds for place in ((a, b) for a in numbers for b in numbers)]
    # The first worker's is the seed itself.
    assert len({*found}) == len(found)
    assert all(0 <= seed < 2**32 for seed in found)


def test_seeds_of_workers_differ() -> None:
    seeds = {worker_seed(5, number, incarnation) for number in range(1000) for incarnation in range(10)}
    assert len(seeds) >= 9_995
    assert worker_seed(5, 0, 0) == 5
    assert len({worker_seed(seed, 1, 0) for seed in range(100)}) == 100
