"""Everything the cloud can be told to do wrong, oddly or late: one small function for each.

A fault stands in a scenario as {"kind": its name, ...parameters}. Where it takes hold is its hook:

    SHAPE   (message, p, rng) -> message      the JSON object before it is written
    SPELL   (text, p, rng) -> text            the JSON text: other spellings of the same object
    CARRY   (text, p, rng) -> [outgoing, …]   how the text travels
    AFTER   (link, turn, p)                   something happens once the event is out
    FLOW    (flow, p)                         turns the knobs of a turn (or of a connection) before it begins

SHAPE, SPELL, CARRY and AFTER choose their events: `on` (the event type, audio deltas unless told), `nth` (the first
one affected, from 1) and `count` (how many; 0 is all the rest). `p` holds the parameters, defaults filled in.
"""

import json
from dataclasses import dataclass, field

from . import outgoing

SHAPE, SPELL, CARRY, AFTER, FLOW = "shape", "spell", "carry", "after", "flow"

AUDIO_DELTA = "conversation.audio.delta"


@dataclass(frozen=True)
class Kind:
    """One entry of the catalogue: parameters maps each name to its default, whose type is the type wanted."""

    name: str
    hook: str
    act: object
    parameters: dict


KINDS = {}


@dataclass
class Flow:
    """The knobs of one turn; what a FLOW fault may turn. A connection's faults turn them for each of its turns."""

    late_audio_ms: int = 0
    is_canceled_first: bool = False
    canceled_delay_ms: int = 0
    is_canceled_sent: bool = True
    completes_after_cancel: bool = False
    jitter_ms: int = 0
    packet_bytes: tuple = ()
    has_odd_packets: bool = False
    lost_tail_bytes: int = 0
    sends_audio_completed: bool = True
    sends_chat_completed: bool = True
    sends_transcript: bool = True
    updated_delay_ms: int = 0
    is_paced: bool = True
    window_late_ms: int = 0
    heeds_tools: bool = True
    ends_on_update: dict = field(default_factory=dict)


def fault(name, hook, **parameters):
    if hook == AFTER:
        parameters = {"on": AUDIO_DELTA, "nth": 1, "count": 1, **parameters}
    elif hook != FLOW:
        parameters = {"on": AUDIO_DELTA, "nth": 1, "count": 0, **parameters}

    def register(act):
        KINDS[name] = Kind(name, hook, act, parameters)
        return act

    return register


class ActiveFault:
    """A fault at work in one turn or on one connection; counts the events that it sees."""

    def __init__(self, spec):
        self.kind = KINDS[spec["kind"]]
        self.parameters = {**self.kind.parameters, **{k: v for k, v in spec.items() if k != "kind"}}
        self.hook = self.kind.hook
        self._seen = 0

    def selects(self, event_type):
        """Count this event; whether the fault applies to it."""
        if self.hook == FLOW or event_type != self.parameters["on"]:
            return False
        self._seen += 1
        past = self._seen - self.parameters["nth"]
        return past >= 0 and (not self.parameters["count"] or past < self.parameters["count"])

    def rewrite(self, message, rng):
        """For SHAPE, SPELL and CARRY: what becomes of this object or text."""
        return self.kind.act(message, self.parameters, rng)

    def act(self, *on):
        """For AFTER: on (link, turn); for FLOW: on (flow)."""
        self.kind.act(*on, self.parameters)


def flow_of(*fault_lists):
    """The knobs after all FLOW faults of these lists had their turn."""
    flow = Flow()
    for faults in fault_lists:
        for one in faults:
            if one.hook == FLOW:
                one.act(flow)
    return flow


# --- SHAPE: legal objects that a careless reader misreads, and illegal contents ---


@fault("key_order", SHAPE)
def _reverse_keys(message, p, rng):
    """Members in reverse order, outside and inside `data`."""
    reversed_message = dict(reversed(message.items()))
    if isinstance(message.get("data"), dict):
        reversed_message["data"] = dict(reversed(message["data"].items()))
    return reversed_message


