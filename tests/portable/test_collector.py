"""When garbage is collected, and that it can be read in the trace."""

import gc

from check import IS_MICROPYTHON, Clock, ports
from firmware import trace
from firmware.collector import Collector


def collector_and_trace():
    clock = Clock()
    notes = trace.Trace(clock.ticks_ms)
    return Collector(ports(ticks_ms=clock.ticks_ms), notes), notes


def test_each_collection_stands_in_the_trace_with_its_length():
    collector, notes = collector_and_trace()
    collector.collect()
    collector.collect()
    assert [(code, ms) for _, code, ms in notes.entries()] == [(trace.GC, 0)] * 2
    assert collector.longest_ms == 0


def test_a_pause_is_used_only_when_the_heap_runs_low():
    gc.collect()
    collector, notes = collector_and_trace()
    assert not collector.collect_if_low()
    if not IS_MICROPYTHON:
        return
    gc.disable()
    try:
        share_bytes = (gc.mem_free() + gc.mem_alloc()) // 64
        while gc.mem_free() * 5 > gc.mem_alloc() + gc.mem_free():
            bytearray(share_bytes)  # garbage at once
        assert collector.collect_if_low()
    finally:
        gc.enable()
    assert notes.count == 1
    assert not collector.collect_if_low()


def test_a_pause_is_used_when_much_garbage_has_come_together_however_much_the_heap_may_grow():
    gc.collect()
    collector, notes = collector_and_trace()
    if not IS_MICROPYTHON:
        return
    gc.disable()
    try:
        bytearray(gc.mem_alloc() // 32)
        assert not collector.collect_if_low(), "little is left alone"
        bytearray(gc.mem_alloc() // 7)
        assert gc.mem_free() > gc.mem_alloc(), "the heap is far from low"
        assert collector.collect_if_low()
    finally:
        gc.enable()
    assert notes.count == 1
    assert not collector.collect_if_low()
