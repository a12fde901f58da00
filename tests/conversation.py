"""Scenes for the conversation tests: each is one run of the real main.py against an emulated cloud of its own.

Over real sockets with verified TLS, on either interpreter, in real time. So the scenes of all test modules that were
selected run together, some at once, before the first test looks at any of them; a test only asserts on what they left.

    SCENES = {"a question": Scene("wait idle; press; say ask.wav; ...", on=("cpython", "micropython"))}

    @pytest.fixture(scope="module")
    def outcome(request, tmp_path_factory):
        return conversation.play(request, tmp_path_factory)

    def test_it(outcome):
        run = outcome("a question", "micropython")
"""

import asyncio
import json
import os
import random
import time
import wave
from array import array

import numpy
import pytest

from firmware import boards
from tools import ROOT, listen, mpy
from tools.cloud import records, scenario
from tools.cloud.server import CloudServer
from tools.sim import runner
from tools.soak.proxy import Proxy

PAUSE_LIMIT_MS = 60  # the loudspeaker's DMA holds 80 ms
MOST_TRIES = 3
AT_ONCE = min(24, 6 * (os.cpu_count() or 1))  # each takes some hundredths of a core, but for its start
TIMEOUT_S = 60
TOKEN = "pat_must-never-be-seen-6a1f9c"
WIFI_PASSWORD = "also-never-to-be-seen-77"
MIC_KHZ = 16
CPYTHON, MPY64, MPY32 = EVERYWHERE = runner.INTERPRETERS
SPEECH = os.path.join(ROOT, "tests", "speech")


class Scene:
    """What happens in one run.

    script    of simworld/script.py, with `;` for the end of a line; `say` finds tests/speech and what make_clips makes
    on        the interpreters; the scene is run once on each
    cloud     a scenario: a dict, or the name of one that comes along
    config    settings that differ from those in `run_scene`
    world     keywords of simworld.world.World
    server    further keywords of CloudServer
    roots     "cloud": those of its cloud; "stranger": another authority's; "none"
    proxy     None, or what a proxy between speaker and cloud does: [(what, nth, action), ...]. When the nth message or
              report of that type has been seen (0: before the speaker starts), action(proxy) is called; what it
              returns, if anything, is awaited beside the rest
    blocks    True: the speaker itself stands still in it, by a call that waits
    options   further keywords of tools.sim.runner.run
    """

    def __init__(
        self, script, on=(CPYTHON,), cloud=None, config=None, world=None, server=None, roots="cloud",
        proxy=None, blocks=False, **options
    ):
        self.script = script.replace(";", "\n")
        self.on = on
        self.cloud = cloud if cloud is not None else answers(700)
        self.config = config or {}
        self.world = world or {}
        self.server = server or {}
        self.roots = roots
        self.proxy = proxy
        self.blocks = blocks
        self.options = options


def answers(*lengths_ms, faults=(), first_audio_ms=200, **options):
    """A scenario: one turn for each length, with an answer of noise that no other answer holds.

    faults    of the turns: a list of faults for each turn, as far as given
    options   further keys of the scenario
    """
    turns = []
    for i, ms in enumerate(lengths_ms):
        turns.append({
            "heard": "question %d" % (i + 1),
            "first_audio_ms": first_audio_ms,
            "answer": [{"text": "Answer %d." % (i + 1), "audio": {"signal": "noise", "ms": ms, "seed": i + 1}}],
            "faults": list(faults[i]) if i < len(faults) else [],
        })
    options.setdefault("connection_faults", [])
    return {
        "turns": turns, "faults": options.pop("connection_faults"), "recognise_ms": 60, "created_ms": 20, **options
    }  # fmt: skip


def ask(ms=450, clip="ask.wav"):
    """Commands for a question in push-to-talk: the clip begins before the press and ends after the release."""
    return "say %s; sleep 150; press; sleep %d; release; " % (clip, ms)


