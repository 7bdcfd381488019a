"""The parts of benchmarks/peers.py: our client and its peers, measured side by side."""
