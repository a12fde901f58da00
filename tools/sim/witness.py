"""Writes down what a simulated speaker does while it does it, for the page of --report. Portable; in the child process.

One fact a line, in ms of the world's own time line unless said otherwise; tools/timeline/live.py reads it:

    zero T        what the speaker's own clock showed when the world began
    ring N        bytes that the player's ring holds
    m T PEAK      the loudest sample (1..32767) at the microphone in the STEP_MS from T on; silence has no line
    s T PEAK      likewise of the loudspeaker
    r T N         bytes waiting in the ring, when it has changed
    a T WHAT      what the person did
    e T NAME ARG  an entry of the event trace, T by the speaker's own clock

It hangs on calls that are made anyway, so it costs no task, and it only looks: the speaker cannot tell.
"""

from array import array

STEP_MS = 20
_RING_MS = 50  # how often the ring is looked at, at most
_FLUSH_MS = 1000


class Witness:
    """here: the World, before anything runs; path: where to write."""

    def __init__(self, here, path):
        self._here = here
        self._file = open(path, "w")
        self._player = None
        self._ring_bytes = -1
        self._looked_ms = -_RING_MS
        self._flushed_ms = 0
        self._tracks = [_Track("m", here.mic_record, self), _Track("s", here.speaker, self)]
        self._note = here.note
        here.note = self._on_action
        self._finish = here.finish
        here.finish = self._on_finish

    def watch_firmware(self):
        """Once the firmware can be imported and the world knows the speaker's clock."""
        from firmware import trace, trace_names
        from firmware.audio import player

        witness = self
        self.write("zero %d" % self._here.t_ms_start)

        class SeenTrace(trace.Trace):
            def add(self, code, arg=0):
                super().add(code, arg)
                for t_ms, code, arg in self.entries(1):
                    name = trace_names.NAMES[code] if code < len(trace_names.NAMES) else code
                    witness.write("e %d %s %d" % (t_ms, name, arg))

        class SeenPlayer(player.Player):
            def __init__(self, *args, **keywords):
                super().__init__(*args, **keywords)
                witness.watch_ring(self)

        trace.Trace = SeenTrace
        player.Player = SeenPlayer

    def watch_ring(self, player):
        """player: anything with capacity and room, in bytes."""
        self._player = player
        self.write("ring %d" % player.capacity)

    def write(self, line):
        if self._file is not None:
            self._file.write(line + "\n")

    def look(self):
        """Called many times a second: the ring, and what has been written reaches the disk now and then."""
        now_ms = self._here.now_ms()
        if self._player is not None and now_ms - self._looked_ms >= _RING_MS:
            self._looked_ms = now_ms
            n = self._player.capacity - self._player.room()
            if n != self._ring_bytes:
                self._ring_bytes = n
                self.write("r %d %d" % (now_ms, n))
        if now_ms - self._flushed_ms >= _FLUSH_MS and self._file is not None:
            self._flushed_ms = now_ms
            self._file.flush()

    def _on_action(self, what):
        self.write("a %d %s" % (self._note(what), what))

    def _on_finish(self):
        self._finish()
        if self._file is not None:
            for track in self._tracks:
                track.end_step()
            self._file.close()
            self._file = None


class _Track:
    """The envelope of one sound.Record."""

    def __init__(self, name, record, witness):
        self._name = name
        self._record = record
        self._witness = witness
        self._step = -1
        self._peak = 0
        self._put = record.put
        record.put = self.put

    def put(self, mv, samples, has_sound):
        if has_sound:
            self._measure(mv, samples)
        self._put(mv, samples, has_sound)
        self._witness.look()

    def _measure(self, mv, samples):
        """Step by step: what lies on both sides of a step's end counts on both."""
        rate_hz = self._record.rate_hz
        values = array("h", bytes(mv))
        at = 0
        while at < samples:
            first = self._record.at + at
            step = first * 1000 // (rate_hz * STEP_MS)
            end = ((step + 1) * rate_hz * STEP_MS + 999) // 1000  # the first sample behind this step
            n = min(samples - at, max(1, end - first))
            part = values if n == samples else values[at : at + n]
            self._add(step, min(32767, max(max(part), -min(part))))
            at += n

    def _add(self, step, peak):
        if step != self._step:
            self.end_step()
            self._step = step
        if peak > self._peak:
            self._peak = peak

    def end_step(self):
        if self._peak:
            self._witness.write("%s %d %d" % (self._name, self._step * STEP_MS, self._peak))
        self._peak = 0
