"""`lbjwt demo`: an issuer, three backends and the balancer in front, all on loopback, until Ctrl-C.

The balancer is started through the public door (`lbjwt serve …` as a child process), so that what is shown is what a user gets.
"""

from lbjwt.demo.stage import run

__all__ = ["run"]
