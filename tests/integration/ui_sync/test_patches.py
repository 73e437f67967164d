"""JSON Patch: the public test suite in Python and in the JavaScript client, and rules that hold for any two states."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.integration.ui_sync import patches
from agent.integration.ui_sync.components import Change, Component, decided
from agent.integration.ui_sync.patches import PatchFailed

CLIENT = Path(patches.__file__).parent / "client" / "ui_sync.js"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab~/é", max_size=2),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab~/0", max_size=2), inner, max_size=4),
    max_leaves=12,
)
RUN_SUITE = """
import { applyPatch } from "./ui_sync.mjs";
import { readFileSync } from "node:fs";
const same = (a, b) => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
const sorted = (value) => Array.isArray(value) ? value.map(sorted) : value && typeof value === "object"
  ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])])) : value;
const wrong = [];
for (const one of JSON.parse(readFileSync(process.argv[2]))) {
  if (one.disabled || !one.patch) continue;
  let got, failed = false;
  try { got = applyPatch(one.doc, one.patch); } catch { failed = true; }
  if (failed !== ("error" in one) || (!failed && "expected" in one && !same(got, one.expected))) wrong.push(one.comment ?? one.patch);
}
console.log(JSON.stringify(wrong));
"""


@pytest.mark.parametrize("file", ["tests.json", "spec_tests.json"])
def test_the_public_suite_of_json_patch_passes(npm: Callable[..., Path], tmp_path: Path, file: str) -> None:
    suite = npm("json-patch-test-suite") / "node_modules" / "json-patch-test-suite" / file
    wrong, count = [], 0
    for case in json.loads(suite.read_text(encoding="utf-8")):
        if case.get("disabled") or "patch" not in case:
            continue
        count += 1
        try:
            found = patches.applied(case["doc"], case["patch"])
        except PatchFailed:
            if "error" not in case:
                wrong.append(case)
        else:
            if "error" in case or ("expected" in case and not patches.same(found, case["expected"])):
                wrong.append(case)
    assert (wrong, count > 15) == ([], True)
    # The same in the client, in node.
    (tmp_path / "ui_sync.mjs").write_text(CLIENT.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "run.mjs").write_text(RUN_SUITE, encoding="utf-8")
    done = subprocess.run(["node", str(tmp_path / "run.mjs"), str(suite)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@given(JSON, JSON)
def test_a_difference_makes_the_one_state_of_the_other_and_changes_neither(before: Any, after: Any) -> None:
    kept = copy.deepcopy(before)
    assert patches.same(patches.applied(before, patches.difference(before, after)), after)
    assert patches.same(before, kept)


@given(JSON, JSON, JSON)
def test_what_is_put_on_top_of_another_change_gives_the_same_in_either_order(base: Any, one: Any, other: Any) -> None:
    first, second = patches.difference(base, one), patches.difference(base, other)
    state = patches.applied(base, first)
    outcome, found = decided(Component("c", 2, state), second, 1, [Change(2, "m", first)])
    if outcome.status == "applied" and second:
        assert patches.same(found, patches.applied(other, first))  # neither author's change is lost or bent


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "add", "path": "a", "value": 1}], [{"op": "add", "path": "/~2", "value": 1}], [{"op": "add", "path": "/a"}],
        [{"op": "nothing", "path": ""}], [{"op": "remove", "path": "/b"}], [{"op": "test", "path": "/a", "value": True}],
        [{"op": "move", "path": "/a/b", "from": "/a"}], [{"op": "add", "path": "/l/01", "value": 1}],
        [{"op": "add", "path": "/l/" + "9" * 5_000, "value": 1}], [{"op": "add", "path": "/l/٣", "value": 1}], [3], "[]",
        [{"op": "test", "path": "", "value": None}] * 1_001,
    ],
    ids=range(13),
)  # fmt: skip
def test_a_patch_that_does_not_fit_is_refused_whole(patch: Any) -> None:
    state = {"a": 1, "l": [1]}
    with pytest.raises(PatchFailed):
        patches.applied(state, patch)
    assert state == {"a": 1, "l": [1]}
