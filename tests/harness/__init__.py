"""
What proves lbjwt from outside: a balancer process, backends that record or misbehave, a raw client, and the ledger that compares them.

Nothing here imports lbjwt: the package under test is only ever started as a program and spoken to over sockets.
"""
