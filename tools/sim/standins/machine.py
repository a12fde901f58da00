"""Stand-in for the ESP32 port's `machine`. Never copy it to a board: there it would hide the real one.

The same file runs on CPython and MicroPython; a folder first on sys.path wins over the unix port's built-in module.
I2S is as awkward as the real one, from ports/esp32/machine_i2s.c, extmod/machine_i2s.c and the IDF's i2s_common.c:

- It blocks until it was polled once; init() makes it block again. Then write() and readinto() return what went at once.
- The DMA is a ring of descriptors of 256 frames, `ibuf` deciding how many (2 at least). The bus goes round the ring for
  ever by its own clock. A descriptor that has been played is cleared and queued for filling. The queue holds all but
  the one under way; when it is full, the longest-waiting one drops out, since its turn to be played has come. Right
  after init() the queue is empty: nothing can be written before the first descriptor of silence is over.
- write() goes on in the descriptor that it has begun. If that one's turn comes half filled, its rest plays silence, and
  what is written into the rest afterwards is heard one round later, or never where the round overwrites it. Such
  samples are counted (tx_late). So: write whole descriptors.
- Receiving always uses 32-bit stereo descriptors, so ibuf counts 8-byte slots. Sound comes a whole descriptor at a
  time; when nobody reads, the oldest is overwritten (rx_lost).
- The microphone is a 24-bit one, 12 dB below full scale in its 32-bit slot: slot = sample << 14, so 16-bit mode shows
  sample >> 2, and a gain of 4 brings it back.
- deinit() drops all that is queued (tx_dropped), at the sample that is just being played.
- The flag for poll goes down after a short count and up at the end of a descriptor, or, with is_never_ready, never up.

Simplified: no FIFO between DMA and pins, so a descriptor counts as played when its last sample has sounded; a reader
that is overtaken in the middle of a descriptor sees whole new ones; a second I2S(id) kills the first object instead
of being the same one; on CPython, whose poll asks for a file number once, the flag is always up or never.
"""

import errno
import os
import sys
from array import array

from simworld import world

_IS_MICROPYTHON = sys.implementation.name == "micropython"

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5


def reset():
    world.current.power_off("reset", "machine.reset() was called")


def soft_reset():
    world.current.power_off("reset", "machine.soft_reset() was called")


def reset_cause():
    return world.current.reset_cause or (PWRON_RESET if world.current.is_power_on else SOFT_RESET)


def unique_id():
    """A locally administered address, the same in every run."""
    return b"\x02\x50\x69\x70\x69\x74"


_freq_hz = 160_000_000  # as the plain image for an ESP32-S3 starts


def freq(hz=None):
    global _freq_hz
    if hz is None:
        return _freq_hz
    if hz not in (20_000_000, 40_000_000, 80_000_000, 160_000_000, 240_000_000):
        raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
    _freq_hz = hz
    return None


def idle():
    world.current.step()


def disable_irq():
    return 0


def enable_irq(state):
    return None


# ---- Pin

_MISSING_PINS = (22, 23, 24, 25)  # an ESP32-S3 has GPIO 0-21 and 26-48


class Pin:
    """A GPIO. An input shows the key that the world has put there, else its pull (0 when it floats)."""

    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_DOWN = 1
    PULL_UP = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2
    DRIVE_0 = 0
    DRIVE_1 = 1
    DRIVE_2 = 2
    DRIVE_3 = 3

    def __init__(self, id, mode=None, pull=-1, *, value=None, drive=None, hold=None):
        if isinstance(id, Pin):
            id = id._id
        if not isinstance(id, int) or not 0 <= id <= 48 or id in _MISSING_PINS:
            raise ValueError("invalid pin")
        self._id = id
        self.init(mode, pull, value=value, drive=drive, hold=hold)

    def init(self, mode=None, pull=-1, *, value=None, drive=None, hold=None):
        state = _pin_state(self._id)
        if value is not None:
            state[2] = int(bool(value))
        if mode is not None:
            state[0] = mode
        if pull != -1:
            state[1] = pull or 0

    def value(self, x=None):
        world.current.step()
        state = _pin_state(self._id)
        if x is not None:
            state[2] = int(bool(x))
            return None
        if state[0] == Pin.OUT:
            return state[2]
        level = world.current.buttons.level(self._id, world.current.now_us())
        if level is None:
            return 1 if state[1] & Pin.PULL_UP else 0
        return level

    def __call__(self, x=None):
        return self.value(x)

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        state = _pin_state(self._id)
        state[2] = 1 - state[2]

    def irq(self, handler=None, trigger=3, **kw):
        raise NotImplementedError("the stand-in has no pin interrupts: poll value()")

    def __repr__(self):
        return "Pin(%d)" % self._id


