"""The session among its real parts, on stepped time: only microphone, loudspeaker, socket and cloud are stood in for.

Real: gestures, table, runner, uplink, the cloud's protocol object with its book of turns, the connector. A World is
synchronous for whoever drives it: every call lets things happen at once, `pass_ms` lets time go by.

    world = World("ptt_hold")
    world.settle(); world.press(); world.pass_ms(500); world.release(); world.settle()
    assert world.turns[-1]["outcome"] == "answered"

Every answer of the cloud is made of bytes that hold its number, so that what is heard tells whose answer it was.
"""

import asyncio
import base64
import functools
import json

import check
import frame_queue

from firmware import app, config, connector, errors, events, report, trace
from firmware.audio import codec, uplink
from firmware.clouds import coze
from firmware.session import gestures, runner, states

TICK_MS = 20
PIECE_MS = 60
ANSWER_PIECES = 4
RESTING = (states.IDLE, states.STANDBY, states.OFFLINE)
RECORDING = {
    "ptt": (states.CALLING, states.CALLING_TAIL, states.LISTENING, states.TAIL),
    "free": (states.CALLING, states.LISTENING, states.THINKING, states.SPEAKING),
}
SETTINGS = {
    "cloud_url": "ws://127.0.0.1/v1/chat", "bot_id": "7", "token": "t", "press_wait_ms": 1000, "keep_link_ms": 4000,
    "listen_max_ms": 1500, "answer_wait_ms": 1500, "stall_ms": 2000, "free_idle_ms": 5000, "connect_timeout_ms": 1000,
    "wifi_timeout_ms": 1000, "clock_timeout_ms": 1000, "retry_min_ms": 100, "retry_max_ms": 800, "preroll_ms": 100,
    "uplink_queue_ms": 1100, "close_timeout_ms": 200, "tail_ms": 200,
    "uplink_codec": "pcm",
}  # fmt: skip
SETTLE_MS = 20_000  # longer than the longest chain of deadlines: connect_limit_ms is 8 s


@functools.lru_cache
def _config(mode, settings):
    return config.parse(json.dumps(dict(SETTINGS, mode=mode, **dict(settings))))


