"""What protects upstreams and routes in one process of the gateway, from the settings."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from bridge.gateway.dual.retry_budget import Budget
from bridge.gateway.dual.retry_budget import RetryBudget as OwnBudget
from bridge.gateway.protection.adaptive_limit import AdaptiveLimit
from bridge.gateway.protection.breaker import Breaker
from bridge.gateway.protection.guarded_pool import GuardedPool, Guards
from bridge.gateway.protection.retry_budget import RetryBudget
from bridge.gateway.protection.shared_spending import SharedSpending
from bridge.gateway.protection.token_bucket import Spending, TokenBuckets
from bridge.gateway.upstream_ports import NamedPool
from bridge.model.errors import StorageUnavailable
from bridge.model.observer import Observer
from bridge.runtime.configuration.gateway_settings import (
    GatewaySettings,
    UpstreamProtectionSettings,
)
from bridge.storage.journal.owner import FileLock


def open_spending(gateway: GatewaySettings, run_dir: Path, stack: ExitStack) -> Spending:
    """Return what this process tells the others of its spending, and hears of theirs.

    There is a slot for each worker, twice, because a new process may start before an old one has
    ended, and two for the replayer and its stand-in.
    """
    slots = 2 * gateway.workers + 2
    for slot in range(slots):
        try:
            lock = FileLock.take(run_dir / f"spending-{slot}.lock")
        except StorageUnavailable:
            continue
        stack.callback(lock.close)
        spending = SharedSpending(run_dir / f"spending-{slots}", slot, slots)
        stack.callback(spending.close)
        return spending
    raise StorageUnavailable(
        f"cannot share limits: all {slots} slots in {str(run_dir)!r} are taken by running"
        " processes; are more gateways started on this data folder than gateway.workers says?"
    )


def guarded(
    pools: Mapping[str, NamedPool],
    gateway: GatewaySettings,
    spending: Spending,
    observer: Observer,
    *,
    calls: Spending | None = None,
) -> dict[str, NamedPool]:
    """Return the pools, those of protected upstreams behind their guards.

    `calls` is told of calls and second tries, `spending` when it is None: whoever counts them
    elsewhere gives one that tells nobody.
    """
    found: dict[str, NamedPool] = {}
    for name, pool in pools.items():
        rules = gateway.upstreams[name].protection
        if rules is None:
            found[name] = pool
        else:
            guards = guards_of(name, rules, gateway.workers, spending, calls or spending)
            found[name] = GuardedPool(pool, guards, observer)
    return found


def guards_of(
    name: str,
    rules: UpstreamProtectionSettings,
    workers: int,
    spending: Spending,
    calls: Spending,
) -> Guards:
    """Return one worker's share of what protects an upstream."""
    limit, bucket = None, None
    if rules.concurrency is not None:
        most = max(1, rules.concurrency.max // workers)
        least = min(rules.concurrency.min, most)
        limit = AdaptiveLimit(most=most, least=least, adaptive=rules.concurrency.adaptive)
    if rules.requests_per_s is not None:
        burst = rules.burst or max(1, round(rules.requests_per_s))
        salt = f"upstream/{name}"
        bucket = TokenBuckets(rules.requests_per_s, burst, spending=spending, salt=salt)
    return Guards(
        limit=limit,
        queue_max=rules.queue_max,
        queue_wait_s=rules.queue_wait_ms / 1000,
        breaker=breaker_of(rules),
        bucket=bucket,
        retries=RetryBudget(name, calls, rules.retry_percent / 100),
    )


def breaker_of(rules: UpstreamProtectionSettings) -> Breaker | None:
    """Return a new breaker by an upstream's rules; None where none is declared."""
    if rules.breaker is None:
        return None
    return Breaker(
        share=rules.breaker.failures_percent / 100,
        count_min=rules.breaker.requests_min,
        window_s=rules.breaker.window_ms / 1000,
        rest_s=rules.breaker.rest_ms / 1000,
    )


def replay_budgets(gateway: GatewaySettings, spending: Spending) -> Callable[[str], Budget]:
    """Return what bounds the repeats of the replayer: for a protected upstream, the same budget as
    that of the workers' second tries."""

    def budget_of(upstream: str) -> Budget:
        rules = gateway.upstreams[upstream].protection
        if rules is None:
            return OwnBudget()
        return RetryBudget(upstream, spending, rules.retry_percent / 100)

    return budget_of
