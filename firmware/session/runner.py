"""Takes events one at a time, looks up the table, performs the effects: the only place where a turn changes state.

`post` runs at once and to the end, so a press is silence before the call returns. Everything that takes time belongs
to somebody else, who posts an event when it has happened. The one task here watches the deadline of the state.
"""

import asyncio

from unload import unload

from .. import errors, events, report, trace as tr
from ..compat import const, mem_free_bytes, ticks_add, ticks_diff
from . import states, turn

_PACKAGE = __name__.rpartition(".")[0]
_DEADLINE_POLL_MS = const(100)
_TRACE_LINES = const(40)  # the newest, shown with a failure


class Runner:
    """mode: ptt_hold, ptt_toggle or free; limits: {name: ms} for every name in states.DEADLINES.

    player, intake, uplink, cloud, link: the parts that the effects order about (app.py makes them).
    on_state(state): called after each change, for the LED. rows: of rows_for(mode), made here when they are not given.
    """

    def __init__(self, mode, limits, ports, trace, player, intake, uplink, cloud, link, on_state, rows=None):
        self._mode = mode
        self._rows = rows or rows_for(mode)
        self._limits = limits
        self._ports = ports
        self._trace = trace
        self._player = player
        self._intake = intake
        self._uplink = uplink
        self._cloud = cloud
        self._link = link
        self._on_state = on_state
        self._effects = self._make_effects()
        self.state = states.OFFLINE
        self.error = None  # the newest one, what `fail` and `note` speak of
        self._noted = None  # the newest error that was reported
        self.refused_count = 0  # events that meant nothing in their state
        self._turn = None
        self._turn_count = 0
        self._pending = []
        self._is_stepping = False
        self._is_starved = False  # an effect found no memory
        self._deadline_ms = 0
        self._has_deadline = False
        self._deadline_changed = asyncio.Event()
        self._seen_samples = 0
        self._seen_malformed = 0
        self._seen_unknown = 0

    # Events

    def post(self, event):
        """Something happened. Performs all effects before it returns, unless called from within one."""
        self._pending.append(event)
        if self._is_stepping:
            return
        self._is_stepping = True
        try:
            while self._pending:
                self._step(self._pending.pop(0))
                if self._is_starved:
                    self._is_starved = False
                    self._give_up_link()
        finally:
            self._is_stepping = False

    def _give_up_link(self):
        """An effect found no memory, so cloud and speaker may think differently of this turn: both begin afresh."""
        text = "there is not enough memory for a message: the connection is made anew"
        self._link.fail(errors.LinkError(text, errors.PROTOCOL))

    def fault(self, event, error):
        """post(event) with the error behind it."""
        self.error = error
        self.post(event)

    def remark(self, error):
        """A part failed that nobody needs now: shown once, and nothing else changes."""
        if self._noted is None or error.text != self._noted.text:
            self.error = error
            self._note()

    def _step(self, event):
        old = self.state
        self.state, effects = states.step(self._rows, old, event)
        if self.state == old and not effects:
            self.refused_count += 1
            return
        if event != events.AUDIO:
            self._trace.add(tr.EVENT, events.TABLE_EVENTS.index(event))
        self._event = event
        for name in effects:
            try:
                if name in self._effects:
                    self._effects[name]()
                else:
                    self._blame(name)
            except MemoryError:
                self._is_starved = True
        if self.state != old:
            self._enter(old)

    def _enter(self, old):
        state = self.state
        self._trace.add(tr.STATE, states.STATES.index(state))
        name = states.deadline_name(self._mode, state)
        if name != states.KEEP:
            self._set_deadline(self._limits[name] if name else 0)
        self._on_state(state)
        report.say("state", self._ports.ticks_ms(), state=state, before=old)

    # The deadline of the state

    def _set_deadline(self, ms):
        self._has_deadline = ms > 0
        self._deadline_ms = ticks_add(self._ports.ticks_ms(), ms)
        self._deadline_changed.set()

    def start(self):
        """Begin offline, with the first attempt due at once."""
        self._enter(self.state)
        self._set_deadline(1)

    def hurry(self):
        """Do not wait for the next attempt to connect: what stood in its way has changed."""
        if self.state == states.OFFLINE:
            self._set_deadline(1)

    async def run(self):
        """Post DEADLINE when a state has lasted too long. Sleeps until then; a later deadline costs no wake-up."""
        while True:
            if not self._has_deadline:
                self._deadline_changed.clear()
                await self._deadline_changed.wait()
                continue
            self._note_progress()
            left_ms = ticks_diff(self._deadline_ms, self._ports.ticks_ms())
            if left_ms > 0:
                await self._ports.sleep_ms(min(left_ms, _DEADLINE_POLL_MS))  # a new state may have a nearer one
            else:
                self._has_deadline = False
                self.post(events.DEADLINE)

    def _note_progress(self):
        """A long answer that is still being heard is progress, however long ago its last byte came."""
        if self.state == states.SPEAKING or self.state == states.FINISHING:
            heard = self._player.samples_played
            if heard != self._seen_samples:
                self._seen_samples = heard
                self._extend()

    def _extend(self):
        name = states.deadline_name(self._mode, self.state)
        if name and name != states.KEEP:
            self._set_deadline(self._limits[name])

    # What the parts report

    def receive(self, buf, start, n):
        """One message of the cloud. Returns True when the player is full and reading should pause."""
        now_ms = self._ports.ticks_ms()
        buf = self._cloud.receive(buf, start, n, now_ms)  # the event; one local more, and this frame needed the heap
        if self._cloud.reply is not None:
            self._link.send(self._cloud.reply)
        if buf == events.AUDIO:
            return self._receive_audio(now_ms)
        self._hear(buf, now_ms)
        return False

    def _hear(self, event, now_ms):
        """Anything but audio."""
        cloud = self._cloud
        if not event:
            self._note_skipped()
        elif event == events.HEARD:
            self._heard()
        elif event == events.SAID:
            report.say(events.SAID, now_ms, text=cloud.text)
        elif event == events.TOOL_CALL:
            self._call_tools()
        elif event == events.LINK_LOST:
            self._link.fail(cloud.error)
        elif event == events.FAILED:
            self.fault(event, cloud.error)
        elif event == events.LINK_READY:
            self._link.ready()
            self.post(event)
        else:
            self.post(event)

    def _note_skipped(self):
        """A message that meant nothing: when it was odd, the trace says so."""
        cloud = self._cloud
        if cloud.malformed_count != self._seen_malformed:
            self._seen_malformed = cloud.malformed_count
            self._trace.add(tr.MALFORMED, self._seen_malformed)
        if cloud.unknown_count != self._seen_unknown:
            self._seen_unknown = cloud.unknown_count
            self._trace.add(tr.UNKNOWN_EVENT, self._seen_unknown)

    def _receive_audio(self, now_ms):
        self.post(events.AUDIO)
        cloud = self._cloud
        n = cloud.audio_n
        if self.state != states.SPEAKING:
            self._trace.add(tr.STALE_AUDIO, n)
            # Speech that comes while nobody can listen is not heard later either: it would begin in its middle.
            self._send(self._cloud.interrupt(now_ms))
            return False
        if self._turn.first_delta_ms < 0:
            self._turn.mark("first_delta_ms", now_ms)
            self._trace.add(tr.FIRST_DELTA, n)
        return self._intake.offer(cloud.audio_buf, cloud.audio_at, n)

    def _heard(self):
        cloud = self._cloud
        if cloud.text:
            report.say(events.HEARD, self._ports.ticks_ms(), text=cloud.text, final=cloud.is_final)
        elif cloud.is_final:
            self.post(events.NOTHING_HEARD)

    def _call_tools(self):
        outputs = []
        for call_id, name, arguments in self._cloud.tool_calls:
            report.say("tool", self._ports.ticks_ms(), name=name)
            outputs.append((call_id, self.call_tool(name, arguments)))
        self._link.send(self._cloud.tool_outputs(outputs))
        self._extend()

    def call_tool(self, name, arguments):
        """Replaced by app: run a tool of this device, return its output as text."""
        return '{"error": "this speaker has no tool of that name"}'

    def first_frame_sent(self):
        """The first frame of an utterance was handed to the socket."""
        self._trace.add(tr.FIRST_FRAME)
        self._mark("first_frame_ms")

    def complete_sent(self):
        self._trace.add(tr.COMPLETE)
        self._mark("complete_ms")

    def first_sample(self):
        self._mark("first_sample_ms")

    def drained(self):
        self._mark("last_sample_ms")
        self.post(events.DRAINED)

    def _mark(self, name):
        if self._turn is not None:
            self._turn.mark(name, self._ports.ticks_ms())

    # Effects, in the words of the table

    def _make_effects(self):
        """All but those of faults.py."""
        return {
            "abort": self._abort,
            "again": self._again,
            "ask_provisioning": self._ask_provisioning,
            "begin_turn": self._begin_turn,
            "check_link": self._check_link,
            "check_recording": self._check_recording,
            "complete_audio": self._player.complete,
            "connect": self._link.start,
            "cut": self._cut,
            "discard": self._discard,
            "dismiss": self._dismiss,
            "disconnect": self._link.stop,
            "end_turn": self._end_turn,
            "extend": self._extend,
            "fail": self._fail,
            "finish": self._finish,
            "flush": self._flush,
            "give_up": self._give_up,
            "interrupt": self._interrupt,
            "judge_tap": self._judge_tap,
            "keep_recording": self._keep_recording,
            "note": self._note,
            "play": self._play,
            "question_ended": self._question_ended,
            "reconnect": self._reconnect,
            "record": self._record,
            "resume": self._uplink.resume,
            "retry_later": self._retry_later,
            "supersede": self._supersede,
            "take_back": self._take_back,
            "time_out_press": self._time_out_press,
        }

    def _record(self):
        self.error = None
        self._uplink.start(self._mode == "free")
        self._trace.add(tr.PRESS)
        if self._mode != "free":
            self._begin_turn()

    def _finish(self):
        self._trace.add(tr.RELEASE)
        self._mark("release_ms")
        self._uplink.finish()

    def _abort(self):
        self._uplink.abort()
        if self._turn is not None:
            self._turn.end(turn.FAILED)

    def _discard(self):
        """The question is taken back; what the cloud has of it is cleared."""
        self._take_back()  # first: a message may find no memory
        self._link.send(self._cloud.clear())

    def _take_back(self):
        """The question is taken back before any of it was sent."""
        self._uplink.abort()
        if self._turn is not None:
            self._turn.end(turn.DISCARDED)
            self._end_turn()

    def _dismiss(self):
        """There was no question after all."""
        if self._turn is not None:
            self._turn.end(turn.DISCARDED)

    def _supersede(self):
        """The answer was given up before it began, because somebody spoke on."""
        if self._turn is not None:
            self._turn.end(turn.INTERRUPTED)

    def _interrupt(self):
        self._trace.add(tr.CANCEL)
        if self._turn is not None:
            self._turn.end(turn.INTERRUPTED)
        self._recall()
        self._send(self._cloud.interrupt(self._ports.ticks_ms()))

    def _give_up(self):
        """The answer did not come in its time."""
        self._trace.add(tr.CANCEL)
        self._recall()
        self._send(self._cloud.give_up(self._ports.ticks_ms()))

    def _recall(self):
        """What has not gone out of a question stays here: the next connection must not ask it."""
        if self._mode != "free" and self._uplink.is_unsent():  # not asked yet, so there is nothing to cancel
            self._uplink.abort()
            self._link.send(self._cloud.clear())

    def _send(self, message):
        if message is not None:
            self._link.send(message)

    def _play(self):
        if self._turn is None:
            self._begin_turn()
        self._intake.begin()

    def _flush(self):
        self._player.flush()
        if self._turn is not None:
            self._turn.end(turn.INTERRUPTED)

    def _cut(self):
        """No more will come: what is there is played to its end."""
        if self._turn is not None:
            self._turn.end(turn.CUT)
        self._player.complete()
        self._note()

    def _begin_turn(self):
        if self._turn is not None:
            self._end_turn()
        self._turn_count += 1
        self._turn = turn.Turn(self._turn_count, self._ports.ticks_ms())

    def _question_ended(self):
        if self._turn is None:
            self._begin_turn()
        self._mark("release_ms")

    def _end_turn(self):
        ended = self._turn
        if ended is None:
            return
        self._turn = None
        player = self._player
        was_heard = ended.first_delta_ms >= 0
        ended.end(turn.CUT if was_heard and player.bytes_cut else turn.ANSWERED)
        fields = ended.fields()
        fields["samples_played"] = player.samples_played if was_heard else 0
        fields["underruns"] = player.underruns if was_heard else 0
        fields["underrun_ms"] = player.underrun_ms if was_heard else 0
        fields["bytes_cut"] = player.bytes_cut if was_heard else 0
        fields["heap_free_bytes"] = mem_free_bytes()
        self._trace.add(tr.HEAP_FREE, fields["heap_free_bytes"])
        report.say("turn", self._ports.ticks_ms(), **fields)

    def _fail(self):
        """The user asked for something and will not get it: say so, aloud."""
        self._note()
        if self.error is not None:
            self._player.alert(self.error.kind)
        if self._turn is not None:
            self._turn.end(turn.FAILED)
            self._end_turn()
        report.say("trace", self._ports.ticks_ms(), lines=list(self._trace.lines(_TRACE_LINES)))

    def _note(self):
        error = self.error
        if error is None or error is self._noted:
            return
        self._noted = error
        self._trace.add(tr.ERROR, errors.KINDS.index(error.kind))
        code = getattr(error, "code", 0)
        if code:
            self._trace.add(tr.CLOUD_CODE, code)
        log_id = getattr(error, "log_id", "")  # what the cloud's support asks for
        report.say("error", self._ports.ticks_ms(), error_kind=error.kind, text=error.text, log_id=log_id)
        self.show_error(error.kind)  # the last: it may find no memory

    def show_error(self, kind):
        """Replaced by app: the LED."""

    def _retry_later(self):
        self._limits["retry_ms"] = delay_ms = self._link.retry_delay_ms()
        self._trace.add(tr.RETRY, delay_ms)

    def _reconnect(self):
        self._link.start_after(self._link.retry_delay_ms())

    def _check_link(self):
        if not self._link.is_up and not self._link.is_starting:
            self.post(events.LINK_LOST)
        elif self._link.is_up and self.state == states.CONNECTING:
            self.post(events.LINK_READY)

    def _check_recording(self):
        if not self._uplink.is_recording:
            self.post(events.STOP)

    def _keep_recording(self):
        if not self._uplink.is_recording:
            self._record()

    def _judge_tap(self):
        """A tap takes the question back, unless it only touched the tail of a whole one."""
        self.post(events.RELEASE if self._uplink.was_resumed else events.STOP)

    def _again(self):
        self.post(self._event)

    def _ask_provisioning(self):
        report.say("provision", self._ports.ticks_ms())

    def _time_out_press(self):
        if self.error is None:
            self._blame("time_out_press")

    def _blame(self, name):
        """An error of our own making is the newest one; its text is seldom needed."""
        from . import faults

        self.error = faults.error(name)
        unload(_PACKAGE, ("faults",))


def rows_for(mode):
    """The table of one mode, as states.step takes it. All three, as source has them, would stay for good."""
    from . import table

    rows = table.by_state(table.table_for(mode))
    unload(_PACKAGE, ("table",))
    return rows
