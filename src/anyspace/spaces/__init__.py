"""Gymnasium spaces: encoding observations, decoding actions, preprocessing, filtering, restoring."""

from anyspace.spaces.decoding import (
    Decoder,
    check_action_space,
    decode,
    flatten_actions,
    normalize_action,
    unflatten_actions,
)
from anyspace.spaces.encoding import Encoder, LeafSpec, encode, spec
from anyspace.spaces.faults import Fault, find_fault, require_valid
from anyspace.spaces.filters import FILTERS, Filter, MeanStdFilter, NoFilter, RunningStat, get_filter
from anyspace.spaces.preprocessors import (
    DictFlatteningPreprocessor,
    NoPreprocessor,
    OneHotPreprocessor,
    Preprocessor,
    TupleFlatteningPreprocessor,
    get_preprocessor,
)
from anyspace.spaces.restore import restore_features, restore_original_dimensions
from anyspace.spaces.serialize import from_json, to_json

__all__ = [
    "FILTERS",
    "Decoder",
    "DictFlatteningPreprocessor",
    "Encoder",
    "Fault",
    "Filter",
    "LeafSpec",
    "MeanStdFilter",
    "NoFilter",
    "NoPreprocessor",
    "OneHotPreprocessor",
    "Preprocessor",
    "RunningStat",
    "TupleFlatteningPreprocessor",
    "check_action_space",
    "decode",
    "encode",
    "find_fault",
    "flatten_actions",
    "from_json",
    "get_filter",
    "get_preprocessor",
    "normalize_action",
    "require_valid",
    "restore_features",
    "restore_original_dimensions",
    "spec",
    "to_json",
    "unflatten_actions",
]
