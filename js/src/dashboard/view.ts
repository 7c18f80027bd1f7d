/** One view of the dashboard: it draws the messages of the kernel and sends requests. */

import { clock, duration, stamp } from "../format";
import { GoneLine } from "../gone";
import { KernelLink } from "../kernel";
import type { Model } from "../model";
import { followTheme, type Mode } from "../theme";
import { Actions, type Outcome } from "./actions";
import { WAITING } from "./button";
import { AccountView, Head } from "./head";
import { KillSwitch } from "./kill";
import { Panels } from "./panels";
import { Cell, make, toggle } from "./patch";
import type { KernelMessage, PageMessage, Snapshot } from "./schema";
import { Mirror } from "./state";

/** The least time between two redraws in milliseconds, in a visible and in a hidden tab. */
const SHOWN = 150;
const HIDDEN = 250;
/** The largest share of the page's time that drawing may take. */
const BUSY = 0.1;
/** How long an outcome is shown, in milliseconds; a failure stays until the next outcome. */
const SAID = 8000;
/** Milliseconds without news of a running engine after which its health is not known. */
const QUIET = 4000;
/** Milliseconds between two checks for it. */
const LOOK = 1000;
const NO_ANSWER = "No answer came. Press again to hear what came of it: nothing is done twice.";

export interface Stats {
  applied: number;
  frames: number;
  gaps: number;
  busy_ms: number;
}

export class DashboardView {
  readonly stats: Stats = { applied: 0, frames: 0, gaps: 0, busy_ms: 0 };
  #mirror: Mirror;
  #actions: Actions;
  #head: Head;
  #kill: KillSwitch;
  #account = new AccountView();
  #panels: Panels;
  #said = new Cell(make("div", "bl-said"));
  #trace = make("pre", "bl-trace");
  #pending: ReturnType<typeof setTimeout> | undefined;
  #drawn = 0;
  #cost = 0;
  #fade: ReturnType<typeof setTimeout> | undefined;
  #gone = new GoneLine();
  #kernel: KernelLink;
  #looks: ReturnType<typeof setInterval>;
  #theme: { apply: () => void; stop: () => void };
  #closed = false;