class Outcome:
    """What a scene left behind.

    result           tools.sim.runner.Result
    cloud            the CloudServer, stopped: turns, utterances, connections
    log              every message as a Message, in order
    rate_hz, played  the loudspeaker's record, an array of samples from the start of the world on
    room             what was to be heard at the microphone, an array of 16 kHz samples on the same time line
    tries            how often it was played until this machine did not disturb it
    """

    def __init__(self, name, interpreter, result, cloud, log, files):
        self.name = name
        self.interpreter = interpreter
        self.result = result
        self.cloud = cloud
        self._files = files
        self._sounds = {}
        self.tries = 1
        start_ms = result.run.get("t_ms_start", 0)
        self.log = [Message((message[0] - start_ms) % (1 << 30), *message[1:]) for message in log]

    @property
    def turns(self):
        """The speaker's reports of its turns."""
        return self.result.of_kind("turn")

    @property
    def outcomes(self):
        return [report["outcome"] for report in self.turns]

    @property
    def errors(self):
        """The kinds of the errors reported, in order."""
        return [report["error_kind"] for report in self.result.of_kind("error")]

    @property
    def trace(self):
        """[(t_ms of the world, name, argument)]: everything the speaker traced."""
        start_ms = self.result.run["t_ms_start"]
        with open(self._files["trace"], encoding="utf-8") as file:
            rows = [line.split() for line in file]
        return [((int(t_ms) - start_ms) % (1 << 30), name, int(arg)) for t_ms, name, arg in rows]

    def traced(self, name):
        return [arg for _, each, arg in self.trace if each == name]

    @property
    def rate_hz(self):
        return self.result.speaker["rate_hz"]

    @property
    def board(self):
        return self.result.of_kind("boot")[0]["board"]

    @property
    def played(self):
        return self._sound("speaker")

    @property
    def room(self):
        return self._sound("mic")

    def _sound(self, name):
        if name not in self._sounds:
            self._sounds[name] = listen.read_wav(self._files[name])[1]
        return self._sounds[name]

    def at_ms(self, what, nth=0):
        """When the person did this, in ms of the world."""
        return [t_ms for t_ms, action in self.result.run["actions"] if action == what][nth]

    def state_ms(self, state, nth=0):
        return self.result.report_ms([r for r in self.result.of_kind("state") if r["state"] == state][nth])

    def sent(self, *event_types):
        """The speaker's own messages of these types."""
        return [m for m in self.log if m.direction == "up" and m.event_type in event_types]

    def received(self, *event_types):
        return [m for m in self.log if m.direction == "down" and m.event_type in event_types]

    def everything_said(self):
        """All text that left the speaker by any way, for those who look for secrets."""
        texts = [json.dumps(self.result.reports, ensure_ascii=False), "\n".join(self.result.output)]
        texts += [self.result.stderr, json.dumps(self.result.run, ensure_ascii=False)]
        if os.path.exists(self._files["trace"]):
            with open(self._files["trace"], encoding="utf-8") as file:
                texts.append(file.read())
        return "\n".join(texts)


class Message:
    """t_ms: of the speaker's world, when the cloud made or met it; text: the JSON."""

    def __init__(self, t_ms, connection, direction, event_type, text):
        self.t_ms = t_ms
        self.connection = connection
        self.direction = direction
        self.event_type = event_type
        self.text = text

    @property
    def data(self):
        return json.loads(self.text).get("data")

    def __repr__(self):
        return "%d %s %s" % (self.t_ms, self.direction, self.event_type)


class _Log(records.Observer):
    """Every message with the time of the clock that the speaker's process shares with this one."""

    def __init__(self, trouble):
        self.rows = []
        self._trouble = trouble

    def message(self, connection, direction, now_ms, event_type, text):
        t_ms = time.monotonic_ns() // 1_000_000 % (1 << 30)
        self.rows.append((t_ms, connection.number, direction, event_type, text))
        self._trouble.saw(event_type)


class _Trouble:
    """What the proxy of a scene does, and when."""

    def __init__(self, plan):
        self._plan = plan or ()
        self._seen = {}
        self._running = []
        self.proxy = None

    def begin(self, proxy):
        self.proxy = proxy
        self._act("", 0)

    def saw(self, what):
        self._seen[what] = self._seen.get(what, 0) + 1
        self._act(what, self._seen[what])

    def _act(self, what, count):
        for wanted, nth, action in self._plan:
            if nth == count and wanted in ("", what):
                lasting = action(self.proxy)
                if lasting is not None:
                    self._running.append(asyncio.ensure_future(lasting))

    def end(self):
        for task in self._running:
            task.cancel()