_pin_states = {}  # id -> [mode, pull, output level]; a GPIO has one state however many Pin objects name it


def _pin_state(id):
    state = _pin_states.get(id)
    if state is None:
        state = _pin_states[id] = [Pin.IN, 0, 0]
    return state


# ---- I2S

_BLOCK_FRAMES = 256
_DMA_HEAP_BYTES = 200_000  # internal RAM that a board with Wi-Fi up can spare at the most
_ESP_ERR_INVALID_ARG = 0x102

if _IS_MICROPYTHON:
    from io import IOBase as _Stream

    _POLL_REQUEST = 3
    _POLL_RD = 1
    _POLL_WR = 4
else:
    _Stream = object


class I2S(_Stream):
    """One direction of one I2S controller; see the top of this file."""

    RX = 1
    TX = 2
    STEREO = 1
    MONO = 0

    _in_use = [None, None]

    def __init__(self, id, *, sck, ws, sd, mode, bits, format, rate, ibuf):
        if id not in (0, 1):
            raise ValueError("invalid id")
        self._id = id
        self._bus = None
        self._fd = None
        self._is_blocking = True
        other = I2S._in_use[id]
        if other is not None:
            other.deinit()
        I2S._in_use[id] = self
        self.init(sck=sck, ws=ws, sd=sd, mode=mode, bits=bits, format=format, rate=rate, ibuf=ibuf)

    def init(self, *, sck, ws, sd, mode, bits, format, rate, ibuf):
        self.deinit()
        _is_faulty("init")
        for pin in (sck, ws, sd):
            if not isinstance(pin, Pin):
                Pin(pin)
        if mode not in (I2S.RX, I2S.TX):
            raise ValueError("invalid mode")
        if bits not in (16, 32):
            raise ValueError("invalid bits")
        if format not in (I2S.MONO, I2S.STEREO):
            raise ValueError("invalid format")
        if rate <= 0:
            raise OSError(-_ESP_ERR_INVALID_ARG, "ESP_ERR_INVALID_ARG")
        channels = 2 if format == I2S.STEREO else 1
        dma_frame_bytes = 8 if mode == I2S.RX else bits // 8 * channels
        count = max(2, ibuf // (_BLOCK_FRAMES * dma_frame_bytes))
        # The port does not check ibuf; the IDF runs out of memory.
        if ibuf < 0 or count * _BLOCK_FRAMES * dma_frame_bytes > _DMA_HEAP_BYTES:
            raise OSError(errno.ENOMEM)
        I2S._in_use[self._id] = self
        self._is_blocking = True
        self._bus = (_Receiver if mode == I2S.RX else _Sender)(rate, bits, channels, count)

    def deinit(self):
        """May be called twice."""
        if self._bus is not None:
            self._bus.close()
            self._bus = None
        if self._fd is not None:
            for fd in self._fd:
                os.close(fd)
            self._fd = None

    def readinto(self, buf):
        """Bytes read, 0 when there are none now; after init() and before the first poll it waits for all of buf."""
        world.current.step()
        if world.current.i2s_faults and _is_faulty("rx"):
            return 0
        return self._of(_Receiver).transfer(buf, self._is_blocking)

    def write(self, buf):
        """Bytes taken, 0 when nothing fits now; after init() and before the first poll it waits until all are."""
        world.current.step()
        if world.current.i2s_faults and _is_faulty("tx"):
            return 0
        return self._of(_Sender).transfer(buf, self._is_blocking)

    def _of(self, side):
        if self._bus is None:
            # The port hands the deleted channel's null handle to the IDF.
            raise OSError(-_ESP_ERR_INVALID_ARG, "ESP_ERR_INVALID_ARG")
        if not isinstance(self._bus, side):
            raise OSError(errno.EPERM)
        return self._bus

    def irq(self, handler):
        raise NotImplementedError("the stand-in has no I2S callbacks: poll once, then ask again every few ms")

    if _IS_MICROPYTHON:

        def ioctl(self, request, flags):
            if request != _POLL_REQUEST:
                return -1  # among others the question for a file number: there is none
            self._is_blocking = False
            if self._bus is None or world.current.is_never_ready:
                return 0
            wanted = _POLL_RD if isinstance(self._bus, _Receiver) else _POLL_WR
            if flags & (_POLL_RD | _POLL_WR) & ~wanted:
                return -errno.EPERM
            self._bus.sync()
            return flags & wanted if self._bus.is_flagged else 0

    else:

        def fileno(self):
            """For select.poll: registering counts as the poll. The flag is always set, or never (is_never_ready)."""
            if self._bus is None:
                raise OSError(errno.EBADF)
            self._is_blocking = False
            if self._fd is None:
                # The reading end of an empty pipe is never readable and never writable.
                self._fd = os.pipe() if world.current.is_never_ready else (os.open(os.devnull, os.O_RDWR),)
            return self._fd[0]

    @staticmethod
    def shift(*, buf, bits, shift):
        """Multiply by 2 ** shift in place, without saturation."""
        if bits not in (16, 32):
            raise ValueError("invalid bits")
        size = bits // 8
        for at in range(0, len(buf) // size * size, size):
            value = int.from_bytes(bytes(buf[at : at + size]), "little")
            if value >> (bits - 1):
                value -= 1 << bits
            value = value << shift if shift >= 0 else value >> -shift
            value &= (1 << bits) - 1
            for i in range(size):
                buf[at + i] = value >> 8 * i & 0xFF


def _is_faulty(side):
    """OSError when the world says that this side ("rx", "tx", "init") is broken; True when it only does nothing."""
    number = world.current.i2s_faults.get(side)
    if number:
        raise OSError(number)
    return number is not None


class _Bus:
    """The ring of descriptors and its clock. frames counts what has gone over the wire since init."""

    def __init__(self, rate, count):
        self._world = world.current
        self._rate = rate
        # frames = us * rate / 1e6, in lowest terms so that 32-bit MicroPython need not allocate for minutes
        divisor = _gcd(rate, 1_000_000)
        self._num = rate // divisor
        self._den = 1_000_000 // divisor
        self._start_us = self._world.now_us()
        self._base = self._start_us * self._num // self._den  # our first sample on the world's time line
        self._count = count
        self._frames = 0
        self._queue = []  # numbers of descriptors that wait to be filled or read, the oldest first; count - 1 at most
        self._current = -1  # the descriptor that the application is in, -1 before the first
        self._at = 0  # and how many of its bytes are done
        # What poll sees: down after a short count, up at the end of every descriptor. Up at first, rightly or not.
        self.is_flagged = True
        self._world.buses.append(self)

    def _due_frames(self):
        return (self._world.now_us() - self._start_us) * self._num // self._den

    def _hand_over(self, descriptor):
        """A descriptor has gone over the wire; the longest-waiting one drops out of a full queue."""
        if len(self._queue) == self._count - 1:
            self._queue.pop(0)
        self._queue.append(descriptor)
        self.is_flagged = True

    def _take(self):
        """Let the application begin the next descriptor; False when there is none."""
        if not self._queue:
            return False
        self._current = self._queue.pop(0)
        self._at = 0
        return True

    def transfer(self, buf, is_blocking):
        """Move as many bytes as there are now, or all of them; returns their number."""
        mv = memoryview(buf)
        n = len(mv)
        self.check(n)
        done = 0
        while True:
            self.sync()
            done = self.move(mv, done, n)
            if done == n:
                return done
            if not is_blocking:
                self.is_flagged = False
                return done
            # Sleep until the descriptor under way is over.
            left = _BLOCK_FRAMES - self._frames % _BLOCK_FRAMES
            self._world.clock.sleep_us(left * self._den // self._num + 1)
            self._world.step()

    def close(self):
        self.sync()
        if self in self._world.buses:
            self._world.buses.remove(self)

    def world_ends(self):
        self.sync()


class _Sender(_Bus):
    def __init__(self, rate, bits, channels, count):
        super().__init__(rate, count)
        self._frame_bytes = bits // 8 * channels
        self._block_bytes = _BLOCK_FRAMES * self._frame_bytes
        self._blocks = [bytearray(self._block_bytes) for _ in range(count)]
        self._views = [memoryview(block) for block in self._blocks]
        self._has_sound = [False] * count
        self._turn = 0  # which time round the ring `_current` is meant for
        self._zeros = bytes(self._block_bytes)
        self._high = bits // 8 - 2  # where a sample's upper 16 bits begin
        self._narrow = None if self._frame_bytes == 2 else bytearray(2 * _BLOCK_FRAMES)
        self._world.count("tx_inits")
        self._world.speaker.open(rate, self._base)

    def check(self, n):
        pass

    def sync(self):
        """Play up to now."""
        due = self._due_frames()
        ring = self._count * _BLOCK_FRAMES
        if due - self._frames > 2 * ring:
            # Nobody came by for more than a round: the last round was silence.
            self._play(self._frames + ring + _BLOCK_FRAMES - self._frames % _BLOCK_FRAMES)
            silent = (due - self._frames) // ring * ring
            self._world.speaker.silence_until(self._base + self._frames + silent)
            self._world.count("tx_silent", silent)
            self._frames += silent
        self._play(due)

    def _play(self, due):
        while self._frames < due:
            at = self._frames % _BLOCK_FRAMES
            n = min(_BLOCK_FRAMES - at, due - self._frames)
            descriptor = self._frames // _BLOCK_FRAMES % self._count
            self._record(descriptor, at, n)
            self._frames += n
            if at + n == _BLOCK_FRAMES:
                if self._has_sound[descriptor]:
                    self._views[descriptor][:] = self._zeros  # auto_clear
                    self._has_sound[descriptor] = False
                self._hand_over(descriptor)

    def _record(self, descriptor, at, n):
        has_sound = self._has_sound[descriptor]
        if not has_sound:
            self._world.count("tx_silent", n)
        size = self._frame_bytes
        view = self._views[descriptor]
        if self._narrow is None:
            self._world.speaker.put(view[2 * at : 2 * (at + n)], n, has_sound)
            return
        # Stereo and 32 bits: the record keeps the left channel's upper 16 bits.
        block = self._blocks[descriptor]
        for i in range(n):
            self._narrow[2 * i] = block[size * (at + i) + self._high]
            self._narrow[2 * i + 1] = block[size * (at + i) + self._high + 1]
        self._world.speaker.put(memoryview(self._narrow)[: 2 * n], n, has_sound)

    def move(self, mv, done, n):
        while done < n:
            if self._current < 0 or self._at == self._block_bytes:
                if not self._take():
                    break
                self._turn = self._next_turn(self._current)
            part = min(self._block_bytes - self._at, n - done)
            self._count_late(part)
            self._views[self._current][self._at : self._at + part] = mv[done : done + part]
            self._has_sound[self._current] = True
            self._at += part
            done += part
        return done

    def _next_turn(self, descriptor):
        """Number of the block in which the bus will play this descriptor next."""
        block = (self._frames + _BLOCK_FRAMES - 1) // _BLOCK_FRAMES
        return block + (descriptor - block) % self._count

    def _count_late(self, part):
        first = self._turn * _BLOCK_FRAMES + self._at // self._frame_bytes
        late = min(self._frames - first, part // self._frame_bytes)
        if late > 0:
            self._world.count("tx_late", late)

    def close(self):
        self.sync()
        # What is dropped: the ring's rest, by the last descriptor that was written to.
        if self._current >= 0:
            end = self._turn * _BLOCK_FRAMES + self._at // self._frame_bytes
            if end > self._frames:
                self._world.count("tx_dropped", end - self._frames)
        super().close()


class _Receiver(_Bus):
    def __init__(self, rate, bits, channels, count):
        if rate != world.sound.MIC_RATE_HZ:
            raise OSError(errno.EINVAL, "the stand-in microphone works at %d Hz only" % world.sound.MIC_RATE_HZ)
        super().__init__(rate, count)
        self._bits = bits
        self._channels = channels
        self._sample_bytes = bits // 8 * channels  # of the application's buffer
        self._block_bytes = _BLOCK_FRAMES * self._sample_bytes
        # Only what the application will see is kept of a descriptor: the 16-bit mono samples of the microphone.
        self._blocks = [bytearray(2 * _BLOCK_FRAMES) for _ in range(count)]
        self._views = [memoryview(block) for block in self._blocks]
        self._has_sound = [False] * count
        self._scratch = bytearray(self._block_bytes)
        self._scratch_view = memoryview(self._scratch)
        # CPython has a short way for the usual case: 16 bits, mono.
        self._is_plain = not _IS_MICROPYTHON and sys.byteorder == "little" and self._sample_bytes == 2
        self._zeros = bytes(self._block_bytes)
        self._unread = [False] * count
        self._world.count("rx_inits")
        self._world.mic_record.open(rate, self._base)

    def check(self, n):
        if n % self._sample_bytes:
            raise OSError(errno.EINVAL)

    def sync(self):
        """Hear up to now."""
        if self._world.echo is not None:
            for bus in self._world.buses:
                if isinstance(bus, _Sender):
                    bus.sync()  # the room cannot hear what was not yet played
        due = self._due_frames()
        due -= due % _BLOCK_FRAMES
        while self._frames < due:
            descriptor = self._frames // _BLOCK_FRAMES % self._count
            has_sound = self._world.ear.render(self._base + self._frames, self._views[descriptor])
            self._has_sound[descriptor] = has_sound
            self._world.mic_record.put(self._views[descriptor], _BLOCK_FRAMES, has_sound)
            if self._unread[descriptor]:
                # The queue is full, or the reader is overtaken in the middle of this very descriptor.
                read = self._at // self._sample_bytes if descriptor == self._current else 0
                self._world.count("rx_lost", _BLOCK_FRAMES - read)
                old = self._base + self._frames - self._count * _BLOCK_FRAMES
                self._world.mic_record.lose(old + read, old + _BLOCK_FRAMES)
            self._unread[descriptor] = True
            if descriptor == self._current:
                self._current = -1  # not what the reader began: the rest of it is gone
            self._frames += _BLOCK_FRAMES
            self._hand_over(descriptor)

    def move(self, mv, done, n):
        while done < n:
            if self._current < 0 or self._at == self._block_bytes:
                if not self._take():
                    break
                self._convert(self._current)
            part = min(self._block_bytes - self._at, n - done)
            mv[done : done + part] = self._scratch_view[self._at : self._at + part]
            self._at += part
            done += part
            if self._at == self._block_bytes:
                self._unread[self._current] = False
        return done

    def _convert(self, descriptor):
        """Lay the descriptor out as the application wants it: the slot (sample << 14), or its upper half."""
        if self._is_plain and self._has_sound[descriptor] and self._world.mic_slot == "left":
            heard = array("h", bytes(self._blocks[descriptor]))
            self._scratch_view[:] = array("h", [value >> 2 for value in heard]).tobytes()
            return
        out = self._scratch
        self._scratch_view[:] = self._zeros
        if not self._has_sound[descriptor]:
            return
        block = self._blocks[descriptor]
        step = self._sample_bytes
        at = 0
        if self._world.mic_slot == "right":
            if self._channels == 1:
                return  # mono is the left slot
            at = step // 2
        if self._bits == 16:
            for i in range(0, 2 * _BLOCK_FRAMES, 2):
                high = block[i + 1]
                out[at] = block[i] >> 2 | high << 6 & 0xC0
                out[at + 1] = high >> 2 | (0xC0 if high & 0x80 else 0)
                at += step
            return
        for i in range(0, 2 * _BLOCK_FRAMES, 2):
            low = block[i]
            high = block[i + 1]
            out[at + 1] = low << 6 & 0xC0
            out[at + 2] = low >> 2 | high << 6 & 0xC0
            out[at + 3] = high >> 2 | (0xC0 if high & 0x80 else 0)
            at += step


def _gcd(a, b):
    while b:
        a, b = b, a % b
    return a


# ---- clock, watchdog


_RTC_MEMORY_BYTES = 2048


class RTC:
    """The chip's clock: 2000-01-01 after power-on, until somebody sets it. Its memory lives through a reset."""

    def memory(self, data=None):
        if data is None:
            return world.current.rtc_memory
        if len(data) > _RTC_MEMORY_BYTES:
            raise ValueError("buffer too long")
        world.current.rtc_memory = bytes(data)
        return None

    def datetime(self, when=None):
        """(year, month, day, weekday, hour, minute, second, microsecond)"""
        if when is None:
            t = _gmtime(world.current.unix_s())
            return (t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0)
        world.current.set_unix_s(_unix_of(when[0], when[1], when[2], when[4], when[5], when[6]))
        return None

    def init(self, when):
        self.datetime(when)


def _unix_of(year, month, day, hour, minute, second):
    # Days since 1970 by the civil calendar, March as the first month so that the leap day ends the year.
    y = year - (month <= 2)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    era = y // 400
    day_of_era = (y - era * 400) * 365 + (y - era * 400) // 4 - (y - era * 400) // 100 + day_of_year
    return ((era * 146097 + day_of_era - 719468) * 24 + hour) * 3600 + minute * 60 + second


def _gmtime(unix_s):
    import time

    offset = 946_684_800 if time.gmtime(0)[0] == 2000 else 0
    return time.gmtime(unix_s - offset)


class WDT:
    """A watchdog that, once started, nobody can stop. It bites at the first call of any stand-in after its time.

    Made again, it is the same one with another time, and fed (ports/esp32/machine_wdt.c, esp_task_wdt_reconfigure).
    """

    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError("")
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        world.current.feed_watchdog(1000 * timeout)

    def feed(self):
        world.current.feed_watchdog()
        world.current.step()
