"""Spoiled inputs: one sentence, exit status 1, nothing left behind, in seconds and little memory."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from mutations import SECONDS, batch, originals

MANY = int(os.environ.get("KEYHOLE_MUTATIONS", "250"))
"""Inputs spoiled in the slow test; KEYHOLE_MUTATIONS=2000 tries the whole set."""


def outcomes(tmp_path, seeds, processes):
    store, room = tmp_path / "store", tmp_path / "room"
    store.mkdir()
    room.mkdir()
    originals(store)
    parts = [range(start, seeds, processes) for start in range(processes)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        found = pool.map(batch, parts, [store] * processes, [room] * processes)
        return sorted((one for part in found for one in part), key=lambda one: one.seed)


@pytest.mark.parametrize("number", [pytest.param(30), pytest.param(MANY, marks=pytest.mark.slow)])
def test_spoiled_inputs_end_in_one_sentence_and_leave_nothing_half_written(tmp_path, number):
    found = outcomes(tmp_path, number, 1 if number < 100 else 2)
    assert len(found) == number
    assert [one for one in found if one.wrong] == []
    assert max(one.seconds for one in found) < SECONDS
    refused = sum(one.exit_code == 1 for one in found)
    assert refused > 0.4 * number  # most of them cannot be read as they are; what can must have been read whole
