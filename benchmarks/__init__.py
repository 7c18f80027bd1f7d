"""Benchmarks: the speed of botlib next to named peers, as figures that neither pass nor fail."""