@fault("nested_content", SHAPE)
def _decoys(message, p, rng):
    """Nested objects with a `content`, `delta` and `chat_id` of their own, and quotes inside strings."""
    decoys = {"content": "ZGVjb3k=", "delta": "ZGVjb3k=", "chat_id": "0", "note": '"content":"ZGVjb3k=" \\" {['}
    data = {"meta_data": decoys, **_data(message)}
    return {"trace": {"content": "ZGVjb3k=", "event_type": "error", "data": decoys}, **message, "data": data}


@fault("extra_bytes", SHAPE, bytes=40000)
def _padding(message, p, rng):
    """A long string that means nothing stands first."""
    return {"padding": "x" * p["bytes"], **message}


@fault("no_chat_id", SHAPE)
def _without_chat_id(message, p, rng):
    """`data` lacks its chat_id."""
    return {**message, "data": {k: v for k, v in _data(message).items() if k != "chat_id"}}


@fault("illegal_base64", SHAPE, character="!")
def _illegal_character(message, p, rng):
    """One character of the base64 text is not base64."""
    content = _content(message)
    at = rng.randrange(len(content)) if content else 0
    return _with_content(message, content[:at] + p["character"] + content[at + 1 :])


@fault("cut_base64", SHAPE, chars=1)
def _wrong_length(message, p, rng):
    """The base64 text lacks its last characters."""
    return _with_content(message, _content(message)[: -max(1, p["chars"])])


@fault("wrong_type", SHAPE)
def _number_for_text(message, p, rng):
    """`content` is a number."""
    return _with_content(message, 12345)


@fault("null_data", SHAPE)
def _null_data(message, p, rng):
    """`data` is null."""
    return {**message, "data": None}


@fault("no_data", SHAPE)
def _no_data(message, p, rng):
    """`data` is missing."""
    return {k: v for k, v in message.items() if k != "data"}


@fault("unknown_members", SHAPE)
def _unknown_members(message, p, rng):
    """Members nobody documents: arrays, null, a float, a flag."""
    return {"trace": [1, [2, {"a": None}]], **message, "version": 2.5e-3, "is_new": True}


def _data(message):
    return message.get("data") or {}


def _content(message):
    return _data(message).get("content", "")


def _with_content(message, content):
    return {**message, "data": {**_data(message), "content": content}}


# --- SPELL: the same object in other legal characters ---


@fault("white_space", SPELL)
def _white_space(text, p, rng):
    """White space of all four kinds wherever JSON allows it."""
    return "\r\n\t " + json.dumps(json.loads(text), indent=3, separators=(" , ", "\t:\n ")) + " \n"


@fault("escaped_slash", SPELL)
def _escaped_slash(text, p, rng):
    r"""Every / is written \/."""
    return text.replace("/", "\\/")


@fault("escaped_plus", SPELL)
def _escaped_plus(text, p, rng):
    r"""Every + is written \u002B."""
    return text.replace("+", "\\u002B")


@fault("escaped_chars", SPELL, every=5)
def _escaped_content(text, p, rng):
    r"""Every so-many-th character of the base64 text becomes \u00XX."""
    content = _content(json.loads(text))
    every = max(1, p["every"])
    escaped = "".join("\\u%04x" % ord(c) if i % every == 0 else c for i, c in enumerate(content))
    return text.replace('"%s"' % content, '"%s"' % escaped) if content else text


# --- CARRY: how a text travels ---


@fault("fragments", CARRY, pieces=3)
def _fragments(text, p, rng):
    """The message travels in several frames."""
    return [outgoing.Fragments(_split(text.encode(), p["pieces"], rng))]


@fault("ping_inside", CARRY, pieces=3)
def _ping_inside(text, p, rng):
    """In several frames, with a PING behind the first."""
    return [outgoing.Fragments(_split(text.encode(), p["pieces"], rng), ping=b"inside")]


