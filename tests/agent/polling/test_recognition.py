"""When a device is asked who it is."""

from agent.clock import NS_PER_S
from agent.polling.recognition import AGAIN_S, Recognition
from drivers.api import Identity


def test_a_device_that_fits_is_not_asked_again_until_it_may_be_another() -> None:
    recognition = Recognition()
    assert recognition.is_due(5)
    assert not recognition.found(Identity("A"), 5)
    assert not recognition.is_due(10**18)
    recognition.forget()
    assert recognition.is_due(6)


def test_a_device_that_does_not_fit_is_asked_each_minute() -> None:
    recognition = Recognition()
    assert recognition.found(Identity("A", "wrong"), 0)
    assert not recognition.is_due(round(AGAIN_S * NS_PER_S) - 1)
    assert recognition.is_due(round(AGAIN_S * NS_PER_S))
    assert not recognition.found(Identity("A", "still wrong"), 1)
    assert recognition.found(Identity("B"), 2)