  constructor(
    private readonly model: Model,
    private readonly root: HTMLElement,
  ) {
    this.#kernel = KernelLink.of(model);
    this.#mirror = new Mirror(model.get("snapshot") as Snapshot);
    this.#actions = new Actions(
      (message) => this.#send(message),
      () => this.#refresh(),
      (outcome) => this.#settle(outcome),
    );
    this.#kill = new KillSwitch(this.#actions);
    this.#head = new Head(this.#kill.button);
    this.#panels = new Panels(this.#actions, this.#trace, (action, name) =>
      this.#showError(action, name),
    );
    root.classList.add("botlib", "bl-dash");
    this.#theme = followTheme(root, () => model.get("theme") as Mode);
    this.#build();
    this.#resize();
    model.on("msg:custom", this.#take as (...parts: never[]) => void);
    model.on("change:height", this.#resize as (...parts: never[]) => void);
    model.on("change:theme", this.#theme.apply as (...parts: never[]) => void);
    this.#draw();
    this.#kernel.listen(this.#lives);
    this.#lives();
    this.#looks = setInterval(this.#look, LOOK);
    root.dataset.ready = "1";
    this.#send({ type: "ready", seq: this.#mirror.seq });
  }

  remove(): void {
    this.#closed = true;
    this.model.off("msg:custom", this.#take as (...parts: never[]) => void);
    this.model.off("change:height", this.#resize as (...parts: never[]) => void);
    this.model.off("change:theme", this.#theme.apply as (...parts: never[]) => void);
    this.#kernel.unlisten(this.#lives);
    clearInterval(this.#looks);
    clearTimeout(this.#pending);
    clearTimeout(this.#fade);
    this.#actions.close();
    this.#theme.stop();
  }

  #build(): void {
    toggle(this.#trace, false);
    toggle(this.#said.element, false);
    this.#said.element.setAttribute("role", "status");
    this.#trace.addEventListener("click", () => toggle(this.#trace, false));
    this.root.append(
      this.#gone.element,
      this.#head.element,
      this.#kill.element,
      this.#said.element,
      this.#account.element,
      this.#panels.element,
    );
  }

  #resize = (): void => {
    this.root.style.height = `${this.model.get("height")}px`;
  };

  #send(message: PageMessage): void {
    this.model.send(message);
  }

  #take = (message: KernelMessage): void => {
    if (message.type === "delta") {
      const fit = this.#mirror.delta(message.seq, message.changes);
      if (fit === "gap") {
        this.stats.gaps += 1;
        this.root.dataset.gaps = String(this.stats.gaps);
        this.#send({ type: "resync", seq: this.#mirror.seq });
      }
      if (fit === "applied") this.#schedule();
    } else if (message.type === "whole") {
      if (this.#mirror.whole(message.seq, message.state) === "applied") {
        this.#schedule();
      }
    } else if (message.type === "taken") this.#actions.taken(message.id);
    else if (message.type === "done") this.#actions.done(message.id, message.ok, message.text);
  };

  #schedule(): void {
    this.stats.applied += 1;
    if (this.#pending !== undefined || this.#closed) return;
    const least = document.hidden ? HIDDEN : Math.max(SHOWN, this.#cost / BUSY);
    const wait = Math.max(0, this.#drawn + least - performance.now());
    // A timer rather than a frame, since it also fires in a hidden tab.
    this.#pending = setTimeout(() => {
      this.#pending = undefined;
      this.#draw();
    }, wait);
  }

  #draw(): void {
    const begun = performance.now();
    const { state, seq } = this.#mirror;
    this.root.dataset.seq = String(seq);
    this.root.dataset.mode = state.head.mode;
    this.root.dataset.running = String(state.head.running);
    this.#head.update(state.head, state.loop, this.#lost());
    this.#account.update(state);
    // A bot that only watches has no account.
    toggle(this.#account.element, state.head.mode !== "watch");
    this.#kill.update(state.risk, state.head);
    this.#panels.update(state);
    this.#drawn = performance.now();
    this.#cost = 0.8 * this.#cost + 0.2 * (this.#drawn - begun);
    this.stats.frames += 1;
    this.stats.busy_ms += this.#drawn - begun;
  }

  /** Show that the kernel is lost or back; buttons of one that is lost do nothing. */
  #lives = (): void => {
    const { life } = this.#kernel;
    const { now, market_time: market } = this.#mirror.state.head;
    this.root.dataset.kernel = life;
    const at = market > 0 ? ` (market time ${stamp(market)})` : "";
    this.#gone.update(this.#kernel, `the last state, of ${clock(now)} UTC${at}`);
    this.#actions.open = life === "live";
    this.#draw();
  };

  /** Return why the health is not known; empty if it is. */
  #lost(): string {
    if (this.#kernel.life !== "live")
      return `kernel ${this.#kernel.life === "gone" ? "gone" : "not connected"}`;
    const quiet = Date.now() - this.#kernel.heard;
    return this.#mirror.state.head.running && quiet > QUIET
      ? `no news for ${duration(quiet / 1000)}: the kernel is busy or hangs`
      : "";
  }

  /** Look whether news of a running engine still comes. */
  #look = (): void => {
    const quiet = this.#lost();
    if (quiet === "" && this.root.dataset.quiet === undefined) return;
    if (quiet === "") delete this.root.dataset.quiet;
    else this.root.dataset.quiet = "1";
    const { head, loop } = this.#mirror.state;
    this.#head.update(head, loop, quiet);
  };

  #refresh(): void {
    this.#kill.refresh();
    this.#panels.refresh();
    const said = this.#said.element.textContent;
    if (this.#actions.any("waiting")) this.#say(WAITING, "bl-warn");
    else if (this.#actions.any("silent")) this.#say(NO_ANSWER, "bl-warn");
    else if (said === WAITING || said === NO_ANSWER) toggle(this.#said.element, false);
  }

  #settle({ request, ok, text }: Outcome): void {
    if (request.action === "error" || request.action === "strategy_error") {
      this.#trace.textContent = `${request.target}\n${text}`;
      toggle(this.#trace, true);
      return;
    }
    this.#say(text, ok ? "bl-ok" : "bl-bad");
    if (ok) this.#fade = setTimeout(() => toggle(this.#said.element, false), SAID);
  }

  #say(text: string, tone: string): void {
    clearTimeout(this.#fade);
    this.#said.write(text, tone);
    toggle(this.#said.element, true);
  }

  /** Show an error at once, and its traceback when the kernel has answered. */
  #showError(action: "error" | "strategy_error", name: string): void {
    if (!this.#trace.hidden && this.#trace.dataset.of === name) {
      toggle(this.#trace, false);
      return;
    }
    const { tasks, strategies } = this.#mirror.state;
    const known = action === "error" ? tasks.rows[name]?.error : strategies.rows[name]?.detail;
    this.#trace.dataset.of = name;
    this.#trace.textContent = `${name}\n${known ?? ""}`;
    toggle(this.#trace, true);
    this.#actions.ask(action, name);
  }
}
