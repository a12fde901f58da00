"""Many runs on all cores, and what they amount to."""

import concurrent.futures
import dataclasses
import math
import multiprocessing
import time
import traceback

from tools.storm import plans
from tools.storm.run import Job, Run

DUPLEX_MINUTES = 3.0
_MINUTES_PER_TURN = 0.1  # at most, on an average


@dataclasses.dataclass
class Outcome:
    """What is left of one run; fits through a pipe between processes."""

    job: Job
    violation: tuple = None  # (t_ms, number, text)
    crash: str = ""  # a traceback of the simulation itself
    simulated_ms: int = 0
    real_s: float = 0.0
    digest: str = ""
    counts: dict = dataclasses.field(default_factory=dict)
    high_water: dict = dataclasses.field(default_factory=dict)
    latencies: dict = dataclasses.field(default_factory=dict)  # name -> [ms]
    mode: str = ""  # of the speaker
    figures: dict = dataclasses.field(default_factory=dict)  # name -> text
    recoveries_ms: list = dataclasses.field(default_factory=list)
    pairs: set = dataclasses.field(default_factory=set)  # (state, act) of plans/device.py that came together
    fault_names: list = dataclasses.field(default_factory=list)
    reports: list = dataclasses.field(default_factory=list)  # the last lines, (t_ms, text)
    trace: list = dataclasses.field(default_factory=list)
    timeline: object = None

    @property
    def is_broken(self):
        return self.violation is not None or bool(self.crash)


def play(job, is_kept=True, prepare=None):
    """One run in this process. is_kept: with its time line, which a run with a violation has in any case."""
    from tools.storm.checks import all_checks
    from tools.storm.checks.endurance import Endurance
    from tools.storm.record import Record

    began_s = time.perf_counter()
    outcome = Outcome(job)
    run = None
    try:
        run = Run(job, all_checks() + ((Endurance,) if job.turns else ()) + (Record,), prepare)
        run.play()
    except Exception:
        outcome.crash = traceback.format_exc()
    outcome.real_s = time.perf_counter() - began_s
    if run is not None:
        _fill(outcome, run, is_kept)
    return outcome


def _fill(outcome, run, is_kept):
    outcome.simulated_ms = run.clock.now_ms
    outcome.digest = run.digest
    outcome.counts = dict(run.counts, connections=run.network.counts["connections"])
    outcome.fault_names = [fault[2] for fault in run.faults_seen]
    outcome.pairs = run.pairs_met
    outcome.mode = run.config.mode
    outcome.recoveries_ms = run.recoveries_ms
    outcome.latencies = _latencies(run)
    for check in run.checks:
        outcome.high_water.update(getattr(check, "high_water", {}))
        outcome.latencies.update(getattr(check, "latencies", {}))
        outcome.figures.update(getattr(check, "figures", {}))
    if run.violations:
        outcome.violation = run.violations[0]
        outcome.reports = list(run.lines)
        outcome.trace = list(run.speaker.trace.lines(60))
    if is_kept or outcome.is_broken:
        outcome.timeline = run.checks[-1].timeline()


def _latencies(run):
    found = {"release to last byte of the question": [], "end of question to first sound": []}
    for turn in run.turns:
        if turn["complete_ms"] >= 0 and turn["release_ms"] >= 0:
            found["release to last byte of the question"].append(turn["complete_ms"] - turn["release_ms"])
        if turn["first_sample_ms"] >= 0 and turn["complete_ms"] >= 0:
            found["end of question to first sound"].append(turn["first_sample_ms"] - turn["complete_ms"])
    return found


def series(seed, plan, minutes, runs, faults=None, tick_ms=0):
    """The jobs of a storm: seed, seed + 1, ..."""
    return [Job(seed + i, plan, minutes, faults, tick_ms=tick_ms) for i in range(runs)]


def duplex_job(seed):
    """Speech both ways without a pause and without a fault: what the speed of the simulation is quoted for."""
    settings = {"mode": "free", "board": "sim", "uplink_codec": "pcm", "downlink_codec": "pcm", "downlink_hz": 16000,
                "pacing_frames": 17, "pacing_frame_ms": 60, "log_transcripts": True, "volume_percent": 70,
                "prebuffer_ms": 120}  # fmt: skip
    return Job(seed, "calm", DUPLEX_MINUTES, [], settings, answer_ms=(50_000, 58_000), is_patient=True)