@fault("duplicate", CARRY)
def _duplicate(text, p, rng):
    """The same message twice."""
    return [outgoing.Text(text), outgoing.Text(text)]


@fault("swapped", CARRY, on="conversation.chat.created")
def _swapped(text, p, rng):
    """The message changes places with the one behind it; without one it is lost."""
    return [outgoing.Held(text)]


@fault("withheld", CARRY)
def _withheld(text, p, rng):
    """The message is never sent."""
    return []


def _split(data, pieces, rng):
    """Cut anywhere, inside a UTF-8 character too; a piece may be empty."""
    cuts = sorted(rng.randint(0, len(data)) for _ in range(pieces - 1))
    return tuple(data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)]))


# --- AFTER: something happens once the event is out ---


@fault("error", AFTER, code=5000, msg="internal error", then="go_on")
def _error(link, turn, p):
    """then: go_on, stop (the turn is silent from here on) or close (the server closes 50 ms later)."""
    link.send_error(p["code"], p["msg"])
    if p["then"] != "go_on":
        link.abandon(turn)
    if p["then"] == "close":
        link.close_later(50, outgoing.Close(1000, p["msg"]))


@fault("failed", AFTER, code=4013, msg="model service error")
def _failed(link, turn, p):
    """The turn ends with conversation.chat.failed."""
    link.fail(turn, p["code"], p["msg"])


@fault("drop", AFTER, end="stream", code=1011)
def _drop(link, turn, p):
    """end: close (a close frame with this code), stream (no close frame) or reset (TCP reset)."""
    link.end(ending(p))


@fault("stall", AFTER, for_ms=5000)
def _stall(link, turn, p):
    """The turn pauses; pings and acknowledgements go on."""
    link.stall(turn, p["for_ms"])


@fault("empty_delta", AFTER)
def _empty_delta(link, turn, p):
    """An audio delta with empty content."""
    if turn is not None:
        link.insert(outgoing.Text(json.dumps(link.audio_message(turn, b""))))


@fault("binary_message", AFTER, bytes=64)
def _binary_message(link, turn, p):
    """A binary message."""
    link.insert(outgoing.Binary(bytes(i & 0xFF for i in range(p["bytes"]))))


@fault("huge_message", AFTER, bytes=300000)
def _huge_message(link, turn, p):
    """A legal text message of this size."""
    text = '{"event_type":"conversation.message.delta","data":{"content":"%s"}}'
    link.insert(outgoing.Text(text % ("x" * p["bytes"])))


@fault("malformed_json", AFTER, text='{"event_type":"conversation.audio.delta","data":{"content":"AAAA"')
def _malformed_json(link, turn, p):
    """A text message that is not JSON."""
    link.insert(outgoing.Text(p["text"]))


@fault("not_an_object", AFTER)
def _not_an_object(link, turn, p):
    """A text message that is a JSON array."""
    link.insert(outgoing.Text('["conversation.audio.delta", {"content": "AAAA"}]'))


@fault("unknown_event", AFTER)
def _unknown_event(link, turn, p):
    """An event type nobody documents."""
    text = '{"event_type":"dump.audio","data":{"url":"https://example.invalid/a.wav","content":"AAAA"}}'
    link.insert(outgoing.Text(text))


@fault("bad_utf8", AFTER)
def _bad_utf8(link, turn, p):
    """A text message that is not UTF-8."""
    link.insert(outgoing.Raw(outgoing.frame(outgoing.TEXT, b'{"event_type":"\xc3\x28\xff"}')))


@fault("reserved_bits", AFTER)
def _reserved_bits(link, turn, p):
    """A frame with a reserved bit set."""
    link.insert(outgoing.Raw(outgoing.frame(outgoing.TEXT, b"{}", reserved=4)))


@fault("masked_frame", AFTER)
def _masked_frame(link, turn, p):
    """A masked frame, which a server must not send."""
    link.insert(outgoing.Raw(b"\x81\x82\x00\x00\x00\x00{}"))


