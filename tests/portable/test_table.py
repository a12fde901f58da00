"""The session table walked in full: every pair of state and event, in every mode."""

from firmware import events
from firmware.session import faults, states, table

MODES = ("ptt_hold", "ptt_toggle", "free")
RESTING = (states.IDLE, states.STANDBY)


def test_every_row_names_known_states_events_and_effects():
    from firmware.session.runner import Runner

    known = effect_names(Runner)
    for mode in MODES:
        for (state, event), (after, effects) in table.table_for(mode).items():
            assert state in states.STATES and after in states.STATES, (state, event)
            assert event in events.TABLE_EVENTS, event
            for effect in effects:
                assert effect in known, effect


def effect_names(runner_class):
    class Anything:
        def __getattr__(self, name):
            return None

    runner = runner_class("free", {}, None, None, Anything(), None, Anything(), None, Anything(), None)
    return set(runner._make_effects()) | set(faults.FAULTS)


def test_every_effect_is_used():
    from firmware.session.runner import Runner

    used = set()
    for mode in MODES:
        for _, effects in table.table_for(mode).values():
            used.update(effects)
    assert used == effect_names(Runner)


def test_every_state_but_standby_has_a_deadline_that_leaves_it():
    for mode in MODES:
        rows = table.table_for(mode)
        for state in reached(rows):
            if state in RESTING:
                continue
            assert states.deadline_name(mode, state), state
            after, _ = states.step(table.by_state(rows), state, events.DEADLINE)
            assert after != state, (mode, state)


def reached(rows):
    found = [states.OFFLINE]
    for state in found:
        for (origin, _), (after, _) in rows.items():
            if origin == state and after not in found:
                found.append(after)
    return found


def test_rest_is_reachable_from_everywhere_and_every_state_is_used():
    for mode in MODES:
        rows = table.table_for(mode)
        found = reached(rows)
        used = [s for s in states.STATES if mode != "free" or s not in (states.CALLING_TAIL, states.WAITING, states.TAIL)]
        assert sorted(found) == sorted(used), mode
        for state in found:
            assert states.IDLE in reached_from(rows, state), (mode, state)


def reached_from(rows, state):
    found = [state]
    for one in found:
        for (origin, _), (after, _) in rows.items():
            if origin == one and after not in found:
                found.append(after)
    return found


def test_a_pair_outside_the_table_changes_nothing():
    for mode in MODES:
        rows = table.table_for(mode)
        for state in states.STATES:
            for event in events.TABLE_EVENTS:
                after, effects = states.step(table.by_state(rows), state, event)
                if (state, event) not in rows:
                    assert after == state and effects == ()


def test_a_lost_link_leaves_every_state_that_needs_one():
    for mode in MODES:
        rows = table.table_for(mode)
        for state in (states.CONNECTING, states.IDLE, states.LISTENING, states.THINKING):
            assert states.step(table.by_state(rows), state, events.LINK_LOST)[0] == states.OFFLINE, (mode, state)
        assert states.step(table.by_state(rows), states.SPEAKING, events.LINK_LOST)[0] == states.FINISHING


def test_a_press_over_an_answer_silences_it_before_anything_else():
    for mode in MODES:
        _, effects = states.step(table.by_state(table.table_for(mode)), states.SPEAKING, events.PRESS)
        assert effects[0] == "flush" and effects[1] == "interrupt"


def test_recording_never_outlives_its_state():
    """Every way out of a state that records either keeps recording or ends it."""
    recording = (states.CALLING, states.LISTENING)
    enders = ("finish", "abort", "discard", "take_back")
    for mode in ("ptt_hold", "ptt_toggle"):
        for (state, event), (after, effects) in table.table_for(mode).items():
            if state in recording and after not in recording:
                assert [e for e in effects if e in enders], (mode, state, event)
    for (state, event), (after, effects) in table.table_for("free").items():
        talking = recording + (states.THINKING, states.SPEAKING)
        if state in talking and after not in talking:
            assert [e for e in effects if e in enders], (state, event)
