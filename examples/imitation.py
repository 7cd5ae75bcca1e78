"""Learn from recorded steps: an expert's steps are written to files, and a second policy never sees the environment."""

import tempfile

from anyspace import BC, PPO


def main(steps: int = 30_000) -> float:
    with tempfile.TemporaryDirectory() as folder:
        expert = PPO("CartPole-v1", seed=0)
        expert.learn(steps, progress=False)
        print(f"expert: {expert.evaluate(episodes=10)['episode_return_mean']:.0f}")

        recorder = PPO("CartPole-v1", explore=False, output=folder)
        recorder.set_weights(expert.get_weights())
        recorder.fleet.gather(steps // 6)
        recorder.close()

        clone = BC(input=folder, train_batch_size=256, lr=1e-3, seed=0)
        for _ in range(max(1, steps // 100)):
            clone.train()
        weights = clone.get_weights()

    # The clone was made of the files alone; an algorithm with the environment plays with its weights.
    player = BC("CartPole-v1", input="sampler")
    player.set_weights(weights)
    found = float(player.evaluate(episodes=10)["episode_return_mean"])
    print(f"clone: {found:.0f}")
    return found


if __name__ == "__main__":
    main()
