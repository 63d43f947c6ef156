"""``lbjwt demo``: issuer, backends and balancer on loopback."""

import sys

import click


@click.command()
@click.option("--once", is_flag=True, help="Run each printed command once, then exit.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8080,
    show_default=True,
    help="Port of the load balancer; if it is in use, the demo uses another.",
)
def demo(once: bool, port: int) -> None:
    """Run an issuer, three backends and the balancer on loopback until Ctrl-C.

    Prints lines to copy, with real tokens: a valid one, an expired one, one for another audience, and none.
    """
    from lbjwt.demo.stage import run

    sys.exit(run(once=once, port=port))
