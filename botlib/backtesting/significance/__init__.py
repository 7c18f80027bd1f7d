"""How far the figures of a run are more than luck: overfitting, Sharpe ratios, drawn histories."""
