"""
The balancer inside an asyncio program, which reloads it on SIGHUP:

    python examples/embedded.py lbjwt.yaml
"""

import asyncio
import signal
import sys

from lbjwt import LbjwtError, LoadBalancer, load_config


async def main(path: str) -> None:
    hangup = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup.set)
    async with LoadBalancer(load_config(path)) as balancer:
        print("listening on", balancer.addresses, flush=True)
        while await hangup.wait():
            hangup.clear()
            try:
                for change in await balancer.reload(load_config(path)):
                    print(change, flush=True)
            except LbjwtError as error:
                print("not reloaded:", error, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
