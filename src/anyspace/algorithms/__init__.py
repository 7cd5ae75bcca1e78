"""The algorithms, one file each."""

from typing import TYPE_CHECKING, Any

from anyspace.algorithms.shipped import SHIPPED, shipped
from anyspace.answers import absent

if TYPE_CHECKING:
    from anyspace.algorithms.a2c import A2C
    from anyspace.algorithms.algorithm import Algorithm
    from anyspace.algorithms.appo import APPO
    from anyspace.algorithms.dqn import DQN
    from anyspace.algorithms.impala import IMPALA
    from anyspace.algorithms.marwil import BC, MARWIL
    from anyspace.algorithms.pg import PG
    from anyspace.algorithms.ppo import PPO
    from anyspace.algorithms.sac import SAC

    ALGORITHMS: dict[str, type[Algorithm[Any]]]
    """The shipped algorithms by class name."""

__all__ = ["A2C", "ALGORITHMS", "APPO", "BC", "DQN", "IMPALA", "MARWIL", "PG", "PPO", "SAC", "Algorithm"]


def __getattr__(name: str) -> Any:
    """Import an algorithm when it is first used: a policy that acts takes its own alone."""
    if name in SHIPPED:
        return shipped(name)
    if name == "ALGORITHMS":
        return {one: shipped(one) for one in SHIPPED}
    if name == "Algorithm":
        from anyspace.algorithms.algorithm import Algorithm

        return Algorithm
    raise absent(__name__, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
