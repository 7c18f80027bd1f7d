"""What an engine needs of a paper exchange: its process, and the market that waits in lockstep."""