# -- running


def play(request, tmp_path_factory):
    """outcome(name, interpreter=CPYTHON, exit_code=0) for the scenes of the module that asks; plays them all first."""
    session = request.session
    if not hasattr(session, "pipit_outcomes"):
        modules = {item.module.__name__: item.module for item in session.items if hasattr(item.module, "SCENES")}
        scenes = {
            (module, name, interpreter): scene
            for module in modules
            for name, scene in modules[module].SCENES.items()
            for interpreter in scene.on
        }
        began_s = time.monotonic()
        session.pipit_outcomes = asyncio.run(_play_all(scenes, str(tmp_path_factory.mktemp("conversation"))))
        request.config.pipit_figures.append(
            "conversations: %d scenes in %.0f s, %d at once; %s"
            % (len(scenes), time.monotonic() - began_s, AT_ONCE, _how_busy(session.pipit_outcomes.values()))
        )
    module = request.module.__name__

    def outcome(name, interpreter=CPYTHON, exit_code=0):
        found = session.pipit_outcomes[module, name, interpreter]
        if isinstance(found, mpy.MissingMicroPython):
            if os.environ.get("ALLOW_NO_MPY") == "1":
                pytest.skip("NOT TESTED ON MICROPYTHON, because ALLOW_NO_MPY=1: %s" % found)
            pytest.fail(str(found), pytrace=False)
        if isinstance(found, Exception):
            raise found
        assert found.result.exit_code == exit_code, found.result.why()
        return found

    outcome.all = {key[1:]: found for key, found in session.pipit_outcomes.items() if key[0] == module}
    return outcome


def _how_busy(outcomes):
    """Sound that came too late, both ways. Some scenes are made so; what is more comes from a machine that is busy."""
    runs = [run for run in outcomes if isinstance(run, Outcome) and run.result.run]
    again = sum(run.tries - 1 for run in runs)
    deaf = [run for run in runs if run.result.mic["lost"]]
    heard = [report for run in runs for report in run.turns if report["first_sample_ms"] >= 0]
    gaps = sum(report["underruns"] for report in heard)
    return "%d underruns in %d answers, in %d scenes the microphone's DMA ran over, %d played again" % (
        gaps, len(heard), len(deaf), again
    )  # fmt: skip


async def play_undisturbed(scene, play_once, make_pulse=None):
    """The Outcome of `await play_once(number of the try)`, of a try in which this machine let speaker and cloud run.

    Who got no processor for longer than the DMA lasts shows what the machine does, not what the speaker does. Whether
    they got one is measured, and judged before any test has looked; the last try is taken as it is, so a speaker that
    stands still by its own fault is found.
    """
    for number in range(1, MOST_TRIES + 1):
        async with (make_pulse or Pulse)() as pulse:
            outcome = await play_once(number)
        outcome.tries = number
        if max(pulse.longest_pause_ms, 0 if scene.blocks else outcome.result.longest_pause_ms) <= PAUSE_LIMIT_MS:
            break
    return outcome


class Pulse:
    """For how long this process, in which the clouds live, stood still: `async with`, then longest_pause_ms."""

    _EVERY_S = 0.01

    async def __aenter__(self):
        self.longest_pause_ms = 0
        self._task = asyncio.ensure_future(self._beat())
        return self

    async def __aexit__(self, *_):
        self._task.cancel()

    async def _beat(self):
        last_s = time.monotonic()
        while True:
            await asyncio.sleep(self._EVERY_S)
            now_s = time.monotonic()
            self.longest_pause_ms = max(self.longest_pause_ms, int((now_s - last_s - self._EVERY_S) * 1000))
            last_s = now_s


