"""What a fleet says about itself: a report while it runs, and the account at the end, as plain data and as text."""

from collections import Counter

import msgspec

from simulators.fleet.fleet import Fleet

MAX_SHOWN = 10


class Report(msgspec.Struct, frozen=True):
    """Messages, but for the account of the readings. Latencies are of the time since the last report, in ms.

    `published` counts what went to the broker, also what went again; `acknowledged` batches that are delivered.
    `refused`: PUBACKs that were no success, by reason code; `not_understood`: messages of the other side.
    """

    gateways: int
    connected: int
    connections: int
    outages: int
    published: int
    acknowledged: int
    in_flight: int
    backlog: int
    puback_ms: dict[str, float | None]
    ack_ms: dict[str, float | None]
    refused: dict[str, int]
    not_understood: int
    faults: dict[str, int]
    accepted: int
    delivered: int
    stored: int
    lost: dict[str, int]
    balanced: bool
    unbalanced: list[str]
    last_error: str


class GatewayAccount(msgspec.Struct, frozen=True):
    """One gateway at the end: hold it against what the IOC has of it. `count`: the last value of its counter."""

    gateway: str
    epoch: str
    high: int
    count: int
    accepted: int
    delivered: int
    stored: int
    lost: dict[str, int]


def report(fleet: Fleet) -> Report:
    """The state of `fleet` now."""
    figures, gateways = fleet.figures, fleet.gateways
    accounts = [(gateway.name, gateway.outbox.account()) for gateway in gateways]
    unbalanced = [name for name, account in accounts if not account.balanced]
    lost = Counter[str]()
    for _, account in accounts:
        lost.update(account.lost)
    return Report(
        gateways=len(gateways),
        connected=fleet.connected,
        connections=figures.connections,
        outages=figures.outages,
        published=figures.published,
        acknowledged=figures.acknowledged,
        in_flight=sum(gateway.lanes.in_flight for gateway in gateways if gateway.online),
        backlog=sum(gateway.backlog for gateway in gateways),
        **figures.take_latencies(),
        refused=dict(figures.refused),
        not_understood=figures.not_understood,
        faults=dict(figures.faults),
        accepted=sum(account.accepted for _, account in accounts),
        delivered=sum(account.delivered for _, account in accounts),
        stored=sum(account.stored for _, account in accounts),
        lost=dict(lost),
        balanced=not unbalanced,
        unbalanced=unbalanced[:MAX_SHOWN],
        last_error=figures.last_error if fleet.connected < len(gateways) else "",
    )


def accounts(fleet: Fleet) -> list[GatewayAccount]:
    """All gateways, one by one."""
    return [
        GatewayAccount(one.name, one.epoch, one.seq, one.device.count, **msgspec.structs.asdict(one.outbox.account()))
        for one in fleet.gateways
    ]


def as_text(one: Report) -> str:
    """The report for a person."""
    lines = [
        f"{one.connected} of {one.gateways} connected ({one.connections} connections, {one.outages} outages); "
        f"{one.published} published, {one.acknowledged} acknowledged, {one.in_flight} in flight, {one.backlog} late; "
        f"to PUBACK {_latency(one.puback_ms)}, to delivered {_latency(one.ack_ms)}",
        f"  readings: {one.accepted} accepted = {one.delivered} delivered + {one.stored} stored "
        f"+ {sum(one.lost.values())} lost{'' if one.balanced else '   THIS DOES NOT BALANCE'}",
    ]
    counts = {"lost": one.lost, "refused": one.refused, "faults": one.faults}
    lines += [f"  {name}: {_counts(of)}" for name, of in counts.items() if of]
    if one.not_understood:
        lines.append(f"  {one.not_understood} messages to the gateways were not understood")
    if one.unbalanced:
        lines.append(f"  not balanced: {', '.join(one.unbalanced)}")
    if one.last_error:
        lines.append(f"  not connected: {one.last_error}")
    return "\n".join(lines)


def _latency(ms: dict[str, float | None]) -> str:
    return "-" if ms["p50"] is None else f"p50 {ms['p50']:g} ms, p95 {ms['p95']:g} ms"


def _counts(of: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(of.items()))
