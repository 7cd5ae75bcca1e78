"""Train, evaluate, save, load, act."""

import tempfile

import gymnasium as gym

from anyspace import PPO, Algorithm


def main(steps: int = 30_000) -> float:
    algo = PPO("CartPole-v1", seed=0)
    algo.learn(steps, progress=False)
    print(f"return after {algo.timesteps_total:,} steps: {algo.evaluate(episodes=10)['episode_return_mean']:.0f}")

    with tempfile.TemporaryDirectory() as folder:
        loaded = Algorithm.load(algo.save(folder))
        env, total, done = gym.make("CartPole-v1"), 0.0, False
        obs, _ = env.reset(seed=1)
        while not done:
            obs, reward, terminated, truncated, _ = env.step(loaded.compute_single_action(obs))
            total, done = total + float(reward), terminated or truncated
    print(f"an episode of the loaded policy: {total:.0f}")
    return total


if __name__ == "__main__":
    main()
