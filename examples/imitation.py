"""Learn from recorded steps: an expert's steps are written to files, and a second policy never sees the environment."""

import tempfile

from anyspace import BC, PPO


def main(steps: int = 30_000) -> float:
    with tempfile.TemporaryDirectory() as folder:
        expert = PPO("CartPole-v1", seed=0)
        expert.learn(steps, progress=False)
        print(f"expert: {expert.evaluate(episodes=10)['episode_return_mean']:.0f}")
        expert.save(f"{folder}/expert")

        recorder = PPO.load(f"{folder}/expert", output=f"{folder}/steps", explore=False, batch_mode="complete_episodes")
        recorder.fleet.gather(steps // 6)  # plays so many steps or more, and learns nothing
        recorder.close()

        clone = BC(input=f"{folder}/steps", train_batch_size=256, lr=1e-3, seed=0)
        for _ in range(max(1, steps // 100)):
            clone.train()
        clone.save(f"{folder}/clone")

        # The clone was made of the files alone. Loaded with the environment, it plays there.
        player = BC.load(f"{folder}/clone", env="CartPole-v1")
        found = float(player.evaluate(episodes=10)["episode_return_mean"])
    print(f"clone: {found:.0f}")
    return found


if __name__ == "__main__":
    main()
