"""The whole speaker with sockets and TLS while it hears and speaks at once: what a pair of 20 ms frames costs.

    micropython duplex.py SETTINGS.json        python3 duplex.py SETTINGS.json

Child process of tools.bench.duplex, in a folder with config.json and tls_roots/. Free talk on a board without echo:
the microphone streams while the answer plays. SETTINGS: root, app_root, way ("ours", or "straight" for the baseline of
straight.py), warm_ms, measured_ms. Prints one JSON line with what the measured time cost; the collector rests while
the heap is measured and works while time is.
"""

import asyncio
import gc
import json
import sys


def main(path):
    with open(path) as file:
        settings = json.load(file)
    root = settings["root"]
    app_root = settings["app_root"]
    sys.path[:] = [app_root, app_root + "/lib", root + "/tools/bench/device"] + sys.path[1:]
    import thin

    thin.install()
    way = Ours(thin) if settings["way"] == "ours" else Straight(thin)
    asyncio.run(_measure(way, settings))


class Ours:
    """The firmware itself."""

    def __init__(self, thin):
        from firmware import app, boards, config, ports, report

        report.sink = lambda line: None
        self._thin = thin
        self._speaker = app.Speaker(config.load("config.json"), boards.load("sim"), ports.real())

    async def begin(self):
        """Both ways are busy when this returns; gives the task that must be held."""
        life = asyncio.create_task(self._speaker.run())
        session = self._speaker.session
        await _until(lambda: session.state == "idle")
        session.post("press")
        await _until(lambda: session.state == "speaking")
        return life

    def counts(self):
        """(frames sent, samples played, troubles so far)"""
        speaker = self._speaker
        troubles = speaker.player.underruns + speaker.uplink.dropped_frames + (speaker.session.state != "speaking")
        return speaker.recorder.frames, speaker.player.samples_played, troubles


class Straight:
    """The baseline on the same board, the same connection, the same sound."""

    def __init__(self, thin):
        import straight

        from firmware import boards, compat, config
        from firmware.net import stream

        self._config = values = config.load("config.json")
        board = boards.load("sim")
        mic = board["mic"]
        I2S = thin.I2S
        rate_hz = values.downlink_hz if values.downlink_codec == "pcm" else 8000
        self._pair = straight.WholePair(
            I2S(0, 0, 0, 0, I2S.RX, 16, 0, mic["rate_hz"], mic["ibuf_bytes"]),
            I2S(1, 0, 0, 0, I2S.TX, 16, 0, rate_hz, boards.speaker_ibuf_bytes(board, rate_hz)),
            values.uplink_codec,
            mic["gain_q8"],
            125,
        )
        is_tls, self._host, self._port, self._path = stream.split_url(values.cloud_url)
        self._tls = stream.tls_context("tls_roots") if is_tls else None

    async def begin(self):
        headers = ["Authorization: Bearer " + self._config.token]
        pair = self._pair
        life = asyncio.create_task(pair.run(self._host, self._port, self._path + "?bot_id=1", self._tls, headers))
        await _until(lambda: pair.samples_played > 0)
        return life

    def counts(self):
        return self._pair.frames, self._pair.samples_played, 0


async def _measure(way, settings):
    life = await way.begin()
    await asyncio.sleep(settings["warm_ms"] / 1000)
    half_s = settings["measured_ms"] / 2000
    frames, played, troubles = way.counts()
    cpu_ns = processor_ns()
    await asyncio.sleep(half_s)
    cpu_ns = processor_ns() - cpu_ns
    timed_frames = way.counts()[0] - frames
    meter = Meter()
    meter.start()
    before = way.counts()[0]
    await asyncio.sleep(half_s)
    n_bytes = meter.stop()
    after = way.counts()
    print(
        json.dumps({
            "cpu_us": cpu_ns / 1000 / timed_frames,
            "heap_bytes": n_bytes / (after[0] - before),
            "frames": after[0] - frames,
            "samples_played": after[1] - played,
            "troubles": after[2] - troubles,
        })
    )
    life.cancel()


async def _until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise RuntimeError("the speaker did not get there in 10 s")


class Meter:
    """Heap bytes taken between start() and stop(), garbage included; 0 on CPython."""

    def start(self):
        gc.collect()
        gc.disable()
        self._before = gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0

    def stop(self):
        n = gc.mem_alloc() - self._before if hasattr(gc, "mem_alloc") else 0
        gc.enable()
        return n


def processor_ns():
    """Processor time of this process so far; 0 where the kernel does not tell."""
    try:
        with open("/proc/self/schedstat") as file:
            return int(file.read().split()[0])
    except OSError:
        return 0


if __name__ == "__main__":
    main(sys.argv[1])
