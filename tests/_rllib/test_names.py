"""Names of `anyspace.rllib` beside what RLlib 2.40 said of them (`rllib_2_40.json`)."""

from __future__ import annotations

import json

from tests._rllib.known import KNOWN
from tests._rllib.names import RECORDED, compared, describe, differences, unexplained


def test_names_do_what_they_did_but_for_the_known_differences():
    theirs = json.loads(RECORDED.read_text())
    ours = json.loads(json.dumps(describe("anyspace.rllib", compared())))
    assert len(theirs.keys() & ours.keys()) > 200
    new = unexplained(differences(theirs, ours), KNOWN)
    assert not new, "\n".join(new)


def test_a_difference_is_found():
    one = {"kind": "function", "parameters": ["x", "y=3", "*", "z=None"], "call f(1)": 2}
    assert list(differences({"f": one}, {"f": one})) == []
    # More parameters and further defaults trouble no caller.
    assert list(differences({"f": one}, {"f": {**one, "parameters": ["x=1", "y=3", "w=0", "z=None"]}})) == []
    for change, what in (
        ({"kind": "class"}, "is a function there, a class here"),
        ({"parameters": ["y=3", "x", "z=None"]}, "`x` is not parameter 1 here"),
        ({"parameters": ["x", "y=4", "z=None"]}, "`y=3` is `y=4` here"),
        ({"parameters": ["x", "y=3"]}, "has no parameter `z=None`"),
        ({"call f(1)": "an error"}, '2 there, "an error" here'),
    ):
        assert what in [how for _, how in differences({"f": one}, {"f": {**one, **change}})]
    assert unexplained([("f", "is odd"), ("g", "is odd")], {r"f: is": "on purpose"}) == ["g: is odd"]
