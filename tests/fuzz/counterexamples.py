"""Pairs that once failed, as small as they get, and what was wrong."""

from __future__ import annotations

from gymnasium.spaces import Box, Discrete, OneOf

from anyspace.spaces import StackedFrames
from tests.fuzz.environment import Pair

_RAW = {"_disable_preprocessor_api": True}

COUNTEREXAMPLES = {
    # The newest frame, which alone is stored, was compared with the bounds of the whole stack.
    "bounds of stacked frames": Pair(StackedFrames(-1, 3, (1, 4), "float32", stack=2), Discrete(2)),
    # Of an alternative that comes and goes, the frames before the newest one are not those of the step before.
    "frames that come and go": Pair(OneOf([StackedFrames(0, 255, (1, 4), stack=2), Box(0, 1, (1,))]), Discrete(2)),
    # Without preprocessing, the filter subtracted its mean from booleans, which PyTorch does not do.
    "unprocessed booleans": Pair(
        Box(0, 1, (), bool), Discrete(2), config={**_RAW, "observation_filter": "MeanStdFilter"}
    ),
    # Without preprocessing, the network learnt from bytes, but the actions came from bytes divided by 255.
    "unprocessed pictures": Pair(Box(0, 255, (8, 8), "uint8"), Box(-9, 9, (2,)), config=_RAW),
}
