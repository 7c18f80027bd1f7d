"""Speed, measured beside the named peers in one run: figures to compare, never to pass or fail."""
