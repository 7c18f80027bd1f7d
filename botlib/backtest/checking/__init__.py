"""The parts of `botlib.backtest.check`: cutting history, asking again, reporting."""
