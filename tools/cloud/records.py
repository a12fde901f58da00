"""What happened, exactly: every utterance received and every turn answered, byte by byte.

`wire` and `sent` hold the audio as it travelled (base64 undone): what arrived, what was handed to the socket.
Times are ms on the clock of the protocol object.
"""

from dataclasses import dataclass, field

# Fates of an utterance.
OPEN, COMPLETED, CLEARED, TIMED_OUT, IGNORED, LOST = "open", "completed", "cleared", "timed_out", "ignored", "lost"
# Of a turn; WAITING: recognised or thought about, no chat.created yet.
WAITING, RUNNING, CANCELED, FAILED, ABANDONED = "waiting", "running", "canceled", "failed", "abandoned"
# Kinds of a turn.
SPEECH, MESSAGE, PROLOGUE, GENERATED = "speech", "message", "prologue", "generated"


@dataclass(eq=False)
class Utterance:
    """One piece of user speech, from its first byte to its end."""

    number: int
    connection: int
    wire_format: object
    opened_ms: int
    wire: bytearray = field(default_factory=bytearray)
    appends: int = 0
    last_append_ms: int = 0
    ended_ms: int = None
    fate: str = OPEN
    start_sample: int = None  # free talk: where `wire` begins in the connection's uplink
    script: object = None
    is_interrupting: bool = False  # a keyword of it stopped the running answer

    @property
    def pcm(self):
        """16-bit mono little-endian at wire_format.rate_hz; b"" for a codec without a decoder here."""
        return self.wire_format.decode(self.wire)

    @property
    def duration_ms(self):
        return round(len(self.wire) / self.wire_format.bytes_per_ms)

    def end(self, fate, now_ms):
        self.fate = fate
        self.ended_ms = now_ms


@dataclass(eq=False)
class Turn:
    """One answer (or prologue, or generated speech) and what it answers."""

    number: int
    connection: int
    kind: str
    wire_format: object
    script: object
    flow: object
    faults: list
    utterance: Utterance = None
    chat_id: str = ""
    conversation_id: str = ""
    heard: str = ""
    said: str = ""
    status: str = WAITING
    cancel_code: int = 0  # 1 user speech, 2 client cancel, 3 manual message
    is_superseded: bool = False  # a newer utterance came before this one's chat.created
    sent: bytearray = field(default_factory=bytearray)
    planned: bytes = b""  # the whole answer; `sent` is its head unless a fault says otherwise
    sent_at_cancel_bytes: int = None
    packets: list = field(default_factory=list)  # (ms, bytes) of each audio delta
    broken_deltas: int = 0  # deltas that a fault made undecodable: not in `sent`
    tool_call_ids: list = field(default_factory=list)
    tool_outputs: dict = None
    times_ms: dict = field(default_factory=dict)  # "begun", "created", "first_audio", "last_audio", "cancel", …
    task: object = None

    @property
    def pcm(self):
        """What was sent, as 16-bit mono little-endian at wire_format.rate_hz."""
        return self.wire_format.decode(self.sent)

    @property
    def is_canceled(self):
        return self.status == CANCELED

    @property
    def is_over(self):
        return self.status not in (WAITING, RUNNING)

    def mark(self, name, now_ms):
        """Keep the first time something happened."""
        self.times_ms.setdefault(name, now_ms)


class Observer:
    """Told by the protocol object as things happen; this one ignores them. See recorder.py."""

    def message(self, connection, direction, now_ms, event_type, text):
        """direction: "up" or "down"."""

    def utterance_ended(self, utterance):
        pass

    def turn_settled(self, turn):
        """Nothing more will be sent for this turn."""

    def connection_ended(self, connection):
        pass