async def _play_all(scenes, folder):
    make_clips(folder)
    for scene in scenes.values():
        _warm_up(scene)
    free_places = asyncio.Semaphore(AT_ONCE)
    starter = asyncio.Lock()

    async def play_one(number, key, scene):
        async with free_places:

            def play_once(nth):
                base = os.path.join(folder, "%03d-%d" % (number, nth))
                return run_scene(scene, key[1], key[2], folder, base, starter)

            try:
                return await play_undisturbed(scene, play_once)
            except Exception as error:  # of this scene: its own tests tell
                return error

    keys = sorted(scenes, key=lambda key: -_guess_length(scenes[key].script))  # the longest first: none is waited for
    outcomes = await asyncio.gather(*(play_one(i, key, scenes[key]) for i, key in enumerate(keys)))
    return dict(zip(keys, outcomes))


def _warm_up(scene):
    """Make the sound of its answers now: it is kept, and while others play it would hold up their clouds."""
    codec = scene.config.get("downlink_codec", "g711a")
    rate_hz = scene.config.get("downlink_hz", 16000) if codec == "pcm" else 8000
    for script in scenario.load(scene.cloud).turns:
        for sentence in script.answer:
            sentence.samples(rate_hz)


def _guess_length(script):
    """Of a scene, in ms."""
    words = script.split()
    return sum(int(ms) for verb, ms in zip(words, words[1:]) if verb == "sleep") + 700 * words.count("wait")


async def run_scene(scene, name, interpreter, clips_dir, base, starter=None):
    """Play one scene; returns its Outcome. clips_dir: see make_clips; base: how the names of its files begin.

    starter: a lock. Who starts takes a whole core for a while, which would disturb the sound of several others.
    """
    trouble = _Trouble(scene.proxy)
    log = _Log(trouble)
    start = _Start(starter or asyncio.Lock())

    def on_line(report):
        start.on_line(report)
        trouble.saw(report["kind"])

    files = {"speaker": base + "-speaker.wav", "mic": base + "-mic.wav", "trace": base + "-trace.txt"}
    options = {"tls": True, "token": TOKEN, "observer": log, **scene.server}
    runner.command_for(interpreter)  # a missing interpreter is told before anything is begun
    async with CloudServer(scene.cloud, **options) as server, Proxy(server.port) as proxy:
        settings = {"token": TOKEN, "wifi_password": WIFI_PASSWORD, "volume_percent": 100, **scene.config}
        if scene.proxy is not None:
            settings["cloud_url"] = "wss://localhost:%d/v1/chat" % proxy.port
        try:
            trouble.begin(proxy)
            await start.begin()
            result = await runner.run(
                settings,
                cloud=server,
                interpreter=interpreter,
                script=scene.script,
                script_name=name,
                clips_dir=clips_dir,
                speaker=files["speaker"],
                mic_record=files["mic"],
                trace=files["trace"],
                on_line=on_line,
                roots=_roots(scene.roots, server, base),
                world={"noise_peak": 200, **scene.world},
                **{"timeout_s": TIMEOUT_S, **scene.options},
            )
        finally:
            start.end()
            trouble.end()
    return Outcome(name, interpreter, result, server, log.rows, files)


class _Start:
    """Holds the lock from the start of a speaker to its first report."""

    def __init__(self, lock):
        self._lock = lock
        self._is_held = False

    async def begin(self):
        await self._lock.acquire()
        self._is_held = True

    def on_line(self, report):
        self.end()

    def end(self):
        if self._is_held:
            self._is_held = False
            self._lock.release()


def _roots(which, server, base):
    if which == "cloud":
        return server.ca_der_folder
    folder = base + "-roots"
    os.makedirs(folder)
    if which == "none":
        return folder
    from tools.cloud.authority import Authority

    return str(Authority(folder).der_folder)


def make_clips(folder):
    """What is said at the microphone: the spoken files, and noise, of which no stretch is like another."""
    for name in os.listdir(SPEECH):
        if name.endswith(".wav"):
            os.symlink(os.path.join(SPEECH, name), os.path.join(folder, name))
    for number, name in enumerate(("ask.wav", "again.wav")):
        chance = random.Random(number)
        write_wav(os.path.join(folder, name), [chance.randint(-6000, 6000) for _ in range(MIC_KHZ * 660)])
    _, stop = listen.read_wav(os.path.join(SPEECH, "stop.wav"))
    write_wav(os.path.join(folder, "halt.wav"), stop[: MIC_KHZ * 450])  # the first word


