"""What a user would pick instead of edge-imprint: one module a family, all behind `benchmarks.peers.peer.Peer`."""
