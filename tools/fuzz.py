"""`python -m tools.fuzz`: mutates the input of the parsers, guided by the lines it reaches, and keeps what breaks them.

The targets are those of tests/portable/fuzz_targets.py, the corpus lies in tests/corpus/, and `make test` replays it.
An input that breaks a target is written there as crash-<hash>, one that reaches new lines as found-<hash> with --keep.
"""

import argparse
import hashlib
import os
import random
import sys
import time
import traceback

from tools import ROOT, ToolError

CORPUS = os.path.join(ROOT, "tests", "corpus")
_MOST_BYTES = 2500
_WATCHED = ("json_scan.py", "json_strict.py", "ws_protocol.py", "ws_handshake.py", "coze.py", "coze_errors.py", "turns.py",
            "config_rules.py", "config.py", "kernels_py.py", "kernels_host.py")  # fmt: skip
_WORDS = {
    "json": [
        b'{"event_type":"', b'"', b"\\", b'\\"', b"\\u0041", b"\\ud83d", b"{", b"}", b"[", b"]", b",", b":", b"null",
        b"true",
        b"-1e9", b"12345678901234567890", b"\n", b"\n!\n", b'"data":{', b'"content":"', b'"chat_id":"', b'"id":"',
        b'"code":',
        b'"detail":{"logid":"x"}', b"AAAA", b"AA==", b"AAA=", b"=", b"\xff", b"\xc3\xa9", b"conversation.audio.delta",
        b"conversation.chat.created", b"conversation.chat.completed", b"conversation.chat.canceled",
        b"conversation.chat.failed", b"conversation.chat.requires_action", b"conversation.audio.completed",
        b"conversation.audio_transcript.completed", b"input_audio_buffer.speech_started",
        b"input_audio_buffer.speech_stopped", b"chat.updated", b"error", b"conversation.audio.sentence_start",
    ],
    "ws": [
        b"\x81\x00", b"\x82\x7e\x00\x05hello", b"\x01\x02ab", b"\x80\x00", b"\x00\x01x", b"\x89\x00",
        b"\x8a\x7d" + bytes(125),
        b"\x88\x02\x03\xe8", b"\x88\x00", b"\x82\x7f" + bytes(6) + b"\x10\x00", b"\x82\x7e\x0f\xff",
        b"\x02\x7e\x04\x00",
        b"HTTP/1.1 101 OK\r\n", b"HTTP/1.1 401 No\r\n", b"HTTP/1.1 100 Go on\r\n\r\n", b"\r\n\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n",
        b"Sec-WebSocket-Accept: x",
        b"\x81\x7e\x03\x80" + bytes(896), b"\x02\x7e\x03\xff" + bytes(1023),
    ],
    "config": [
        b'{"bot_id":"7","token":"t"}', b'"', b"\\u0041", b"\\", b"{", b"}", b",", b":", b"[", b"]", b"1e400", b"-0",
        b"0.5",
        b"999999999999999999999999", b"true", b"null", b"//", b"\xef\xbb\xbf", b"\xff", b"\xc0\x80", b"NaN", b"\n",
        b"\t",
        b'"mode":"free"', b'"ring_bytes":2048', b'"pacing_frames":0', b'"downlink_codec":"pcm"', b'"downlink_hz":24000',
        b'"cloud_url":"ws://localhost/x"', b'"interrupt_keywords":["', b'"custom_variables":{"a":"',
        b'"watchdog_ms":5000',
        b'"wifi_password":"', b'"token":"Bearer ',
    ],
}  # fmt: skip


def targets():
    """The module with TARGETS and ONCE, whose names are those of the corpus."""
    for folder in ("lib", os.path.join("tests", "portable")):
        path = os.path.join(ROOT, folder)
        if path not in sys.path:
            sys.path.insert(0, path)
    import fuzz_targets

    from firmware import config

    config._forget = lambda: None  # on a device the judge is let go of each time; loading it anew takes most of a run
    return fuzz_targets


class Reach:
    """Which lines of the watched files an input runs through."""

    def __init__(self):
        self.seen = set()
        self._now = set()

    def run(self, target, data):
        """True when new lines were reached. Lets through what the target raises."""
        self._now = set()
        sys.settrace(self._trace)
        try:
            target(data)
        finally:
            sys.settrace(None)
            is_new = not self._now <= self.seen
            self.seen |= self._now
        return is_new

    def _trace(self, frame, event, arg):
        name = frame.f_code.co_filename
        if not name.endswith(_WATCHED):
            return None
        previous = [0]
        now = self._now

        def each_line(frame, event, arg):
            if event == "line":
                now.add((frame.f_code, previous[0], frame.f_lineno))
                previous[0] = frame.f_lineno
            return each_line

        return each_line


