"""The proxies that are measured, by name. A file per program; each knows its configuration and nothing about measuring."""

from __future__ import annotations

from bench.peers import beside, envoy, floor, haproxy, lbjwt, nginx
from bench.peers.base import Peer, Setup

PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (*floor.PEERS, *nginx.PEERS, *haproxy.PEERS, *envoy.PEERS, *lbjwt.PEERS, *beside.PEERS)
}

__all__ = ["PEERS", "Peer", "Setup"]