def write_wav(path, samples, rate_hz=1000 * MIC_KHZ):
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(array("h", samples).tobytes())


# -- what was heard


def assert_played(run, *expected):
    """The loudspeaker played these answers in this order, sample by sample, and nothing else at all.

    expected   (a turn of the cloud, or samples; "whole" or "part"): the exact whole answer, or an exact head of it
    Returns the listen.Heard of each. Silences inside an answer must be what the speaker reports as underruns.
    """
    played = run.played
    begin = 0
    found = []
    for answer, how in expected:
        sent = array("h", answer.pcm) if isinstance(answer, records.Turn) else answer
        heard = listen.find_answer(played, sent, begin)
        assert heard is not None, "an answer of %d samples was not played" % len(sent)
        assert not any(played[begin : heard.start]), "something was played before an answer"
        if how == "whole":
            assert len(heard.samples) == len(sent), "%d of %d samples" % (len(heard.samples), len(sent))
            assert answer is sent or bytes(answer.sent) == answer.planned, "the cloud itself did not send it all"
        else:
            assert len(heard.samples) < len(answer.planned) // answer.wire_format.bytes_per_sample
        found.append(heard)
        begin = heard.end
    rest = numpy.flatnonzero(played[begin:])
    assert not rest.size, "something was played at sample %d" % (begin + int(rest[0]))
    _check_gaps(run, [gap for heard in found for gap in heard.gaps])
    return found


def assert_heard_then_beeps(run, before, last, has_beeps):
    """The loudspeaker played the answers `before`, some beeps or none, and `last`; see assert_played.

    Beeps are short and lie between the answers: what is taken out for them is no longer than the longest pattern.
    """
    played = run.played
    heard = listen.find_answer(played, array("h", last[0].pcm), 0)
    assert heard is not None, "the last answer was not played"
    begin = 0
    for answer, _ in before:
        part = listen.find_answer(played, array("h", answer.pcm), begin)
        assert part is not None, "an answer was not played"
        begin = part.end
    beeps = numpy.flatnonzero(played[begin : heard.start])
    assert bool(beeps.size) == has_beeps, "beeps are heard: %s" % bool(beeps.size)
    quiet = array("h", played)
    for at in beeps:
        quiet[begin + int(at)] = 0
    assert not beeps.size or beeps[-1] - beeps[0] < run.rate_hz * _BEEPS_MS // 1000
    run._sounds["speaker"] = quiet
    return assert_played(run, *before, last)


_BEEPS_MS = 600  # the longest pattern of firmware/audio/beeps.py


def _check_gaps(run, gaps):
    """Silences inside answers are the fault of a busy machine, if of anybody: they must have been noticed.

    The speaker knows the DMA only to a block of 256 samples, so it may take a shorter silence for none.
    """
    noticed = sum(turn["underruns"] for turn in run.turns)
    assert len([gap for gap in gaps if gap > 2 * 256]) <= noticed <= len(gaps), (gaps, run.turns)


