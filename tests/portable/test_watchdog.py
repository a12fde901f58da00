"""The watchdog: fed by progress alone, silent after an orderly end, and what it kept is told at the next start."""

import json

from check import IS_MICROPYTHON, Clock, assert_no_allocation, ports

from firmware import errors, report, trace, watchdog

STATES = ("standby", "idle", "speaking")
PARTS = ("controls", "recorder", "player")


class Chip:
    """Stands for `machine`: feeds are counted, its clock keeps what is written through a reset."""

    PWRON_RESET = 1
    HARD_RESET = 2
    WDT_RESET = 3

    def __init__(self):
        self.cause = self.PWRON_RESET
        self.kept = b""
        self.timeout_ms = 0
        self.feeds = 0
        self.writes = 0
        self.is_without_memory = False

    def reset_cause(self):
        return self.cause

    def WDT(self, timeout):
        self.timeout_ms = timeout
        return self

    def feed(self):
        self.feeds += 1

    def RTC(self):
        return object() if self.is_without_memory else self

    def memory(self, data=None):
        if data is None:
            return self.kept
        self.writes += 1
        self.kept = bytes(data)


class Session:
    def __init__(self):
        self.state = "idle"
        self.error = None


class Speaker:
    """A watchdog with three parts on a clock that is moved by hand."""

    def __init__(self, chip):
        self.chip = chip
        self.clock = Clock()
        self.counts = {"controls": 0, "recorder": 0, "player": 0}
        self.session = Session()
        self.trace = trace.Trace(self.clock.ticks_ms)
        self.lines = []
        report.sink = lambda line: self.lines.append(json.loads(line))
        self.dog = watchdog.Watchdog(
            chip, 5000, ports(ticks_ms=self.clock.ticks_ms), self.trace, self.session, STATES,
            [(name, lambda name=name: self.counts[name]) for name in PARTS],
        )  # fmt: skip
        self.dog.report_last()
        self.dog.arm()

    def second(self, *alive):
        """One second in which these parts go on (all of them, when none is named)."""
        self.clock.advance(1000)
        for name in alive or self.counts:
            self.counts[name] = self.counts[name] + 1 & 0xFFFF
        self.dog.look(self.clock.ms)


def test_it_is_fed_while_every_part_goes_on():
    speaker = Speaker(Chip())
    assert speaker.chip.timeout_ms == 5000
    before = speaker.chip.feeds
    for _ in range(10):
        speaker.second()
    assert speaker.chip.feeds == before + 10


def test_one_part_that_stops_is_enough():
    for stopped in ("controls", "recorder", "player"):
        speaker = Speaker(Chip())
        speaker.second()
        fed = speaker.chip.feeds
        for _ in range(6):
            speaker.second(*[name for name in speaker.counts if name != stopped])
        assert speaker.chip.feeds == fed, "nobody feeds it while the %s stands still" % stopped
        speaker.second()
        assert speaker.chip.feeds == fed + 1, "it went on before the bite"


def test_parts_that_are_slow_in_turn_have_all_gone_on():
    speaker = Speaker(Chip())
    fed = speaker.chip.feeds
    for _ in range(3):
        speaker.second("controls")
        speaker.second("recorder")
        speaker.second("player")
    assert speaker.chip.feeds == fed + 3


def bitten(chip, *alive):
    """A chip on which a speaker was reset while only these parts went on."""
    speaker = Speaker(chip)
    speaker.trace.add(trace.PRESS)
    for _ in range(3):
        speaker.second()
    speaker.session.state = "speaking"
    speaker.session.error = errors.LinkError("no", errors.TIMEOUT)
    speaker.trace.add(trace.UNDERRUN, 1234)
    for _ in range(5):
        speaker.second(*alive)
    chip.cause = chip.WDT_RESET
    return chip


def told(chip):
    speaker = Speaker(chip)
    return [line for line in speaker.lines if line["kind"] == "postmortem"]


def test_the_next_start_tells_what_had_stopped():
    chip = bitten(Chip(), "controls", "recorder")
    (line,) = told(chip)
    assert line["cause"] == "watchdog" and line["stopped"] == ["player"] and line["stopped_ms"] == 5000
    assert line["state"] == "speaking" and line["error_kind"] == "timeout" and line["uptime_s"] == 8
    assert [row.split()[1:] for row in line["lines"]] == [["press", "0"], ["underrun", "1234"]]
    assert not line["is_dead"] and line["text"]
    assert IS_MICROPYTHON == (line["heap_free_bytes"] > 0)
    chip.cause = chip.PWRON_RESET
    chip.kept = b""
    assert told(chip) == [], "once"


def test_a_loop_that_hangs_is_the_part_that_stopped():
    """It can no longer look, so all that was kept is that everything was well."""
    chip = bitten(Chip())
    (line,) = told(chip)
    assert line["stopped"] == ["loop"] and line["uptime_s"] == 8


def test_an_orderly_end_keeps_nothing_and_lets_the_prompt_live():
    chip = Chip()
    speaker = Speaker(chip)
    speaker.second()
    speaker.dog.retire()
    assert chip.kept == b"" and chip.timeout_ms == 0x3FFFFFFF
    assert chip.timeout_ms * 4 < 1 << 32, "the port's timer counts so far"
    assert told(chip) == []


def test_a_part_that_dies_is_told_although_nothing_stood_still():
    chip = Chip()
    speaker = Speaker(chip)
    speaker.second()
    speaker.dog.keep_death()
    assert chip.timeout_ms == 5000, "armed as before: the speaker is started anew"
    chip.cause = chip.WDT_RESET
    (line,) = told(chip)
    assert line["is_dead"]


def test_a_crash_without_the_watchdog_is_told_as_well():
    chip = bitten(Chip(), "controls")
    chip.cause = chip.HARD_RESET
    (line,) = told(chip)
    assert line["cause"] == "reset" and line["stopped"] == ["recorder", "player"]


def test_what_is_broken_or_of_somebody_else_is_not_told():
    kept = bitten(Chip()).kept
    broken = bytearray(kept)
    broken[30] ^= 1
    for memory in (b"", b"PWD1", b"x" * 300, kept[:-1], kept + b"\0", bytes(broken)):
        chip = Chip()
        chip.kept = memory
        assert told(chip) == [], memory[:8]
        chip.cause = chip.WDT_RESET
        chip.kept = memory
        (line,) = told(chip)
        assert line["cause"] == "watchdog" and "state" not in line


def test_a_port_without_that_memory_is_watched_all_the_same():
    chip = Chip()
    chip.is_without_memory = True
    speaker = Speaker(chip)
    fed = chip.feeds
    speaker.second()
    assert chip.feeds == fed + 1
    speaker.dog.retire()


def test_the_newest_entries_are_kept_and_they_fit():
    chip = Chip()
    speaker = Speaker(chip)
    for i in range(1000):
        speaker.trace.add(trace.PONG, i)
    speaker.second()
    assert len(chip.kept) <= 2048
    chip.cause = chip.WDT_RESET
    (line,) = told(chip)
    assert [int(row.split()[2]) for row in line["lines"]] == list(range(960, 1000))


def test_a_look_allocates_next_to_nothing():
    speaker = Speaker(Chip())
    buf = bytearray(600)
    for i in range(100):
        speaker.trace.add(trace.PONG, i)
    assert assert_no_allocation(speaker.trace.pack_into, buf, 20, 40) == 40
