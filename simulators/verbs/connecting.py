"""What the verbs that connect to a broker share: their options, and the address that these say."""

import argparse
from dataclasses import replace
from pathlib import Path

from simulators.mqtt.address import BrokerAddress, parse_broker


def add_broker_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--broker", type=_broker, default=parse_broker("mqtt://127.0.0.1:1883"), metavar="URL")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="password of the user in the URL")
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="CA of the broker, for mqtts://")
    parser.add_argument("--cert-file", type=Path, metavar="FILE", help="our certificate, where the broker wants one")
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="its key; default: in the same file")
    parser.add_argument("--protocol", choices=("5", "3.1.1"), default="5", help="MQTT version; default 5")


def broker_address(args: argparse.Namespace) -> BrokerAddress:
    """The broker with all that the options say; raises `OSError` where the password cannot be read."""
    broker: BrokerAddress = args.broker
    ca, cert, key = (str(file) if file else None for file in (args.ca_file, args.cert_file, args.key_file))
    broker = replace(broker, ca_file=ca, cert_file=cert, key_file=key)
    if args.password_file:
        broker = replace(broker, password=args.password_file.read_text(encoding="utf-8").strip())
    return broker


def _broker(url: str) -> BrokerAddress:
    try:
        return parse_broker(url)
    except ValueError as err:
        raise argparse.ArgumentTypeError(str(err)) from err
