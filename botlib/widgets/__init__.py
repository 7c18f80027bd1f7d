"""What is drawn: the candle chart, and what it shares with the dashboard.

Nothing here knows the engine, the store or the bot: what a widget shows and asks for is handed to
it. A live front end gets a widget, a headless notebook a static picture.
"""
