"""Widgets of notebooks: the candle chart and the dashboard.

Candles, indicators, marks and states enter; a live front end receives a widget, a headless notebook
a static picture. Nothing here imports the engine, the store or the bot: their data and the
callbacks for clicks and actions are passed in.
"""
