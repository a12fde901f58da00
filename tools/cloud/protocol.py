"""The emulated cloud as a pure object: messages and time in, messages out. No socket, no clock, no chance of its own.

    cloud = Cloud(scenario, random.Random(1), token="pat_x")
    refusal = cloud.refusal(path, query, headers)          # an HTTP answer instead of a WebSocket, or None
    link = cloud.connect(query, headers, now_ms)
    link.receive_text(text, now_ms)                        # also _binary, _ping, _pong; lost() when the stream ends
    link.advance(now_ms)                                   # not later than link.next_deadline_ms
    for out in link.take(): ...                            # outgoing.Text, Ping, Close, …

Every entry takes the time, which never runs backwards. A deadline is met by calling advance at or after it; calling
late changes when messages leave, never which.
"""

import base64
import binascii
import json
from dataclasses import dataclass

from . import answers, events, faults, outgoing, records
from .schedule import Schedule
from .scenario import Script, Sentence
from .settings import BadParameter, Settings
from .vad import STARTED, SpeechDetector, has_speech

PATH = "/v1/chat"


@dataclass(frozen=True)
class Refusal:
    """An HTTP answer to a handshake that becomes no WebSocket."""

    status: int
    headers: dict
    body: str


class Cloud:
    """What outlives a connection: the place in the scenario, the conversations, the records.

    rng: random.Random, seeded by the caller; token: what a client must bear, None for any.
    unix_ms: the wall clock at now_ms = 0; keeps_audio: False lets utterances and turns forget sound (long runs).
    """

    def __init__(self, scenario, rng, token=None, unix_ms=1735689600000, observer=None, keeps_audio=True):
        self.scenario = scenario
        self.rng = rng
        self.token = token
        self.unix_ms = unix_ms
        self.observer = observer or records.Observer()
        self.keeps_audio = keeps_audio
        self.ids = events.Ids()
        self.turns = []
        self.utterances = []
        self.connections = []
        self.refusals = []
        self.conversations = {}
        self._scripts_used = 0

    def refusal(self, path, query, headers):
        """The HTTP answer to a handshake with this path, query and headers, or None: it may become a WebSocket.

        query, headers: mappings; header names in lower case."""
        refusal = self._refusal(path, query, headers)
        if refusal:
            self.refusals.append(refusal)
        return refusal

    def _refusal(self, path, query, headers):
        if self.scenario.refuse_status:
            return self._answer(self.scenario.refuse_status, 5000, "refused by the scenario")
        if path != PATH:
            return self._answer(404, 4200, "no such path: %s" % path)
        if not self.is_welcome(query, headers) and self.scenario.token_refusal == "handshake":
            return self._answer(401, 4100, "authentication is invalid")
        if not query.get("bot_id", "").isdigit():
            return self._answer(400, 4006, "bot_id must be digits")
        if not query.get("device_id", "0").isdigit():
            return self._answer(400, 4000, "device_id must be digits")
        return None

    def is_welcome(self, query, headers):
        """Whether the bearer token of the header (or of the query, for browsers) is right."""
        given = headers.get("authorization") or query.get("authorization") or ""
        return given == "Bearer " + self.token if self.token is not None else given.startswith("Bearer ")

    def _answer(self, status, code, msg):
        logid = self.new_logid()
        body = json.dumps({"code": code, "msg": msg, "detail": {"logid": logid}})
        return Refusal(status, {"x-tt-logid": logid, "content-type": "application/json"}, body)

    def connect(self, query, headers, now_ms):
        """A new connection, its first message waiting in take()."""
        link = Connection(self, len(self.connections) + 1, query, now_ms)
        self.connections.append(link)
        link.open(self.is_welcome(query, headers))
        return link

    def new_logid(self):
        return "20250101%026X" % self.rng.getrandbits(104)

    def next_script(self):
        script = self.scenario.script(self._scripts_used)
        self._scripts_used += 1
        return script

    def go_on_at(self, number):
        """The next question is answered by turn `number` of the scenario, from 0."""
        self._scripts_used = number

    def turn(self, chat_id):
        """The record of this chat; KeyError when there is none."""
        for turn in self.turns:
            if turn.chat_id == chat_id:
                return turn
        raise KeyError(chat_id)


