"""A machine for any gateway command, of which everything can go wrong while it is watched. Linux only.

    async with host(folder, clock=True) as machine:
        config = CONFIG.format(data_dir=machine.data, runtime_dir=machine.run_dir)
        await machine.start(["my-gateway", "--config", config_file])
        async with FAULTS["disk_full"](machine):
            ...
        await machine.kill(down_s=2)
        code = await machine.terminate()
        most = max(sample.rss_bytes for sample in machine.usage())

`data` is the disk of the command, a small file system of its own; `run_dir` a RAM disk that is kept when the command
dies, and not over `power_cut`. `inside(path)` says where to read from here what the command has there. `HostCannot`
says what this computer lacks: report what was to be tested as skipped. `ChildFailed` says that the command cannot be
started. Everything that runs here ends with the context, and also when we are killed.
"""

from simulators.host.errors import HostCannot
from simulators.host.faults import FAULTS, Fault
from simulators.host.machine import Machine, host
from simulators.host.proc import Sample
from simulators.processes import ChildFailed

__all__ = ["FAULTS", "ChildFailed", "Fault", "HostCannot", "Machine", "Sample", "host"]
