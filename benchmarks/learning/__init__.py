"""The parts of the suite `learning`: contestants, kept results, statistics, tables."""
