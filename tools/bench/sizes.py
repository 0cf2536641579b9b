"""How much is measured: `small` shows that everything runs, `normal` takes about ten minutes, `full` has the
sizes of the targets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Numbers of records, rounds and messages.

    :param rounds: interleaved rounds
    :param single: single writes per block
    :param batches: writes of 500 records per block
    :param created: records created per block
    :param hook_calls: calls per sample of the bare hook
    :param campaign: targets of the large campaign
    :param campaign_small: targets of the small one
    :param naive: rows of the naive enqueue
    :param queue_rows: rows of the queue in which the claim is measured
    :param log_rows: old log rows to clean up
    :param statistics_rows: messages of the campaign whose totals are read
    :param seconds: about how long one sample of a drain sends
    :param jobs: messages by queue_job per sample
    :param long_drain: messages of the long drain
    """

    rounds: int
    single: int
    batches: int
    created: int
    hook_calls: int
    campaign: int
    campaign_small: int
    naive: int
    queue_rows: int
    log_rows: int
    statistics_rows: int
    seconds: float
    jobs: int
    long_drain: int


SIZES = {
    "small": Size(
        rounds=2,
        single=100,
        batches=2,
        created=100,
        hook_calls=5_000,
        campaign=5_000,
        campaign_small=2_000,
        naive=500,
        queue_rows=50_000,
        log_rows=50_000,
        statistics_rows=10_000,
        seconds=1,
        jobs=20,
        long_drain=4_000,
    ),
    "normal": Size(
        rounds=3,
        single=300,
        batches=6,
        created=500,
        hook_calls=50_000,
        campaign=50_000,
        campaign_small=2_000,
        naive=5_000,
        queue_rows=1_000_000,
        log_rows=1_000_000,
        statistics_rows=100_000,
        seconds=3,
        jobs=100,
        long_drain=40_000,
    ),
    "full": Size(
        rounds=5,
        single=2_000,
        batches=20,
        created=1_000,
        hook_calls=50_000,
        campaign=50_000,
        campaign_small=2_000,
        naive=10_000,
        queue_rows=1_000_000,
        log_rows=1_000_000,
        statistics_rows=100_000,
        seconds=6,
        jobs=150,
        long_drain=40_000,
    ),
}
