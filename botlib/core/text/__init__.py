"""Text that leaves the process: figures, tables, cards, tracebacks, with every secret masked."""