class Conversation:
    """The context that a conversation id stands for; survives its connections."""

    def __init__(self, conversation_id, section_id):
        self.id = conversation_id
        self.section_id = section_id
        self.history = []


class Connection:
    """One WebSocket of one client. See the module for how to drive it."""

    def __init__(self, cloud, number, query, now_ms):
        self.cloud = cloud
        self.scenario = cloud.scenario
        self.rng = cloud.rng
        self.number = number
        self.query = dict(query)
        self.logid = cloud.new_logid()
        self.bot_id = query.get("bot_id", "")
        self.settings = None
        self.conversation = None
        self.is_over = False
        self.is_poisoned = False
        self.close_code = None
        self.unknown_members = []  # of chat.update: names that the protocol does not have
        self.filtered_events = 0  # not sent because event_subscriptions left them out
        self.uplink = bytearray()  # free talk: everything appended, wire bytes
        self.opened_ms = now_ms
        self._schedule = Schedule(now_ms)
        self._out = []
        self._held = []  # what changes places with the next message
        self._faults = self.scenario.active_faults()
        self._utterance = None
        self._utterance_task = None
        self._is_header_past = False
        self._detector = None
        self._uplink_base = 0  # bytes of the uplink forgotten so far
        self._spoken_until = 0  # sample of the uplink behind the last utterance
        self._speaking = None  # the turn that sounds or thinks: what a cancel stops
        self._waiting = []  # turns before their chat.created
        self.missed_pongs = 0  # in a row, up to now
        self.pings = 0

    # --- driving ---

    @property
    def now_ms(self):
        return self._schedule.now_ms

    @property
    def next_deadline_ms(self):
        """When to call advance at the latest, or None."""
        return None if self.is_over else self._schedule.next_due_ms

    def advance(self, now_ms):
        """Do all that is due up to now_ms."""
        if not self.is_over:
            self._schedule.run_until(now_ms)

    def take(self):
        """The messages to send, oldest first; each is given once. After Close or Drop there are none."""
        out, self._out = self._out, []
        return out

    def lost(self, now_ms, code=None):
        """The stream has ended: the client closed with this code, or just went."""
        self.advance(now_ms)
        self.close_code = self.close_code if self.is_over else code
        self._conclude()

    def receive_ping(self, data, now_ms):
        self.advance(now_ms)
        self._put(outgoing.Pong(bytes(data)))

    def receive_pong(self, data, now_ms):
        self.advance(now_ms)
        self.missed_pongs = 0

    def receive_binary(self, data, now_ms):
        self.advance(now_ms)
        self.send_error(4000, "binary messages are not part of this protocol")

    def receive_text(self, text, now_ms):
        """One message of the client. Whatever is wrong with it is answered by an `error` event."""
        self.advance(now_ms)
        if self.is_over:
            return
        try:
            event = _parse(text)
            self._tell("up", event.get("event_type"), text)
            self._handle(event)
        except BadParameter as error:
            self.send_error(error.code, str(error), origin=text)
        self.advance(now_ms)

    # --- the tasks' side: time ---

    def start(self, program):
        return self._schedule.start(program)

    def stop(self, task):
        self._schedule.stop(task)

    # --- opening and ending ---

    def open(self, is_welcome):
        if not is_welcome:
            self.send_error(4100, "authentication is invalid")
            self.close_later(50, outgoing.Close(1000, "authentication is invalid"))
            return
        self.send(events.CHAT_CREATED)
        self.start(answers.keep_alive(self))

    def ping(self):
        """Send one; False when the connection was ended for want of pongs instead."""
        if self.missed_pongs >= self.scenario.missed_pongs:
            self.end(outgoing.Close(1011, "keep-alive: no pong"))
            return False
        self.missed_pongs += 1
        self.pings += 1
        self._put(outgoing.Ping(b"%d" % self.pings))
        return True

    def close_later(self, delay_ms, out):
        def program():
            yield delay_ms
            self.end(out)

        self.start(program())

    def end(self, out):
        """Send this Close or Drop; nothing leaves behind it."""
        if self.is_over:
            return
        self._put(out)
        self.close_code = getattr(out, "code", None)
        self._conclude()

    def _conclude(self):
        if self.is_over:
            return
        self.is_over = True
        if self._utterance is not None:
            self._end_utterance(records.LOST)
        for turn in self.cloud.turns:
            if turn.connection == self.number and turn.task is not None:
                if not turn.is_over:
                    turn.status = records.LOST
                self.stop(turn.task)
                self.settle(turn)
        self.cloud.observer.connection_ended(self)

    # --- sending ---

    def send(self, event_type, data=None, turn=None, reply_to=None):
        """One event, through the faults that choose it; reply_to: the client's id that an acknowledgement echoes."""
        if self.is_over:
            return
        if self.settings is not None and not self.settings.is_subscribed(event_type):
            self.filtered_events += 1
            return
        self._emit(self._envelope(event_type, data, reply_to), turn)

    def _envelope(self, event_type, data, event_id=None):
        unix_ms = self.cloud.unix_ms + self.now_ms
        return events.envelope(event_id or self.cloud.ids.next(), event_type, data, self.logid, unix_ms)

    def _emit(self, message, turn):
        event_type = message["event_type"]
        every = self._faults + (turn.faults if turn is not None else [])
        chosen = [fault for fault in every if fault.selects(event_type)]
        for fault in chosen:
            if fault.hook == faults.SHAPE:
                message = fault.rewrite(message, self.rng)
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        for fault in chosen:
            if fault.hook == faults.SPELL:
                text = fault.rewrite(text, self.rng)
        outs = [outgoing.Text(text)]
        for fault in chosen:
            if fault.hook == faults.CARRY:
                outs = [new for out in outs for new in _carry(fault, out, self.rng)]
        for out in outs:
            self._put(out)
            self._tell("down", event_type, text)
            if turn is not None and event_type == events.AUDIO_DELTA:
                self._record_audio(turn, text)
        for fault in chosen:
            if fault.hook == faults.AFTER:
                fault.act(self, turn)

    def _record_audio(self, turn, text):
        """What a faultless reader gets out of this delta: decoded anew, so that the record holds what travelled."""
        try:
            piece = base64.b64decode(json.loads(text)["data"]["content"], validate=True)
        except (ValueError, TypeError, KeyError):
            turn.broken_deltas += 1
            return
        turn.mark("first_audio", self.now_ms)
        turn.times_ms["last_audio"] = self.now_ms
        turn.packets.append((self.now_ms, len(piece)))
        turn.sent += piece

    def _put(self, out):
        if self.is_over:
            return
        if isinstance(out, outgoing.Held):
            self._held.append(outgoing.Text(out.text))
            return
        self._out.append(out)
        if self._held:
            self._out += self._held
            self._held = []

    def _tell(self, direction, event_type, text):
        self.cloud.observer.message(self, direction, self.now_ms, event_type, text)

    def insert(self, out):
        """A message of no turn, as it is (faults)."""
        self._put(out)

    def send_error(self, code, msg, origin=None):
        if self.is_over or self.settings is not None and not self.settings.is_subscribed(events.ERROR):
            return
        message = self._envelope(events.ERROR, {"code": code, "msg": msg})
        if origin is not None:
            message["detail"]["origin_message"] = origin[:500]
        self._emit(message, None)

    def send_chat(self, event_type, turn, status, error=None, required_action=None):
        unix_s = (self.cloud.unix_ms + self.now_ms) // 1000
        section_id = self.conversation.section_id
        self.send(event_type, events.chat(turn, self.bot_id, section_id, status, unix_s, error, required_action), turn)

    def _message(self, turn, kind, content_type, content):
        message_id, section_id = self.cloud.ids.next(), self.conversation.section_id
        return events.message(message_id, turn, self.bot_id, section_id, kind, content_type, content)

    def send_message(self, event_type, turn, kind, content_type, content):
        self.send(event_type, self._message(turn, kind, content_type, content), turn)

    def audio_message(self, turn, wire):
        """The whole JSON object of an audio delta."""
        content = base64.b64encode(wire).decode()
        return self._envelope(events.AUDIO_DELTA, self._message(turn, "answer", "audio", content))

    def send_audio(self, turn, wire):
        if self.is_over:
            return
        if not self.settings.is_subscribed(events.AUDIO_DELTA):
            self.filtered_events += 1
            return
        self._emit(self.audio_message(turn, wire), turn)

    def send_transcript(self, event_type, text, turn=None):
        self.send(event_type, {"content": text}, turn)

    def send_canceled(self, turn, reply_to):
        if turn.flow.is_canceled_sent:
            msg = {1: "interrupted by user speech", 2: "canceled by client", 3: "interrupted by a message"}
            data = {"code": turn.cancel_code, "msg": msg[turn.cancel_code]}
            turn.mark("canceled", self.now_ms)
            self.send(events.TURN_CANCELED, data, turn, reply_to)

    # --- what the client says ---

    def _handle(self, event):
        handler = _HANDLERS.get(event.get("event_type"))
        if handler is None:
            raise BadParameter("event_type: %r is unknown" % (event.get("event_type"),))
        if handler is not Connection._on_update and self.settings is None:
            # Before any chat.update the defaults hold; the one that bites is format wav.
            self._use(Settings({}))
        data = event.get("data")
        handler(self, {} if data is None else data, event.get("id"))

    def _on_update(self, data, event_id):
        settings = Settings(data)
        if self._detector is not None and self.settings.interrupt != settings.interrupt:
            raise BadParameter("turn_detection.interrupt_config: changing it needs a new connection")
        self._check_conversation(settings)
        flow = faults.flow_of(self._faults)
        if flow.ends_on_update:
            self.end(faults.ending(flow.ends_on_update))
            return
        self.start(self._update(settings, self.scenario.updated_ms + flow.updated_delay_ms, event_id))

    def _update(self, settings, delay_ms, event_id):
        yield delay_ms
        self._use(settings)
        effective = settings.effective
        effective["chat_config"] = {**effective["chat_config"], "conversation_id": self.conversation.id}
        self.send(events.CHAT_UPDATED, effective, reply_to=event_id)
        if effective["need_play_prologue"]:
            self._play(records.PROLOGUE, self._prologue(effective.get("prologue_content")))

    def _check_conversation(self, settings):
        wanted = settings.conversation_id
        if wanted is None:
            return
        if not wanted.isdigit() or self.scenario.known_conversations_only and wanted not in self.cloud.conversations:
            raise BadParameter("chat_config.conversation_id: %r is unknown" % wanted, code=4002)

    def _use(self, settings):
        if self._utterance is not None:
            self._end_utterance(records.LOST)
        self.settings = settings
        self.unknown_members += settings.unknown
        wanted = settings.conversation_id or (self.conversation.id if self.conversation else self.cloud.ids.next())
        known = self.cloud.conversations
        if wanted not in known:
            known[wanted] = Conversation(wanted, self.cloud.ids.next())
        self.conversation = known[wanted]
        self._is_header_past = False
        self._detector = None
        if settings.is_free_talk:
            rate_hz = settings.input_format().rate_hz
            self._detector = SpeechDetector(rate_hz, settings.silence_ms, self.scenario.vad_aggressiveness)
            self.uplink.clear()
            self._uplink_base = self._spoken_until = 0

    def _on_append(self, data, event_id):
        wire = _audio_of(data)
        if self.settings.container != "pcm" and not self._is_header_past:
            wire = _unwrap(self.settings.container, wire)
            self._is_header_past = True
        if self._detector is not None:
            self._hear(wire)
            return
        if self._utterance is None:
            self._utterance = self._new_utterance()
            self._utterance_task = self.start(answers.watch_utterance(self, self._utterance))
        utterance = self._utterance
        utterance.appends += 1
        utterance.last_append_ms = self.now_ms
        utterance.wire += wire

    def _new_utterance(self):
        number = len(self.cloud.utterances) + 1
        utterance = records.Utterance(number, self.number, self.settings.input_format(), self.now_ms)
        utterance.last_append_ms = self.now_ms
        self.cloud.utterances.append(utterance)
        return utterance

    def _end_utterance(self, fate):
        utterance, self._utterance = self._utterance, None
        self._is_header_past = self._detector is not None  # push-to-talk: every utterance is a file of its own
        self.stop(self._utterance_task)
        utterance.end(fate, self.now_ms)
        self.cloud.observer.utterance_ended(utterance)
        if not self.cloud.keeps_audio:
            utterance.wire = bytearray()

    def expire(self, utterance):
        """Push-to-talk audio stopped without complete: the utterance is gone, and the client is told."""
        if utterance is not self._utterance:
            return
        self._end_utterance(records.TIMED_OUT)
        self.send_error(
            self.scenario.utterance_timeout_code, "audio time-out: input_audio_buffer.complete did not arrive"
        )

    def _on_complete(self, data, event_id):
        if self._detector is not None:
            return  # no effect in free talk
        utterance = self._utterance or self._new_utterance()
        self._utterance = utterance
        is_answered = self._is_worth_an_answer(utterance)
        self._end_utterance(records.COMPLETED if is_answered is True else records.IGNORED)
        self.send(events.BUFFER_COMPLETED, reply_to=event_id)
        if is_answered is True:
            utterance.script = self.cloud.next_script()
            self._interrupt(1)
            self._answer(utterance)
        elif is_answered is None:
            self.send_transcript(events.TRANSCRIPT_COMPLETED, "")

    def _is_worth_an_answer(self, utterance):
        """True; None: an empty transcript; False: nothing at all. What the service does is not documented."""
        policy = self.scenario.silent_utterance
        if not utterance.wire:
            return False if policy == "nothing" else None
        if policy == "answer" or not utterance.wire_format.is_decodable:
            return True
        if has_speech(utterance.pcm, utterance.wire_format.rate_hz, self.scenario.vad_aggressiveness):
            return True
        return False if policy == "nothing" else None

    def _on_clear(self, data, event_id):
        if self._detector is not None:
            return  # no effect in free talk
        if self._utterance is not None:
            self._end_utterance(records.CLEARED)
        self.send(events.BUFFER_CLEARED, reply_to=event_id)

    def _on_cancel(self, data, event_id):
        if self._speaking is not None:
            self.cancel(self._speaking, code=2, reply_to=event_id)
        elif self.scenario.cancel_idle == "error":
            self.send_error(4104, "the chat cannot be canceled in its state")
        elif self.scenario.cancel_idle == "poison":
            self.is_poisoned = True

    def _on_message(self, data, event_id):
        role, kind, content = (_member(data, key) for key in ("role", "content_type", "content"))
        if role not in ("user", "assistant"):
            raise BadParameter("data.role: must be user or assistant")
        if kind not in ("text", "object_string"):
            raise BadParameter("data.content_type: must be text or object_string")
        text = content if kind == "text" else _object_text(content)
        if role == "assistant":
            self._remember("assistant", text)
            return
        self._interrupt(3)
        self._answer(None, text)

    def _on_generate(self, data, event_id):
        if _member(data, "mode") != "text":
            raise BadParameter("data.mode: must be text")
        text = _member(data, "text")
        if not 0 < len(text.encode()) < 1024:
            raise BadParameter("data.text: must have 1 to 1023 bytes of UTF-8, has %d" % len(text.encode()))
        self._interrupt(3)
        self._play(records.GENERATED, (_made_up(text),))

    def _on_clear_conversation(self, data, event_id):
        self.conversation.section_id = self.cloud.ids.next()
        self.conversation.history.clear()
        self.send(events.CONVERSATION_CLEARED, reply_to=event_id)

    def _on_tool_outputs(self, data, event_id):
        turn = self._speaking
        if turn is None or not turn.tool_call_ids or turn.tool_outputs is not None:
            raise BadParameter("conversation.chat.submit_tool_outputs: no tool was called")
        if _member(data, "chat_id") != turn.chat_id:
            raise BadParameter("data.chat_id: is not that of the chat that waits", code=4001)
        outputs = data.get("tool_outputs")
        if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
            raise BadParameter("data.tool_outputs: must be a list of objects")
        given = {_member(one, "tool_call_id"): _member(one, "output") for one in outputs}
        if set(given) != set(turn.tool_call_ids):
            raise BadParameter("data.tool_outputs: must answer each tool_call_id once")
        turn.tool_outputs = given
        if turn.flow.heeds_tools:
            self._schedule.wake(turn.task)

    # --- free talk ---

    def _hear(self, wire):
        """One piece of the stream: the detector says where in it speech starts and ends."""
        self.uplink += wire
        if self._utterance is not None:
            self._utterance.appends += 1
            self._utterance.last_append_ms = self.now_ms
        for kind, sample in self._detector.feed(self.settings.input_format().decode(wire)):
            if kind == STARTED:
                self._speech_started(sample)
            else:
                self._speech_stopped(sample)
        if self._utterance is None and not self.cloud.keeps_audio:
            self._forget_uplink()

    def _forget_uplink(self):
        fmt = self.settings.input_format()
        keep = int((self.settings.prefix_ms + 1000) * fmt.bytes_per_ms) // fmt.bytes_per_sample * fmt.bytes_per_sample
        surplus = len(self.uplink) - 2 * keep
        if surplus > 0:
            # By whole samples: positions are counted from the base.
            surplus -= surplus % fmt.bytes_per_sample
            del self.uplink[:surplus]
            self._uplink_base += surplus

    def _speech_started(self, sample):
        fmt = self.settings.input_format()
        utterance = self._utterance = self._new_utterance()
        prefix = self.settings.prefix_ms * fmt.rate_hz // 1000
        utterance.start_sample = max(self._spoken_until, sample - prefix)
        utterance.script = self.cloud.next_script()
        # Only what a keyword did not spare: without keywords any speech interrupts.
        utterance.is_interrupting = self.settings.interrupt is None
        self.send(events.SPEECH_STARTED)
        if utterance.is_interrupting:
            self._interrupt(1)
        self._utterance_task = self.start(answers.listen_along(self, utterance))

    def notice_keyword(self, utterance, text):
        if not utterance.is_interrupting and self.settings.keyword_in(text):
            utterance.is_interrupting = True
            self._interrupt(1)

    def _speech_stopped(self, sample):
        fmt, utterance = self.settings.input_format(), self._utterance
        if utterance is None:
            return
        first = utterance.start_sample * fmt.bytes_per_sample - self._uplink_base
        self._spoken_until = sample
        utterance.wire += self.uplink[first : sample * fmt.bytes_per_sample - self._uplink_base]
        self.send(events.SPEECH_STOPPED)
        self.notice_keyword(utterance, utterance.script.heard)
        is_answered = utterance.is_interrupting or self._speaking is None
        self._end_utterance(records.COMPLETED if is_answered else records.IGNORED)
        if is_answered:
            self._answer(utterance)
        else:
            self.send_transcript(events.TRANSCRIPT_COMPLETED, utterance.script.heard)

    # --- turns ---

    def _new_turn(self, kind, script):
        active = [faults.ActiveFault(spec) for spec in script.faults]
        turn = records.Turn(
            number=len(self.cloud.turns) + 1,
            connection=self.number,
            kind=kind,
            wire_format=self.settings.output_format(),
            script=script,
            flow=faults.flow_of(self._faults, active),
            faults=active,
            conversation_id=self.conversation.id,
            heard=script.heard,
        )
        turn.mark("begun", self.now_ms)
        self.cloud.turns.append(turn)
        return turn

    def _answer(self, utterance, text=None):
        """Begin a turn for an utterance, or (utterance None) for a written message."""
        script = utterance.script if utterance is not None else self.cloud.next_script()
        turn = self._new_turn(records.SPEECH if utterance is not None else records.MESSAGE, script)
        turn.utterance = utterance
        if text is not None:
            turn.heard = text
        self._waiting.append(turn)
        turn.task = self.start(answers.converse(self, turn))

    def _play(self, kind, sentences):
        if not sentences:
            return
        turn = self._new_turn(kind, Script(heard="", answer=tuple(sentences)))
        if self.scenario.prologue_has_chat_id:
            turn.chat_id = self.cloud.ids.next()
        turn.task = self.start(answers.play(self, turn))

    def _prologue(self, text):
        return (_made_up(text),) if text else self.scenario.prologue

    def _interrupt(self, code):
        """Somebody wants the floor: what sounds is canceled, what is only thought of dies when it is created."""
        for turn in self._waiting:
            turn.is_superseded = True
        if self._speaking is not None:
            self.cancel(self._speaking, code)

    def make_way(self):
        """Stop what still sounds when a new answer is due; whether there was anything."""
        if self._speaking is None:
            return False
        self.cancel(self._speaking, code=1)
        return True

    def begin(self, turn):
        """The turn becomes a chat."""
        self._waiting.remove(turn)
        self._speaking = turn
        turn.status = records.RUNNING
        turn.chat_id = self.cloud.ids.next()
        turn.mark("created", self.now_ms)
        self._remember("user", turn.heard)
        self.send_chat(events.TURN_CREATED, turn, "created")

    def begin_playing(self, turn):
        """Prologue and generated speech sound without being a chat; only the scenario can give them an id."""
        self._speaking = turn
        turn.status = records.RUNNING

    def voices(self, turn):
        """The wire bytes of each sentence of the answer. The first time a WAV file meets a rate takes a while."""
        fmt = turn.wire_format
        return [fmt.encode(sentence.samples(fmt.rate_hz)) for sentence in turn.script.answer]

    def request_action(self, turn):
        calls = [(self.cloud.ids.next(), call.name, call.arguments) for call in turn.script.tool_calls]
        turn.tool_call_ids = [call_id for call_id, _, _ in calls]
        turn.mark("requires_action", self.now_ms)
        action = events.required_action(calls)
        self.send_chat(events.REQUIRES_ACTION, turn, "requires_action", required_action=action)

    def cancel(self, turn, code, reply_to=None):
        turn.sent_at_cancel_bytes = len(turn.sent)
        turn.cancel_code = code
        turn.mark("cancel", self.now_ms)
        self._leave(turn, records.CANCELED)
        self.start(answers.wind_down(self, turn, reply_to))

    def complete(self, turn):
        if turn.is_over:
            return  # canceled meanwhile: its late audio ran to the end
        self._leave(turn, records.COMPLETED)
        turn.mark("completed", self.now_ms)
        if turn.kind in (records.SPEECH, records.MESSAGE):
            self._remember("assistant", turn.said)
            if turn.flow.sends_chat_completed:
                self.send_chat(events.TURN_COMPLETED, turn, "completed")
        self.settle(turn)

    def fail(self, turn, code, msg):
        """End the turn with chat.failed (or an error event where there is no chat)."""
        if turn is None or turn.is_over:
            return
        self._leave(turn, records.FAILED)
        self.stop(turn.task)
        turn.mark("failed", self.now_ms)
        if turn.kind in (records.SPEECH, records.MESSAGE):
            self.send_chat(events.TURN_FAILED, turn, "failed", error=(code, msg))
        else:
            self.send_error(code, msg)
        self.settle(turn)

    def abandon(self, turn):
        """The turn falls silent without a word (faults)."""
        if turn is None or turn.is_over:
            return
        self._leave(turn, records.ABANDONED)
        self.stop(turn.task)
        self.settle(turn)

    def stall(self, turn, for_ms):
        """The turn pauses after the message just sent (faults)."""
        if turn is not None and turn.task is not None:
            self._schedule.hold(turn.task, for_ms)

    def _leave(self, turn, status):
        turn.status = status
        if self._speaking is turn:
            self._speaking = None
        if turn in self._waiting:
            self._waiting.remove(turn)

    def settle(self, turn):
        """Nothing more leaves for this turn. May be called twice."""
        if turn.task is None:
            return
        turn.task = None
        turn.mark("settled", self.now_ms)
        self.cloud.observer.turn_settled(turn)
        if not self.cloud.keeps_audio:
            turn.sent, turn.planned, turn.packets = bytearray(), b"", []

    def _remember(self, role, text):
        if self.settings.is_history_saved:
            self.conversation.history.append((role, text))


