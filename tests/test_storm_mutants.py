"""Each promise of the storms is broken on purpose, and its checker must say so; unbroken, the same run is clean."""

import pytest

from tools.storm import jobs, plans
from tools.storm.run import Job

PLAIN = {
    "board": "sim", "mode": "ptt_hold", "uplink_codec": "pcm", "downlink_codec": "pcm", "downlink_hz": 16000,
    "pacing_frames": 17, "pacing_frame_ms": 60, "volume_percent": 70, "prebuffer_ms": 120, "log_transcripts": True,
}  # fmt: skip
SECONDS = 40


def fault(name, at_ms, **parameters):
    return plans.Planned(at_ms, name, parameters)


def play(prepare=None, faults=(), seconds=SECONDS, seed=3, **settings):
    """What came of a short run in which prepare(run) broke something."""
    job = Job(seed, "mutant", seconds / 60, list(faults), dict(PLAIN, **settings))
    outcome = jobs.play(job, is_kept=False, prepare=prepare)
    assert not outcome.crash, outcome.crash
    return outcome


def broken(number, text, *arguments, **keywords):
    """The run breaks this promise, in these words."""
    outcome = play(*arguments, **keywords)
    assert outcome.violation is not None, "nobody noticed; %s" % outcome.counts
    assert outcome.violation[1] == number and text in outcome.violation[2], outcome.violation


def every(n, function, otherwise):
    """A function that does something else each n-th time."""
    calls = [0]

    def call(*arguments):
        calls[0] += 1
        return otherwise(*arguments) if calls[0] % n == 0 else function(*arguments)

    return call


# The runs as they are, without which the rest would prove nothing.

LATE = fault("late_audio", 3000, ms=3000, canceled_first=False, for_ms=60_000)
RESET = fault("reset", 12_000, for_ms=0)
SECRET = fault("error_event", 3000, code=9999, on="conversation.chat.created", then="stop", for_ms=60_000)
MUTE = fault("no_audio", 3000, for_ms=60_000)
REFUSED = fault("refused", 12_000, for_ms=60_000)
PINGS = fault("many_pings", 3000, for_ms=60_000)
FLOOD = fault("flood", 3000, answer_ms=50_000, for_ms=60_000)
STALL = fault("stall", 3000, for_ms=60_000)


@pytest.mark.parametrize(
    "faults", [(), (LATE,), (RESET,), (SECRET,), (MUTE,), (REFUSED,), (PINGS, FLOOD), (STALL,)],
    ids=lambda faults: "+".join(one.name for one in faults) or "calm",
)  # fmt: skip
def test_the_unbroken_speaker_keeps_every_promise(faults):
    outcome = play(faults=faults)
    assert outcome.violation is None
    assert outcome.counts["turns"] > 0


# 1: questions


def test_a_frame_that_is_sent_twice():
    def prepare(run):
        run.speaker.uplink.pop = every(40, run.speaker.uplink.pop, lambda: None)

    broken(1, "sent twice", prepare)


@pytest.mark.parametrize("codec", ["pcm", "g711a", "g711u"])
def test_a_frame_that_is_not_sent(codec):
    def prepare(run):
        uplink = run.speaker.uplink
        plain = uplink.push_pcm
        run.speaker.recorder._uplink = Proxy(uplink, push_pcm=every(57, plain, lambda *frame: None))

    # A coded frame that never reached the coder leaves a smear as well as a hole.
    broken(1, "", prepare, uplink_codec=codec)


class Proxy:
    """Another object with some attributes of its own."""

    def __init__(self, inner, **own):
        self.__dict__.update(own, _inner=inner)

    def __getattr__(self, name):
        return getattr(self._inner, name)


def test_a_question_that_ends_before_the_release():
    def prepare(run):
        run.speaker.uplink._tail_frames = 0

    broken(1, "before the release are missing", prepare)


def test_a_question_that_begins_behind_the_press():
    def prepare(run):
        run.speaker.uplink._preroll_frames = 0
        uplink = run.speaker.uplink
        plain = uplink.start

        def start(*arguments):
            plain(*arguments)
            uplink.push_pcm = lambda *frame: run.clock.now_ms % 500 < 250 and type(uplink).push_pcm(uplink, *frame)

        uplink.start = start

    broken(1, "", prepare)


