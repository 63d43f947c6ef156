"""`lbjwt demo`: an issuer, three backends and the balancer in front of them, all in one process and on loopback."""
