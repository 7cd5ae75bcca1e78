"""SuperSuit's vector environments, one for each agent of a PettingZoo environment, as Gymnasium's."""

from __future__ import annotations

from typing import Any

from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from anyspace.data.infos import Infos, add_info, listed
from anyspace.errors import EnvironmentSetupError

Envs = VectorEnv[Any, Any, Any]


def adapted(envs: Envs) -> Envs:
    """Return a vector environment of SuperSuit's as one of Gymnasium's, and any other as it is."""
    of_supersuit = any(kind.__module__.partition(".")[0] == "supersuit" for kind in type(envs).__mro__)
    return SuperSuitVector(envs) if of_supersuit else envs


class SuperSuitVector(VectorEnv[Any, Any, Any]):
    """A vector environment of SuperSuit's, such as ``concat_vec_envs_v1`` makes.

    These name the spaces of one agent, give infos as a list, and begin the next game within the step that ends all of
    a game's episodes, whose last observations are infos under ``terminal_observation``.

    Args:
        envs: SuperSuit's.
    """

    def __init__(self, envs: Envs):
        self.envs, self.num_envs = envs, envs.num_envs
        self.metadata = {**envs.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space, self.single_action_space = envs.observation_space, envs.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, Infos]:
        """Start new games."""
        returned: Any = self.envs.reset(seed=seed, options=options)
        return returned[0], listed(self.num_envs, returned[1])

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, Infos]:
        """Step every agent.

        Raises:
            EnvironmentSetupError: an agent's episode ended, while the game goes on without it.
        """
        returned: Any = self.envs.step(actions)
        obs, rewards, terminated, truncated, infos = returned
        ended = [number for number in range(self.num_envs) if terminated[number] or truncated[number]]
        final: Infos = {}
        for number in ended:
            if "terminal_observation" not in infos[number]:
                raise EnvironmentSetupError(
                    f"environment {number}: its agent's episode ended while those of others go on, which SuperSuit's"
                    " vector environments cannot say in full: an agent that is out has no steps to learn from. Give"
                    " an environment whose agents end together."
                )
            last = {key: value for key, value in infos[number].items() if key != "terminal_observation"}
            final = add_info(
                self.num_envs, final, {"final_obs": infos[number]["terminal_observation"], "final_info": last}, number
            )
            infos[number] = last  # those of the reset are among them
        return obs, rewards, terminated, truncated, {**listed(self.num_envs, infos), **final}

    def close(self, **arguments: Any) -> None:
        """Close the games."""
        self.envs.close()
