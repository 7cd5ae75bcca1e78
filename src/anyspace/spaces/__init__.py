"""Gymnasium spaces: encoding observations, decoding actions, preprocessing, filtering, restoring."""

from anyspace.spaces.decoding import (
    Decoder,
    check_action_space,
    decode,
    flatten_actions,
    normalize_action,
    unflatten_actions,
)
from anyspace.spaces.encoding import Encoder, encode, spec
from anyspace.spaces.faults import Fault, find_fault, require_valid
from anyspace.spaces.filters import (
    FILTERS,
    Filter,
    MeanStdFilter,
    NoFilter,
    RunningStat,
    get_filter,
)
from anyspace.spaces.kinds.atari import AtariPixels, AtariRam
from anyspace.spaces.kinds.bounded import BoundedGraph, BoundedSequence
from anyspace.spaces.kinds.frames import Image, StackedFrames
from anyspace.spaces.kinds.registered import register_space
from anyspace.spaces.kinds.repeated import Repeated
from anyspace.spaces.kinds.simplex import Simplex
from anyspace.spaces.kinds.words import Words
from anyspace.spaces.leaves import LeafSpec, describe_images
from anyspace.spaces.mask_layout import ActionMasks
from anyspace.spaces.observation_filter import ObservationFilter
from anyspace.spaces.prepared import bounded
from anyspace.spaces.preprocessors import (
    AtariRamPreprocessor,
    DictFlatteningPreprocessor,
    GenericPixelPreprocessor,
    NoPreprocessor,
    OneHotPreprocessor,
    PaddingPreprocessor,
    Preprocessor,
    RepeatedValuesPreprocessor,
    TupleFlatteningPreprocessor,
    get_preprocessor,
)
from anyspace.spaces.repeated_values import RepeatedValues
from anyspace.spaces.restore import restore_original_dimensions
from anyspace.spaces.serialize import from_json, to_json

__all__ = [
    "FILTERS",
    "ActionMasks",
    "AtariPixels",
    "AtariRam",
    "AtariRamPreprocessor",
    "BoundedGraph",
    "BoundedSequence",
    "Decoder",
    "DictFlatteningPreprocessor",
    "Encoder",
    "Fault",
    "Filter",
    "GenericPixelPreprocessor",
    "Image",
    "LeafSpec",
    "MeanStdFilter",
    "NoFilter",
    "NoPreprocessor",
    "ObservationFilter",
    "OneHotPreprocessor",
    "PaddingPreprocessor",
    "Preprocessor",
    "Repeated",
    "RepeatedValues",
    "RepeatedValuesPreprocessor",
    "RunningStat",
    "Simplex",
    "StackedFrames",
    "TupleFlatteningPreprocessor",
    "Words",
    "bounded",
    "check_action_space",
    "decode",
    "describe_images",
    "encode",
    "find_fault",
    "flatten_actions",
    "from_json",
    "get_filter",
    "get_preprocessor",
    "normalize_action",
    "register_space",
    "require_valid",
    "restore_original_dimensions",
    "spec",
    "to_json",
    "unflatten_actions",
]
