"""The columnar cache beside a database: closed candles as arrays, for fast reads of long ranges.

What enters are ranges of candles to read, inside a transaction of the database; what leaves are
columns that equal the database in that transaction. Its files may be removed at any time.
"""