@fault("long_control", AFTER)
def _long_control(link, turn, p):
    """A PING with 126 bytes, one more than allowed."""
    link.insert(outgoing.Raw(outgoing.frame(outgoing.PING, bytes(126))))


@fault("stray_continuation", AFTER)
def _stray_continuation(link, turn, p):
    """A continuation frame that continues nothing."""
    link.insert(outgoing.Raw(outgoing.frame(outgoing.CONTINUATION, b"{}")))


# --- FLOW: when, whether and in which pieces ---


@fault("late_audio", FLOW, for_ms=1500, canceled_first=False)
def _late_audio(flow, p):
    """After a cancel the old answer goes on for a while, before `canceled` or (canceled_first) behind it."""
    flow.late_audio_ms = p["for_ms"]
    flow.is_canceled_first = p["canceled_first"]


@fault("no_canceled", FLOW)
def _no_canceled(flow, p):
    """A cancel is obeyed and never acknowledged."""
    flow.is_canceled_sent = False


@fault("delayed_canceled", FLOW, by_ms=2000)
def _delayed_canceled(flow, p):
    """`canceled` comes this much later."""
    flow.canceled_delay_ms = p["by_ms"]


@fault("completed_after_cancel", FLOW)
def _completed_after_cancel(flow, p):
    """A canceled turn still sends chat.completed."""
    flow.completes_after_cancel = True


@fault("jitter", FLOW, max_ms=200)
def _jitter(flow, p):
    """Each audio packet is late by up to this much; the order stays."""
    flow.jitter_ms = p["max_ms"]


@fault("unpaced", FLOW)
def _unpaced(flow, p):
    """limit_config is not heeded: an answer leaves as fast as it is synthesised."""
    flow.is_paced = False


@fault("late_windows", FLOW, max_ms=200)
def _late_windows(flow, p):
    """Each window of a paced answer opens late by up to this much; its packets stay together."""
    flow.window_late_ms = p["max_ms"]


@fault("ignores_tools", FLOW)
def _ignores_tools(flow, p):
    """What the client's tools say is taken, never acknowledged, and no answer comes of it."""
    flow.heeds_tools = False


@fault("irregular_packets", FLOW, least_bytes=100, most_bytes=12000)
def _irregular_packets(flow, p):
    """Packets of any size even where frame_size_ms asked for one."""
    flow.packet_bytes = (p["least_bytes"], p["most_bytes"])


@fault("odd_packets", FLOW, lose_last_byte=False)
def _odd_packets(flow, p):
    """Packets cut in the middle of a sample; optionally the whole answer ends there too."""
    flow.has_odd_packets = True
    flow.lost_tail_bytes = 1 if p["lose_last_byte"] else 0


@fault("no_audio_completed", FLOW)
def _no_audio_completed(flow, p):
    """conversation.audio.completed never comes."""
    flow.sends_audio_completed = False


@fault("no_chat_completed", FLOW)
def _no_chat_completed(flow, p):
    """conversation.chat.completed never comes."""
    flow.sends_chat_completed = False


@fault("no_transcript", FLOW)
def _no_transcript(flow, p):
    """Nothing is said about what was heard."""
    flow.sends_transcript = False


@fault("slow_updated", FLOW, by_ms=3000)
def _slow_updated(flow, p):
    """For a connection, not a turn: `chat.updated` takes its time."""
    flow.updated_delay_ms = p["by_ms"]


@fault("close_for_update", FLOW, end="close", code=1011)
def _close_for_update(flow, p):
    """For a connection, not a turn: the answer to `chat.update` is the end (see `drop` for the words of `end`)."""
    flow.ends_on_update = p


# --- what the functions above share ---

CONNECTION_ONLY = ("slow_updated", "close_for_update")

ENDS = ("close", "stream", "reset")
CHOICES = {"end": ENDS, "then": ("go_on", "stop", "close")}


def ending(p):
    if p["end"] == "close":
        return outgoing.Close(p["code"], "emulated fault")
    return outgoing.Drop(is_reset=p["end"] == "reset")