def place_of(run, utterance):
    """(first sample, end) of a PCM utterance on the time line of the room: exactly what the microphone gave there."""
    room, times = given(run)
    at = find(room.tobytes(), utterance.pcm)
    assert at >= 0, "the microphone did not give what arrived"
    return int(times[at]), int(times[at + len(utterance.pcm) // 2 - 1]) + 1


def place_of_g711(run, utterance):
    """(first sample, end, SNR in dB) of a G.711 utterance: against a low-pass of our own over what the microphone gave.

    An ideal half-band filter, much longer than the speaker's, so the two differ between 3.4 and 4.6 kHz.
    """
    taps = numpy.sinc((numpy.arange(255) - 127) / 2) * numpy.kaiser(255, 8) / 2
    room, times = given(run)
    narrow = numpy.convolve(room, taps, "same")  # no delay: narrow[i] stands at room[i]
    got = numpy.frombuffer(utterance.pcm, dtype="<i2").astype(float)
    near = int(numpy.searchsorted(times, MIC_KHZ * (run.at_ms("press") - 300)))
    places = range(max(0, near - MIC_KHZ * 100), near + MIC_KHZ * 100)
    found = max(places, key=lambda at: _likeness(narrow[at : at + 2 * len(got) : 2], got))
    expected = narrow[found : found + 2 * len(got) : 2]
    error = expected - got
    begin = found + _G711_DELAY_SAMPLES
    end = begin + 2 * len(got)
    return int(times[begin]), int(times[end - 1]) + 1, 10 * numpy.log10((expected @ expected) / (error @ error))


_G711_DELAY_SAMPLES = 16  # of the speaker's low-pass of 35 taps; the first sample taken is the second of a frame


def _likeness(a, b):
    return a @ b / numpy.sqrt((a @ a) * (b @ b) + 1) if len(a) == len(b) else -1


def given(run):
    """(samples, their numbers on the time line): what the microphone gave of what was to be heard.

    16 of its bits, 12 dB down and up again by the gain of the board, which may be more and then clips; without what
    its DMA lost because a busy machine kept everybody away.
    """
    gain_q8 = boards.load(run.board)["mic"]["gain_q8"]
    room = (numpy.array(run.room, dtype="<i2") >> 2).astype(int) * gain_q8 // 256
    room = numpy.clip(room, -32768, 32767)
    times = numpy.arange(len(room))
    lost = [numpy.arange(first, end) for first, end in run.result.mic["lost"]]
    if lost:
        room, times = numpy.delete(room, numpy.concatenate(lost)), numpy.delete(times, numpy.concatenate(lost))
    return room.astype("<i2"), times


def slack_ms(run):
    """How late anything may be, in ms: more on a machine that was too busy for the microphone's DMA."""
    lost = [end - first for first, end in run.result.mic["lost"]]
    return SLACK_MS + (DMA_MS + max(lost) // MIC_KHZ if lost else 0)


SLACK_MS = 25
DMA_MS = 128  # of the microphone of boards/sim.py


def clip_place(run, name):
    """(first sample, end) of a clip on the time line of the room."""
    with wave.open(os.path.join(os.path.dirname(run._files["mic"]), name), "rb") as file:
        clip = numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    at = find(numpy.array(run.room, dtype="<i2").tobytes(), clip.tobytes())
    assert at >= 0, "nobody said %s" % name
    return at, at + len(clip)


def find(samples, wanted):
    """Index of the first sample of `wanted` in `samples` (s16le bytes both), -1 when it is not there."""
    at = samples.find(wanted)
    while at > 0 and at % 2:
        at = samples.find(wanted, at + 1)
    return at // 2 if at >= 0 else -1


def assert_question_place(run, begin, end, pressed_ms, released_ms, preroll_ms=300, tail_ms=120):
    """An utterance of room samples begin..end reaches from the pre-roll to the tail.

    Both are whole frames of 20 ms of what has come out of the microphone's DMA, which gives 16 ms at a time, asked for
    every 5 ms.
    """
    before_ms = pressed_ms - begin / MIC_KHZ
    after_ms = end / MIC_KHZ - released_ms
    slack = slack_ms(run)
    assert preroll_ms - slack <= before_ms <= preroll_ms + 20 + 16 + 5 + slack, before_ms
    assert tail_ms - 20 - 16 - 5 - slack <= after_ms <= tail_ms + slack, after_ms


# -- what holds for every run


def assert_well_behaved(outcomes):
    """No run printed a secret, died of a bug, wrote half a DMA block, or sent audio behind the end of a question."""
    for key, run in outcomes.items():
        if isinstance(run, Exception):
            continue  # its own tests tell
        said = run.everything_said()
        assert TOKEN not in said and WIFI_PASSWORD not in said, key
        assert "bug" not in run.errors, (key, run.result.why())
        assert not run.result.output, (key, run.result.output)
        assert run.result.stderr == "" or run.result.exit_code, (key, run.result.stderr)
        assert "tx_late" not in run.result.counts, key
        assert not [u for u in run.cloud.utterances if u.fate == records.TIMED_OUT], key
        for report in run.turns:
            assert report["outcome"] in ("answered", "interrupted", "cut", "failed", "discarded"), (key, report)
