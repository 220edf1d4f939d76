"""The methods that the head is measured against: each is shown a draw and a seed, and returns its answers."""
