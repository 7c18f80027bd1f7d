"""The cells of a notebook that lets keys into every artefact of the kit."""

from __future__ import annotations

from typing import Final

MODES: Final = ("Plain", "Context", "Verbose", "Minimal", "Docs")
"""Every mode in which IPython shows an error."""

BEGIN = """
import base64, http.server, json, logging, os, sys, threading, time, urllib.error, urllib.parse
import urllib.request
from pathlib import Path
from dotenv import dotenv_values
read = dotenv_values(".env", interpolate=False)
ALL = [os.environ["BINANCE_API_KEY"], read["BINANCE_API_SECRET"], read["BINANCE_DEMO_API_SECRET"]]
def coded(text): return base64.b64encode(text.encode()).decode()
FORMS = [
    form
    for one in ALL
    for form in (
        one, coded(one), coded("user:" + one), coded("u" + one[3:]), one.encode().hex(),
        urllib.parse.quote(one, safe=""), one[5:13], one[-9:], coded("xy" + one[7:19]),
        base64.urlsafe_b64encode(b"z" + one.encode()).decode(), one.encode().hex().upper()[10:40],
    )
]
LEAK = " ".join(FORMS)
out = Path("written"); out.mkdir()
def write(name, *values):
    texts = []
    for value in values:
        texts += [str(value), repr(value)]
        for method in ("_repr_html_", "to_string", "to_html", "to_dict", "as_dict",
                       "_repr_mimebundle_", "to_json"):
            if callable(getattr(value, method, None)):
                texts.append(str(getattr(value, method)()))
    (out / f"{name}.txt").write_text("\\n".join(texts))
"""

CONNECT = """
import botlib as bl
bot = bl.connect(
    symbols=["BTC/USDT"], timeframes=["1m"], history=300, health={"port": 0},
    paper={"seed": 7, "speed": 600}, strategies=[],
)
"""

LEAKS = """
@bot.task(interval=0.05)
async def leaky():
    raise ValueError(LEAK)

@bot.task(interval=0.05, name="chained")
async def chained():
    try:
        raise KeyError(LEAK)
    except KeyError as error:
        raise RuntimeError("more " + LEAK) from error

noticed = []
async def listened():
    with bot.aio.engine.bus.subscribe(bl.TaskFailed, bl.Halted, name="canary") as events:
        async for event in events:
            noticed.append(event)
bl.get_runtime().submit(listened())

from botlib.strategies import TrendCross
later = []
class Leaky(TrendCross):
    def signals(self, data):
        if later:
            raise ValueError(LEAK)
        return super().signals(data)
bot.trade(Leaky(timeframes=("1m",)), "BTC/USDT", name="leaky")
later.append(1)
logging.getLogger("botlib.canary").error("said %s", LEAK)
try:
    raise OSError(LEAK)
except OSError:
    logging.getLogger("botlib.canary").exception("failed with %s", FORMS, stack_info=True)
logging.getLogger("elsewhere").warning("to the error output %s", LEAK)
deadline = time.monotonic() + 60
while time.monotonic() < deadline and not (
    bot.tasks.status()["chained"].last_error and "failing" in str(bot.strategies)
):
    time.sleep(0.1)
"""

SHOWN: Final = (
    "bot",
    "bot.tasks",
    "bot.tasks.status()",
    "print(bot.tasks.status())",
    "bot.status()",
    "bot.health()",
    "bot.strategies",
    "bot.orders()",
    "bot.books",
    "bot.dashboard()",
    "bot.chart('BTC/USDT', '1m', title=LEAK)",
    "bot.kill(LEAK)",
    "bot.halts",
    "print(LEAK)",
    "LEAK",
    "ALL",
    "from IPython.display import HTML, JSON, Markdown, display\ndisplay(HTML(LEAK), JSON(FORMS))",
    "display(Markdown(LEAK))",
    "print(LEAK, file=sys.stderr)",
)
"""Cells whose outputs show what the kit makes, and what the user prints."""

DIRECT = """
engine = bot.aio.engine
write("cards", bot, bot.tasks, bot.health(), bot.strategies, bot.summary())
write("tables", bot.tasks.status(), bot.strategies, bot.halts, bot.orders(), bot.books, bot.fills(),
      bot.signals, bot.positions, bot.streams)
write("tracebacks of tasks", *(bot.tasks.status()[name].last_traceback for name in
      ("leaky", "chained")))
write("JSON of the state", json.dumps(bot.status(), default=str), json.dumps(bot.health().to_dict(),
      default=str), json.dumps(bot.summary().to_dict(), default=str),
      json.dumps(bot.tasks.status().as_dict(), default=str))
from botlib.views.dashboard import DashboardFeed
write("state of the dashboard", json.dumps(DashboardFeed(engine).state(), default=str))
write("lines of the log", *engine.log.tail())
"""

