"""The account: its value, its result of the day, and its balances beside the positions."""