_HANDLERS = {
    "chat.update": Connection._on_update,
    "input_audio_buffer.append": Connection._on_append,
    "input_audio_buffer.complete": Connection._on_complete,
    "input_audio_buffer.clear": Connection._on_clear,
    "conversation.message.create": Connection._on_message,
    "conversation.clear": Connection._on_clear_conversation,
    "conversation.chat.submit_tool_outputs": Connection._on_tool_outputs,
    "conversation.chat.cancel": Connection._on_cancel,
    "input_text.generate_audio": Connection._on_generate,
}


def _parse(text):
    try:
        event = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadParameter("not JSON: %s" % error) from error
    if not isinstance(event, dict):
        raise BadParameter("a message must be a JSON object")
    if not isinstance(event.get("data"), (dict, type(None))):
        raise BadParameter("data: must be an object")
    return event


def _member(data, key):
    if not isinstance(data.get(key), str):
        raise BadParameter("data.%s: must be a string" % key)
    return data[key]


def _audio_of(data):
    try:
        return base64.b64decode(_member(data, "delta"), validate=True)
    except binascii.Error as error:
        raise BadParameter("data.delta: not base64 (%s)" % error) from error


def _unwrap(container, wire):
    """The PCM behind the header of the first piece. Raw audio under the default container is refused."""
    if container == "wav" and wire[:4] == b"RIFF" and wire[8:12] == b"WAVE" and b"data" in wire:
        return wire[wire.index(b"data") + 8 :]
    raise BadParameter(
        "audio invalid: expected format %s; set input_audio.format with chat.update before sending audio" % container
    )


def _object_text(content):
    try:
        items = json.loads(content)
    except json.JSONDecodeError as error:
        raise BadParameter("data.content: not the JSON text of an array (%s)" % error) from error
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise BadParameter("data.content: must be the JSON text of an array of objects")
    return " ".join(item["text"] for item in items if isinstance(item.get("text"), str))


def _made_up(text):
    """Speech for a text that no WAV file has: a sweep as long as the text takes to say."""
    return Sentence(text, ("signal", "chirp", min(10000, 200 + 60 * len(text)), 8000, 1))


def _carry(fault, out, rng):
    return fault.rewrite(out.text, rng) if isinstance(out, outgoing.Text) else [out]