ANSWERS = """
answers = []
for path in ("/health", "/api/v1/tasks/status", "/openapi.json"):
    try:
        answers.append(urllib.request.urlopen(bot.url + path).read())
    except urllib.error.HTTPError as error:
        answers.append(error.read())
token = {"X-Botlib-Token": bot.token_file.read_text().strip()}
for body in (LEAK, json.dumps({"reason": LEAK}), json.dumps({LEAK: 1})):
    try:
        asked = urllib.request.Request(bot.url + "/api/v1/kill", body.encode(), token)
        answers.append(urllib.request.urlopen(asked).read())
    except urllib.error.HTTPError as error:
        answers.append(error.read())
(out / "answers.txt").write_bytes(b"\\n".join(answers))
"""

LIVE = """
os.environ["BOTLIB_WIDGETS"] = "live"
from ipywidgets import Widget
chart = bl.chart(bot.candles("BTC/USDT", "1m"), title=LEAK)
display(chart, bot.dashboard())
chart.say(LEAK)
state = Widget.get_manager_state()
(out / "state of widgets.txt").write_text(json.dumps(state, default=str))
(out / "picture.svg").write_text(chart.svg())
chart.screenshot(out / "chart.svg")
chart.close()
del os.environ["BOTLIB_WIDGETS"]
"""

SIGNED = """
from botlib.config.secrets import ApiKeys
from botlib.venues.binance.venue import BinanceExchange
from botlib.runtime import get_runtime

class Echo(http.server.BaseHTTPRequestHandler):
    "A venue that repeats a signed request in its refusal."
    def do_GET(self):
        status, body = 400, json.dumps(
            {"code": -1022, "msg": f"{self.path} {self.headers} {FORMS}"}).encode()
        if "signature=" not in self.path:
            answer = urllib.request.urlopen(bot.aio.engine.paper.url + self.path)
            status, body = answer.status, answer.read()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_DELETE = do_GET
    def log_message(self, *rest):
        pass
echo = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
threading.Thread(target=echo.serve_forever, daemon=True).start()

async def asked(url):
    held = ALL, LEAK
    exchange = BinanceExchange(venue="binance", rest_url=url, keys=ApiKeys.from_environment())
    await exchange.connect()
    try:
        await exchange.balances()
    finally:
        await exchange.close()
def refused():
    get_runtime().call(asked(bot.aio.engine.paper.url))
def echoed():
    get_runtime().call(asked(f"http://127.0.0.1:{echo.server_port}"))
def unreachable():
    get_runtime().call(asked("http://127.0.0.1:1"))
def other():
    held = ALL
    raise ValueError(LEAK)
"""

MODE = """
mode = {mode!r}
shell = get_ipython()
shell.run_line_magic("xmode", mode)
for raising in (refused, echoed, unreachable, other):
    try:
        raising()
    except Exception:
        shell.showtraceback()
shell.run_line_magic("xmode", "Verbose")
"""

ERRORS = """
import botlib.core.errors as errors
made = []
for kind in vars(errors).values():
    if isinstance(kind, type) and issubclass(kind, errors.BotlibError):
        try:
            made.append(kind(LEAK))
        except TypeError:
            continue
assert len(made) > 25
for raising in (refused, echoed, unreachable):
    try:
        raising()
    except Exception as error:
        made.append(error)
write("errors", *made, *(one.args for one in made))
"""

RESEARCH = """
result = bot.backtest(TrendCross(timeframes=("1m",), fast=5, slow=12), "BTC/USDT")
result.report(out / "report.html")
result.chart(title=LEAK).screenshot(out / "backtest.svg")
def signals(self, data):
    if self.fast == 4:
        raise ValueError(LEAK)
    return TrendCross.signals(self, data)
Odd = type(ALL[0], (TrendCross,), {"__module__": "__main__", "signals": signals})
swept = bot.sweep(Odd, "BTC/USDT", fast=[4, 5], slow=[12], timeframes=("1m",),
                  directory=out / "sweep", progress=False, workers=1)
named = bot.backtest(Odd(timeframes=("1m",), fast=5, slow=12), "BTC/USDT")
named.report(out / "named.html")
bot.export(out / "export")
async def script(simulation):
    await simulation.engine.kill(LEAK, by="script")
made = bl.simulate(run_for="20m", symbols=["BTC/USDT"], timeframes=["1m"], history=30,
                   script=script, log=out / "simulation.jsonl")
from botlib.drill.report import DrillReport, DrillRow
drill = DrillReport(market="paper", rows=(DrillRow(
    fault=LEAK, expected=LEAK, happened=LEAK, seconds=1.0, broken=(LEAK,)),))
write("results", result, named, swept, swept.failures, made, drill)
"""

NOTES = """
assert {type(one).__name__ for one in noticed} == {"TaskFailed", "Halted"}, noticed[:3]
write("notices", *bot.aio.taken_notes(), *noticed[-20:])
"""

ENDS = "bot.stop()\nbot"
LAST = "held = ALL\nraise ValueError(LEAK)"