class Mutator:
    def __init__(self, words, chance):
        self._words = words
        self._chance = chance

    def mutate(self, data, other):
        """A new input out of one or two old ones."""
        out = bytearray(data)
        for _ in range(1 << self._chance.randrange(5)):
            self._chance.choice(self._WAYS)(self, out, other)
        return bytes(out[:_MOST_BYTES])

    def _at(self, out):
        return self._chance.randrange(len(out) + 1)

    def _flip(self, out, other):
        if out:
            out[self._chance.randrange(len(out))] ^= 1 << self._chance.randrange(8)

    def _set(self, out, other):
        if out:
            byte = self._chance.choice((0, 1, 0x7F, 0x80, 0xFF, self._chance.randrange(256)))
            out[self._chance.randrange(len(out))] = byte

    def _drop(self, out, other):
        at = self._at(out)
        del out[at : at + self._chance.choice((1, 1, 2, 4, 16, 100))]

    def _word(self, out, other):
        at = self._at(out)
        out[at:at] = self._chance.choice(self._words)

    def _replace(self, out, other):
        word = self._chance.choice(self._words)
        at = self._at(out)
        out[at : at + len(word)] = word

    def _repeat(self, out, other):
        at = self._at(out)
        part = out[at : at + self._chance.choice((1, 4, 30, 200))]
        out[at:at] = part * self._chance.choice((1, 2, 20))

    def _splice(self, out, other):
        at, there = self._at(out), self._at(other)
        out[at:at] = other[there : there + self._chance.choice((5, 50, 500))]

    def _swap_lines(self, out, other):
        lines = bytes(out).split(b"\n")
        self._chance.shuffle(lines)
        out[:] = b"\n".join(lines)

    _WAYS = (_flip, _set, _drop, _word, _word, _replace, _repeat, _splice, _swap_lines)


class Fuzz:
    """One target and its corpus."""

    def __init__(self, name, seed, keeps):
        self.name = name
        self.folder = os.path.join(CORPUS, name)
        self.runs = 0
        self.crashes = []  # paths
        self._kinds = set()  # where they broke: one input for each place
        self._keeps = keeps
        self._target = targets().TARGETS[name]
        self._once = targets().ONCE[name]
        self._chance = random.Random(seed)
        self._mutator = Mutator(_WORDS[name], self._chance)
        self._reach = Reach()
        self._pool = []
        os.makedirs(self.folder, exist_ok=True)

    def begin(self):
        """Take in the corpus; what breaks already counts."""
        for file in sorted(os.listdir(self.folder)):
            with open(os.path.join(self.folder, file), "rb") as stream:
                self._try(stream.read(), file)
        if not self._pool:
            raise ToolError("%s holds no input to begin with" % self.folder)

    def run(self, seconds):
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.step()

    def step(self):
        """Try one mutated input."""
        pool = self._pool
        data = pool[-1] if self._chance.random() < 0.2 else self._chance.choice(pool)
        self._try(self._mutator.mutate(data, self._chance.choice(pool)))

    @property
    def reached(self):
        return len(self._reach.seen)

    def _try(self, data, file=None):
        self.runs += 1
        try:
            self._target(data)
            if self._reach.run(self._once, data) or file:
                self._pool.append(data)
                if self._keeps and file is None:
                    self._write("found", data)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            kind = (type(error), place.filename, place.lineno)
            if kind not in self._kinds:
                self._kinds.add(kind)
                self.crashes.append((file or self._write("crash", data), "%s: %s" % (type(error).__name__, error)))

    def _write(self, word, data):
        file = "%s-%s" % (word, hashlib.sha256(data).hexdigest()[:12])
        with open(os.path.join(self.folder, file), "wb") as stream:
            stream.write(data)
        return file


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m tools.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python -m tools.fuzz --target ws --seconds 300",
    )
    parser.add_argument("--target", choices=sorted(_WORDS), action="append", help="may be given again (default: all)")
    parser.add_argument("--seconds", type=float, default=60, help="for each target (default: %(default)g)")
    parser.add_argument("--seed", type=int, help="of all chance (default: another one each time)")
    parser.add_argument("--keep", action="store_true", help="keep inputs that reach new lines")
    args = parser.parse_args(argv)
    seed = random.randrange(1 << 30) if args.seed is None else args.seed
    is_broken = False
    for name in args.target or sorted(_WORDS):
        fuzz = Fuzz(name, seed, args.keep)
        fuzz.begin()
        fuzz.run(args.seconds)
        print("%s: %d runs, %d steps from line to line reached, %d crashes (seed %d)"
              % (name, fuzz.runs, fuzz.reached, len(fuzz.crashes), seed))  # fmt: skip
        for file, text in fuzz.crashes:
            print("  tests/corpus/%s/%s: %s" % (name, file, text[:300]))
        is_broken = is_broken or bool(fuzz.crashes)
    return 1 if is_broken else 0


if __name__ == "__main__":
    sys.exit(main())
