"""What a person can look at afterwards: a folder with the sound of every turn and a log of every message.

    events.jsonl            one line a message: t_ms, connection, direction, event_type, data (audio as its length)
    NNN-heard.wav           an utterance as received, 16-bit PCM at its own rate
    NNN-said.wav            an answer as really sent
    connection-N-uplink.wav all that the microphone sent in free talk, to hear what the VAD heard
Tokens never reach this module: they travel in the handshake only.
"""

import json
from pathlib import Path

from . import audio, records

_LONG_TEXT = 200


class Recorder(records.Observer):
    """folder: is made when missing. Files of an earlier run with the same names are overwritten."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log = open(self.folder / "events.jsonl", "w", encoding="utf-8")

    def message(self, connection, direction, now_ms, event_type, text):
        line = {"t_ms": now_ms, "connection": connection.number, "direction": direction, "event_type": event_type,
                "bytes": len(text.encode()), "data": _without_audio(text)}
        self._log.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._log.flush()

    def utterance_ended(self, utterance):
        if utterance.wire and utterance.wire_format.is_decodable:
            path = self.folder / ("%03d-heard.wav" % utterance.number)
            audio.write_wav(path, utterance.pcm, utterance.wire_format.rate_hz)

    def turn_settled(self, turn):
        if turn.sent:
            audio.write_wav(self.folder / ("%03d-said.wav" % turn.number), turn.pcm, turn.wire_format.rate_hz)

    def connection_ended(self, connection):
        if connection.uplink:
            fmt = connection.settings.input_format()
            path = self.folder / ("connection-%d-uplink.wav" % connection.number)
            audio.write_wav(path, fmt.decode(connection.uplink), fmt.rate_hz)

    def close(self):
        """May be called twice."""
        self._log.close()


def _without_audio(text):
    """The `data` of a message with audio and other long texts replaced by their length."""
    try:
        data = json.loads(text).get("data")
    except (ValueError, AttributeError):
        return {"unreadable": text[:_LONG_TEXT]}
    if not isinstance(data, dict):
        return data
    return {k: {"chars": len(v)} if isinstance(v, str) and len(v) > _LONG_TEXT else v for k, v in data.items()}


class Printer(records.Observer):
    """Tells a person at a terminal what happens: `say` takes one line of text."""

    def __init__(self, say):
        self._say = say

    def message(self, connection, direction, now_ms, event_type, text):
        if direction == "down" and event_type in ("chat.created", "chat.updated", "conversation.cleared"):
            self._say("%8.3f  connection %d: %s" % (now_ms / 1000, connection.number, event_type))
            for name in connection.unknown_members if event_type == "chat.updated" else ():
                self._say("          unknown member of chat.update: %s" % name)
        elif event_type == "error":
            self._say("%8.3f  connection %d: error %s" % (now_ms / 1000, connection.number, _without_audio(text)))

    def utterance_ended(self, utterance):
        self._say("%8.3f  utterance %d: %d ms in %d pieces, %s" % (
            utterance.ended_ms / 1000, utterance.number, utterance.duration_ms, utterance.appends, utterance.fate))

    def turn_settled(self, turn):
        self._say("%8.3f  turn %d (%s): heard %r, said %r, %d bytes in %d packets, %s" % (
            turn.times_ms["settled"] / 1000, turn.number, turn.kind, turn.heard, turn.said, len(turn.sent),
            len(turn.packets), turn.status))

    def connection_ended(self, connection):
        self._say("%8.3f  connection %d: ended (%s)" % (
            connection.now_ms / 1000, connection.number, connection.close_code or "no close code"))


class Several(records.Observer):
    """Passes everything on to each of `observers`."""

    def __init__(self, observers):
        self._observers = list(observers)

    def message(self, *arguments):
        for one in self._observers:
            one.message(*arguments)

    def utterance_ended(self, utterance):
        for one in self._observers:
            one.utterance_ended(utterance)

    def turn_settled(self, turn):
        for one in self._observers:
            one.turn_settled(turn)

    def connection_ended(self, connection):
        for one in self._observers:
            one.connection_ended(connection)
