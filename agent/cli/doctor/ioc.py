"""What the IOC says of itself."""

from agent.cli.doctor.finding import Finding, ok, warn
from agent.cli.messages import tr


def heard_of_ioc(online: bool | None, *, acks: bool) -> Finding:  # noqa: FBT001 # it has three values
    """Whether it takes data, and whether it acknowledges what it has stored."""
    if online is None:
        text = tr("the IOC says nothing of itself: what the broker takes counts as delivered")
        return warn("ioc", text, tr("is the IOC connected to this broker? May this gateway read ocg/v1/ioc/state?"))
    if not online:
        return warn("ioc", tr("the IOC says that it is offline: the data is kept"), tr("ask the operator of the IOC"))
    return ok("ioc", tr("the IOC is online, and acknowledges") if acks else tr("the IOC is online"))