def test_bytes_that_are_no_websocket():
    def prepare(run):
        connect = run.speaker.ports.connect

        async def connecting(*arguments):
            stream = await connect(*arguments)
            plain = stream.write
            stream.write = every(60, plain, lambda buf, at, n: plain(buf, at, n) and n - 1)
            return stream

        run.speaker.ports.connect = connecting

    broken(1, "", prepare)


# 2 and 3: answers


def test_sound_that_goes_on_after_an_interruption():
    def prepare(run):
        player = run.speaker.player
        player._restart = lambda: None  # the DMA plays what it has

    broken(2, "after it had been interrupted", prepare)


def test_late_audio_of_a_dead_answer():
    def prepare(run):
        run.speaker.cloud._is_live = lambda *arguments: True

    broken(2, "after it had been interrupted", prepare, [LATE], seconds=90)


def _spoil_blocks(run, spoil):
    player = run.speaker.player
    plain = player._write
    player._write = every(30, plain, lambda mv: plain(spoil(bytes(mv))))


def test_a_sample_that_is_dropped():
    broken(3, "", lambda run: _spoil_blocks(run, lambda block: block[2:] + block[-2:]))


def test_a_sample_that_is_doubled():
    broken(3, "", lambda run: _spoil_blocks(run, lambda block: block[:2] + block[:-2]))


def test_an_answer_that_is_not_heard_to_its_end():
    def prepare(run):
        player = run.speaker.player
        plain = player.complete

        def complete():
            player._ring.drop_newest(min(600, player._ring.used))
            plain()

        player.complete = complete
        run.speaker.session._effects["complete_audio"] = complete

    broken(3, "were not heard", prepare)


# 4: states


def test_a_deadline_that_is_ignored():
    def prepare(run):
        run.speaker.session._limits["answer_wait_ms"] = 10**8

    broken(4, "the state thinking lasts", prepare, [MUTE], seconds=60)


def test_a_speaker_that_never_connects_again():
    def prepare(run):
        connector = run.speaker.connector
        plain = connector.start_after
        connector.start_after = lambda ms: run.clock.now_ms < 5000 and plain(ms)

    reset = fault("reset", 6000, for_ms=0)
    broken(4, "after the last fault", prepare, [reset], seconds=75)


def test_a_conversation_that_is_forgotten():
    def prepare(run):
        cloud = run.speaker.cloud
        plain = cloud.opened

        def opened():
            cloud.conversation_id = ""
            return plain()

        cloud.opened = opened

    broken(4, "was lost in a reconnect", prepare, [RESET])


def test_a_task_that_dies():
    def prepare(run):
        run.speaker.session._effects["finish"] = lambda: 1 // 0

    broken(4, "ZeroDivisionError", prepare)


# 5: memory


def test_a_speaker_that_grows():
    def prepare(run):
        run.speaker.session.leak = []
        run.speaker.session._effects["record"] = every(
            1, None, lambda: (run.speaker.session.leak.extend([i] for i in range(15)), run.speaker.session._record())
        )

    broken(5, "objects", prepare, seconds=150)


def test_a_queue_without_a_limit():
    def prepare(run):
        from frame_queue import FrameQueue

        uplink = run.speaker.uplink
        uplink._limit_frames = 10**6
        uplink._queue = FrameQueue(2000, 640)
        uplink._push = uplink._queue.push

    stall = fault("stall", 8000, for_ms=60_000)
    broken(5, "uplink ms", prepare, [stall], mode="free")


# 6: the link


def test_pings_that_are_not_answered(monkeypatch):
    from firmware.net.link import Link

    monkeypatch.setattr(Link, "_choose_pong", lambda link: setattr(link, "_pong_bytes", -1) or False)
    broken(6, "has no pong", None)


def test_a_reader_that_stops_for_a_full_ring():
    def prepare(run):
        run.speaker._intake._pause_ms = 60_000
        run.speaker._intake._left_ms = 60_000

    broken(6, "", prepare, [FLOOD], seconds=60, answer_max_s=5)


def test_a_storm_of_attempts():
    def prepare(run):
        run.speaker.connector.retry_delay_ms = lambda: 50

    broken(6, "attempts to connect", prepare, [REFUSED])


# 7: secrets


def test_a_secret_that_is_told():
    def prepare(run):
        from firmware.errors import CloudError

        run.speaker.cloud._error = lambda code, text, log_id: CloudError(text, None, code, log_id)

    broken(7, "a secret was told", prepare, [SECRET])
