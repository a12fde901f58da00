"""The bench's own arithmetic, and that its parts print what they measured."""

import pytest
from test_bench_allocation import skip_without

from tools.bench import cli, latency


def test_the_first_end_behind_each_start_counts():
    assert latency.pairs([100, 200, 300], [90, 105, 107, 330]) == [5, 30]


def test_silence_is_counted_from_the_press_and_never_negative():
    sounds = [(0, 950), (2000, 3010), (4000, 4400)]
    assert latency.silences([3000, 4500], sounds) == [10, 0]


def test_a_sample_knows_its_95th_percentile():
    sample = latency.Sample("x", list(range(1, 41)))
    assert (sample.median_ms, sample.p95_ms, sample.count) == (20.5, 38, 40)


def test_the_pieces_print_a_row_each_with_a_ratio(capsys):
    skip_without("micropython")
    assert cli.run_cli(["--only", "rows", "--interpreter", "micropython"]) == 0
    out = capsys.readouterr().out
    for piece in ("mic gain and level", "uplink PCM", "uplink G.711", "downlink PCM", "downlink G.711", "player PCM"):
        row = [line for line in out.splitlines() if piece in line]
        assert len(row) == 1 and "×" in row[0], out
        assert row[0].split()[-2] == "0", "our piece allocates: " + row[0]
    assert "kernels: viper" in out


def test_a_wrong_option_is_refused():
    with pytest.raises(SystemExit):
        cli.run_cli(["--only", "everything"])