def turns_job(seed, turns, tick_ms=0):
    """So many short turns of one speaker, with a new connection now and then: does anything grow?"""
    settings = {"mode": "ptt_hold", "board": "sim", "uplink_codec": "g711a", "downlink_codec": "g711a",
                "downlink_hz": 8000, "pacing_frames": 17, "pacing_frame_ms": 60, "prebuffer_ms": 60}  # fmt: skip
    return Job(seed, "calm", 1 + turns * _MINUTES_PER_TURN, [], settings, (200, 400), turns=turns, tick_ms=tick_ms)


def play_all(jobs, processes, on_outcome, kept=0):
    """Play every job; on_outcome(outcome) as each is done, in this process. kept: so many keep their time lines."""
    if processes <= 1:
        for i, job in enumerate(jobs):
            on_outcome(play(job, i < kept))
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as pool:
        waiting = {pool.submit(play, job, i < kept) for i, job in enumerate(jobs)}
        try:
            for future in concurrent.futures.as_completed(waiting):
                on_outcome(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class Tally:
    """The figures of many outcomes."""

    def __init__(self):
        self.outcomes = 0
        self.broken = []
        self.simulated_ms = 0
        self.processor_s = 0.0
        self.counts = {}
        self.fault_counts = {}
        self.high_water = {}
        self.latencies = {}
        self.recoveries_ms = []
        self.timelines = []
        self.figures = {}  # name -> text, of the runs that have some
        self.pairs = {}  # mode -> set of (state, act)

    def add(self, outcome):
        self.outcomes += 1
        if outcome.is_broken:
            self.broken.append(outcome)
        self.simulated_ms += outcome.simulated_ms
        self.processor_s += outcome.real_s
        for name, n in outcome.counts.items():
            self.counts[name] = self.counts.get(name, 0) + n
        for name in outcome.fault_names:
            self.fault_counts[name] = self.fault_counts.get(name, 0) + 1
        for name, n in outcome.high_water.items():
            self.high_water[name] = max(n, self.high_water.get(name, 0))
        for name, values in outcome.latencies.items():
            self.latencies.setdefault(name, []).extend(values)
        self.recoveries_ms += outcome.recoveries_ms
        self.figures.update(outcome.figures)
        if outcome.pairs:
            self.pairs.setdefault(outcome.mode, set()).update(outcome.pairs)
        if outcome.timeline is not None:
            self.timelines.append(outcome.timeline)

    def rows(self):
        """[(name, text)] for a table."""
        counts = self.counts
        rows = [
            ("simulated", "%.2f h in %d runs" % (self.simulated_ms / 3_600_000, self.outcomes)),
            ("turns", "%d: %s" % (counts.get("turns", 0), ", ".join(
                "%d %s" % (counts.get(name, 0), name)
                for name in ("answered", "interrupted", "discarded", "failed", "cut")))),
            ("faults", "%d of %d kinds" % (sum(self.fault_counts.values()), len(self.fault_counts))),
            ("connections", str(counts.get("connections", 0))),
            ("recovery of the link", spread(self.recoveries_ms)),
            ("underruns", str(counts.get("underruns", 0))),
        ]  # fmt: skip
        rows += [(name, spread(values)) for name, values in sorted(self.latencies.items()) if values]
        rows += [("most " + name, str(n)) for name, n in sorted(self.high_water.items())]
        if self.pairs:
            from tools.storm.plans import device

            rows += [("pairs met in " + mode, "%d of %d of state and act" % (
                len(self.pairs[mode]), len(device.possible_pairs(mode)))) for mode in sorted(self.pairs)]
        return rows + list(self.figures.items())


def spread(values):
    """Median, 95th percentile and worst of some ms."""
    if not values:
        return "none"
    ordered = sorted(values)
    return "median %d ms, p95 %d ms, worst %d ms (%d)" % (
        ordered[len(ordered) // 2], ordered[math.ceil(0.95 * len(ordered)) - 1], ordered[-1], len(ordered))


def plan_names():
    return plans.names()