class World:
    def __init__(self, mode, **settings):
        check._stepped.restart(0, 1 << 28)
        self.loop = check._SteppedLoop()
        self.mode = mode
        self.config = _config(mode, tuple(sorted(settings.items())))
        self.ports = check.ports(resolve=lambda host, port: (host, port))
        self.trace = trace.Trace(self.ports.ticks_ms)
        self.reports = []
        report.sink = lambda line: self.reports.append(json.loads(line))
        self.server = Server(self)
        self.player = Player(self)
        self.uplink = uplink.Uplink(
            codec.uplink(self.config.uplink_codec), self.config.uplink_queue_ms, self.config.preroll_ms, self.trace,
            self.config.tail_ms, lambda: self.session.post(events.UTTERANCE_END),
            lambda: self.session.post(events.OVERFLOW),
        )  # fmt: skip
        self.cloud = coze.Coze(self.config, "unit")
        self.is_refusing = None  # an error: what the next attempts to connect end with; "silent": nothing
        self.is_link_slow = False  # nothing that is to be sent goes out
        self.is_mic_dead = False
        self.link = None
        self.attempts = 0  # to connect
        self.connector = connector.Connector(
            self.config, self.ports, self.trace, self.cloud, _Wifi(), None, lambda: True, self._new_link,
            lambda event, error: self.session.fault(event, error),
        )  # fmt: skip
        self.session = runner.Runner(
            mode, app._limits(self.config), self.ports, self.trace, self.player, self.player, self.uplink, self.cloud,
            self.connector, self._on_state,
        )  # fmt: skip
        self.gestures = gestures.Gestures(
            mode == "ptt_hold", self.config.tap_ms, self.config.multi_tap_ms, self._on_gesture
        )
        self.is_down = False
        self.entered_ms = 0
        self.begun = 0  # turns
        self.deaths = []
        self.errors_of_ours = []
        self.loop.set_exception_handler(lambda loop, context: self.errors_of_ours.append(context.get("exception")))
        self._tasks = []
        self.do(self._start)

    # Driving

    def do(self, action):
        """Call action() inside the loop and let everything that is ready happen. Its exceptions come through."""

        async def main():
            action()
            for _ in range(6):
                await asyncio.sleep(0)

        check._stepped.spins = 0
        self.loop.run_until_complete(main())
        self.check()

    def pass_ms(self, ms):
        check._stepped.spins = 0
        self.loop.run_until_complete(asyncio.sleep(ms / 1000))
        self.check()

    def close(self):
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def _start(self):
        self.session.start()
        self._tasks = [asyncio.ensure_future(coro) for coro in (self.session.run(), self._live())]

    async def _live(self):
        frame = memoryview(bytearray(codec.FRAME_BYTES))
        while True:
            await asyncio.sleep(TICK_MS / 1000)
            if not self.is_mic_dead:
                self.uplink.push_pcm(frame, codec.FRAME_BYTES)
            self.player.step()
            if self.link is not None:
                self.link.step()
            self.server.step()

    # The person

    def press(self):
        self.is_down = True
        self.do(lambda: self.gestures.down(check.now_ms()))

    def release(self):
        self.is_down = False
        self.do(lambda: self.gestures.up(check.now_ms()))

    def click(self, ms=60):
        self.press()
        self.pass_ms(ms)
        self.release()

    def ask(self):
        """A whole question by the rules of the mode, spoken; returns when it is asked."""
        if self.mode == "ptt_hold":
            self.press()
            self.pass_ms(self.config.tap_ms + 150)
            self.release()
        elif self.mode == "ptt_toggle":
            self.click()
            self.pass_ms(self.config.multi_tap_ms + 100)
            self.click()
        else:
            self.click()
            for _ in range(200):  # until the link is there: earlier speech would be lost on this cloud
                if self.state in (states.LISTENING, states.IDLE):
                    break
                self.pass_ms(20)
            self.pass_ms(300)
            self.do(self.server.hear_speech)

    def _on_gesture(self, event):
        if event == events.PRESS and self.state in self._asking_states() or event == events.STOP:
            self.server.forsake_all()
        self.session.post(event)

    def _asking_states(self):
        """Where a press gives up every question that was asked before."""
        if self.mode == "free":
            return (states.THINKING, states.SPEAKING, states.FINISHING, states.LISTENING)
        return (states.WAITING, states.THINKING, states.SPEAKING, states.FINISHING)

    # The network

    def _new_link(self):
        self.link = Link(self)
        return self.link

    def lose_link(self, kind=errors.CONNECT):
        if self.link is not None:
            self.do(lambda: self.link.end(errors.LinkError("the cable was pulled", kind)))

    # What there is to see

    @property
    def state(self):
        return self.session.state

    @property
    def turns(self):
        return [line for line in self.reports if line["kind"] == "turn"]

    @property
    def errors(self):
        return [line["error_kind"] for line in self.reports if line["kind"] == "error"]

    def _on_state(self, state):
        self.entered_ms = check._stepped.elapsed_ms

    def check(self):
        """What holds at every instant at which nothing is under way."""
        assert not self.errors_of_ours, self.errors_of_ours
        for task in self._tasks:
            if task.done():
                task.result()
        assert "bug" not in self.errors, self.reports[-5:]
        state = self.state
        assert state in states.STATES
        assert state == states.STANDBY or self.session._has_deadline, "nothing will ever end %s" % state
        kind = "free" if self.mode == "free" else "ptt"
        assert not self.uplink.is_recording or state in RECORDING[kind], "the microphone is open in %s" % state
        assert self.session._turn_count - len(self.turns) <= 1, "a turn was never reported"

    def settle(self):
        """Everything is well from now on: wait for rest. Returns the ms it took."""
        began_ms = check._stepped.elapsed_ms
        self.is_refusing = None
        self.is_link_slow = self.is_mic_dead = False
        self.do(self.server.be_good)
        if self.is_down:
            self.release()
        while check._stepped.elapsed_ms - began_ms < SETTLE_MS:
            if self.state in RESTING and self.player.is_silent and self._is_quiet():
                return check._stepped.elapsed_ms - began_ms
            self.pass_ms(50)
        raise AssertionError("no rest in %d ms: %s, %s" % (SETTLE_MS, self.state, self.reports[-8:]))

    def _is_quiet(self):
        return self.session._turn is None

    def assert_works(self):
        """A press now leads to a turn that is answered, at the latest once the speaker has recovered."""
        before = len(self.turns)
        self.pass_ms(self.config.multi_tap_ms + 200)  # the last click counts no more
        self.ask()
        for _ in range(SETTLE_MS // 50):
            if len(self.turns) > before:
                break
            self.pass_ms(50)
        outcomes = [turn["outcome"] for turn in self.turns[before:]]
        assert outcomes == ["answered"], (outcomes, self.reports[-8:])
        assert self.player.heard and self.player.heard[-1] == self.server.answers[-1].number
        if self.mode == "free":
            self.pass_ms(self.config.multi_tap_ms + 100)
            self.click()  # ends free talk
            self.settle()


class _Wifi:
    is_up = True

    async def up(self, ssid, password, timeout_ms):
        pass


class Link:
    """Stands for firmware/net/link.Link: an open connection to the Server, with the writer's contract."""

    def __init__(self, world):
        self._world = world
        self._over = asyncio.Event()
        self._reason = None
        self.is_over = False
        self.audio_allowed = False
        self._utterance = -1
        self._messages = []

    def allow_audio(self, is_allowed):
        self.audio_allowed = is_allowed

    async def open(self, *where):
        refusal = self._world.is_refusing
        self._world.attempts += 1
        await asyncio.sleep(0.04)
        if refusal == "silent":
            for _ in range(self._world.config.connect_timeout_ms // TICK_MS):
                if self.is_over:
                    break
                await asyncio.sleep(TICK_MS / 1000)
            refusal = errors.LinkError("nobody answers", errors.TIMEOUT)
        if refusal is not None:
            raise refusal
        if self.is_over:
            raise errors.LinkError("given up")
        self._world.server.connected(self)

    async def run(self):
        await self._over.wait()
        return self._reason

    def end(self, reason):
        if not self.is_over:
            self.is_over = True
            self._reason = reason
            self._over.set()
            if self._world.server.link is self:
                self._world.server.disconnected()

    def close(self, code=1000):
        self.end(None)
        return self._wait_over()

    async def _wait_over(self):
        await self._over.wait()

    def send(self, message):
        if not self.is_over:
            self._messages.append(message)

    def step(self):
        """The writer: messages first, then frames."""
        if self.is_over or self._world.is_link_slow:
            return
        while self._messages:
            self._world.server.receive(self._messages.pop(0))
        up = self._world.uplink
        while self.audio_allowed and not self.is_over:
            kind = up.next()
            if not kind:
                return
            up.pop()
            if kind == frame_queue.AUDIO:
                if self._utterance != up.abort_count:
                    self._utterance = up.abort_count
                    self._world.session.first_frame_sent()
                self._world.server.receive_audio()
            else:
                self._utterance = -1
                self._world.server.receive(self._world.cloud.complete(check.now_ms()))
                self._world.session.complete_sent()

    def deliver(self, message):
        """What the cloud sends arrives."""
        if not self.is_over:
            data = bytearray(json.dumps(message).encode())
            self._world.session.receive(data, 0, len(data))


class Player:
    """Player and intake in one: `heard` is every answer's number for each piece that was accepted, in order."""

    def __init__(self, world):
        self._world = world
        self.heard = []
        self.samples_played = 0
        self.bytes_cut = self.underruns = self.underrun_ms = 0
        self.alerts = []
        self._left_ms = 0
        self._is_open = False
        self._is_complete = False

    @property
    def is_silent(self):
        return not self._is_open

    # What the session orders

    def begin(self, turn=0):
        self._is_open = True
        self._is_complete = False
        self.samples_played = 0

    def offer(self, buf, at, n):
        number = buf[at]
        assert bytes(buf[at : at + n]) == bytes((number,)) * n, "pieces of two answers are mixed"
        assert self._is_open, "audio for a player that was not opened"
        self.heard.append(number)
        self._left_ms += n // 8
        return False

    def complete(self):
        self._is_complete = True

    def flush(self):
        self._left_ms = 0
        self._is_open = False
        return 0

    def alert(self, kind):
        assert kind in errors.KINDS
        self.alerts.append(kind)
        return True

    # Time

    def step(self):
        if not self._is_open:
            return
        played_ms = min(TICK_MS, self._left_ms)
        self._left_ms -= played_ms
        self.samples_played += 8 * played_ms
        if played_ms:
            self._world.session.first_sample()
        if self._is_complete and not self._left_ms:
            self._is_open = False
            self._world.session.drained()


class Answer:
    def __init__(self, number):
        self.number = number  # also the value of its bytes
        self.chat_id = "chat%d" % number
        self.pieces = 0  # sent
        self.is_created = self.is_ended = False


class Server:
    """The cloud. `be_good` lets it answer by itself; every step of an answer may also be ordered one by one."""

    def __init__(self, world):
        self._world = world
        self.link = None
        self.answers = []  # of all questions ever asked, in order
        self.forsaken = set()  # numbers of answers that must not be heard from now on
        self.answers_by_itself = True
        self.accepts = True  # our configuration
        self.acknowledges_cancel = True
        self.has_audio = False  # of a question that is not complete yet
        self.cancels = 0
        self._is_speech_forsaken = False
        self._due = []  # [ms to go, action]

    def be_good(self):
        """Answer from now on, and first what was held back."""
        self.answers_by_itself = self.accepts = self.acknowledges_cancel = True
        for answer in self.answers:
            if not answer.is_ended:
                self._speak(answer)

    # The connection

    def connected(self, link):
        self.link = link
        self._due = []
        self.has_audio = False
        for answer in self.answers:
            answer.is_ended = True  # the cloud forgets with the connection

    def disconnected(self):
        self.link = None
        self._due = []

    def later(self, ms, action):
        self._due.append([ms, action, self.link])

    def step(self):
        for entry in list(self._due):
            entry[0] -= TICK_MS
            if entry[0] <= 0 and entry in self._due:
                self._due.remove(entry)
                if entry[2] is self.link:
                    entry[1]()

    def tell(self, event_type, **data):
        if self.link is not None:
            self.link.deliver({"id": "s", "event_type": event_type, "data": data})

    # What the speaker sends

    def receive(self, message):
        kind = json.loads(message)["event_type"]
        if kind == "chat.update" and self.accepts:
            self.later(40, lambda: self.tell("chat.updated", chat_config={"conversation_id": "c1"}))
        elif kind == "input_audio_buffer.complete":
            assert self.has_audio, "a question without a sound was completed"
            self.has_audio = False
            self.question()
        elif kind == "input_audio_buffer.clear":
            self.has_audio = False
        elif kind == "conversation.chat.cancel":
            self.cancels += 1
            if self.acknowledges_cancel:
                self.later(40, self.canceled)

    def receive_audio(self):
        self.has_audio = True

    def hear_speech(self):
        """Free talk: somebody speaks and stops."""
        self.tell("input_audio_buffer.speech_started")
        self._is_speech_forsaken = False
        self.later(300, self.speech_ends)

    def speech_ends(self):
        self.tell("input_audio_buffer.speech_stopped")
        self.question()
        if self._is_speech_forsaken:
            self.forsaken.add(self.answers[-1].number)

    def question(self):
        answer = Answer(len(self.answers) + 1)
        self.answers.append(answer)
        if self.answers_by_itself:
            self.later(80, lambda: self._speak(answer))

    def forsake_all(self):
        """The person gave up on everything asked so far."""
        self.forsaken.update(answer.number for answer in self.answers)
        self._is_speech_forsaken = True  # what is being said just now as well

    # Steps of an answer

    def _speak(self, answer):
        if answer.is_ended:
            return
        if not answer.is_created:
            if any(not older.is_created and not older.is_ended for older in self.answers[: answer.number - 1]):
                return self.later(TICK_MS, lambda: self._speak(answer))  # in the order of the questions
            self.create(answer)
        elif answer.pieces < ANSWER_PIECES:
            self.piece(answer)
        else:
            self.end(answer)
        self.later(TICK_MS, lambda: self._speak(answer))

    def create(self, answer):
        answer.is_created = True
        self.tell("conversation.chat.created", id=answer.chat_id)

    def piece(self, answer):
        answer.pieces += 1
        before = len(self._world.player.heard)
        content = base64.b64encode(bytes((answer.number & 0xFF,)) * (8 * PIECE_MS)).decode()
        self.tell("conversation.audio.delta", chat_id=answer.chat_id, content=content)
        assert len(self._world.player.heard) == before or answer.number not in self.forsaken, (
            "answer %d is heard, which was given up" % answer.number
        )

    def end(self, answer):
        answer.is_ended = True
        self.tell("conversation.audio.completed", chat_id=answer.chat_id)
        self.tell("conversation.chat.completed", id=answer.chat_id)

    def fail(self, answer):
        answer.is_ended = True
        self.tell("conversation.chat.failed", id=answer.chat_id, last_error={"code": 4013, "msg": "no"})

    def canceled(self):
        for answer in self.answers:
            if answer.is_created:
                answer.is_ended = True
        self.tell("conversation.chat.canceled", code=2, msg="client")

    def error(self, code):
        self.tell("error", code=code, msg="no")
