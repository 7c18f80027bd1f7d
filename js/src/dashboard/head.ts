/** The top of the dashboard: mode, health, market time, loop lag, and the account. */

import { duration, number, percent, stamp } from "../format";
import { Cell, gainClass, make, toggle } from "./patch";
import type { DashboardState, HeadSection, LoopSection } from "./schema";
import { Spark } from "./spark";

/** Return the share of the lag meter that a lag fills: a decade per third, from 1 ms to 1 s. */
export function lagShare(seconds: number): number {
  return Math.min(1, Math.max(0, Math.log10(Math.max(seconds, 1e-4) * 1000) / 3));
}

export class Head {
  readonly element = make("header", "bl-head");
  #mode = new Cell(make("span", "bl-kind"));
  #note = new Cell(make("span", "bl-badge bl-note"));
  #venue = new Cell(make("span", "bl-venue bl-muted"));
  #health = new Cell(make("span", "bl-health bl-dot"));
  #time = new Cell(make("span", "bl-time"));
  #lag = new Cell(make("span", "bl-lag-text"));
  #fill = make("span", "bl-meter-fill");
  #meter = make("span", "bl-meter");

  constructor(kill: HTMLElement) {
    this.#meter.append(this.#fill);
    const lag = make("span", "bl-lag");
    const label = make("span", "bl-muted", "lag");
    label.prepend(make("span", "bl-spare-2", "loop "));
    lag.append(label, this.#meter, this.#lag.element);
    const right = make("span", "bl-right");
    right.append(this.#time.element, lag, kill);
    this.element.append(
      this.#mode.element,
      this.#note.element,
      this.#venue.element,
      this.#health.element,
      right,
    );
  }

  /** Show the engine; `lost` says what hides its health, such as a kernel that is gone. */
  update(head: HeadSection, loop: LoopSection, lost: string): void {
    this.#mode.write(head.mode.toUpperCase(), `bl-${head.mode}`, head.words);
    this.#note.write(head.note, "", head.words);
    toggle(this.#note.element, head.note !== "");
    this.#venue.write(head.venue);
    if (lost === "") this.#writeHealth(head);
    else this.#health.write(lost, "bl-warn");
    const market = stamp(head.market_time);
    const known = head.market_time > 0;
    this.#time.write(known ? `market time ${market} UTC` : "no market time yet");
    this.#writeLag(loop);
  }

  #writeHealth(head: HeadSection): void {
    const { reasons } = head;
    const why = reasons.join("\n");
    if (!head.running) this.#health.write("stopped", "bl-muted", why);
    else if (head.healthy && head.warnings.length > 0) {
      const [first, ...others] = head.warnings;
      const more = others.length > 0 ? ` (+${others.length})` : "";
      this.#health.write(`healthy, but ${first}${more}`, "bl-warn", head.warnings.join("\n"));
    } else if (head.healthy) this.#health.write("healthy", "bl-ok");
    else {
      const more = reasons.length > 1 ? ` (+${reasons.length - 1})` : "";
      this.#health.write(`${reasons[0] ?? "unhealthy"}${more}`, "bl-bad", why);
    }
  }

  #writeLag(loop: LoopSection): void {
    const { lag, limit } = loop;
    const tone = lag > limit ? "bl-bad" : lag > limit / 10 ? "bl-warn" : "bl-ok";
    const parts = (["p50", "p99", "worst"] as const).map(
      (name) => `${name} ${duration(loop[name])}`,
    );
    if (loop.stall !== "") parts.push(`last kept by ${loop.stall}`);
    this.#lag.write(duration(lag), "", parts.join("\n"));
    const width = `${Math.round(lagShare(lag) * 100)}%`;
    if (this.#fill.style.width !== width) this.#fill.style.width = width;
    if (this.#meter.dataset.tone !== tone) {
      this.#meter.dataset.tone = tone;
      this.#meter.className = `bl-meter ${tone}`;
    }
  }
}

export class AccountView {
  readonly element = make("div", "bl-account");
  #equity = new Cell(make("span", "bl-equity"));
  #quote = new Cell(make("span", "bl-quote bl-muted"));
  #spark = new Spark();
  #figures = new Map<string, Cell>();
  #exposure = make("span", "bl-bar-fill");

  constructor() {
    const equity = make("div", "bl-equity-box");
    equity.dataset.figure = "equity";
    const line = make("div");
    line.append(this.#equity.element, this.#quote.element);
    equity.append(line);
    this.element.append(equity, this.#spark.element);
    for (const name of ["this run", "today", "booked", "open", "exposure"]) {
      const box = make("div", "bl-figure");
      box.dataset.figure = name;
      const value = make("div", "bl-figure-value");
      box.append(make("div", "bl-muted", name), value);
      if (name === "exposure") {
        const bar = make("div", "bl-bar");
        bar.append(this.#exposure);
        box.append(bar);
      }
      this.#figures.set(name, new Cell(value));
      this.element.append(box);
    }
  }

  update({ account, curve, risk }: DashboardState): void {
    const { equity, start } = account;
    this.#equity.write(number(equity));
    this.#quote.write(account.quote);
    const gain = equity !== null && start !== null ? equity - start : null;
    const part = gain !== null && start !== null && start > 0 ? gain / start : null;
    const share = part === null ? "" : percent(part, 2, true);
    this.#figure("this run", `${number(gain, 2, true)}  ${share}`, gain);
    this.#figure("today", number(account.day, 2, true), account.day);
    this.#figure("booked", number(account.realised, 2, true), account.realised);
    this.#figure("open", number(account.unrealised, 2, true), account.unrealised);
    this.#exposureOf(account.exposure, risk.max_exposure);
    const values = equity === null ? curve.values : [...curve.values, equity];
    if (start !== null) this.#spark.update(values, start);
  }

  #figure(name: string, shown: string, value: number | null): void {
    this.#figures.get(name)?.write(shown, gainClass(value));
  }

  #exposureOf(value: number | null, limit: number | null): void {
    if (value === null || limit === null || limit <= 0) return;
    const used = Math.min(1, value / limit);
    this.#figures
      .get("exposure")
      ?.write(number(value), "", `${percent(used, 0)} of the ${number(limit)} allowed`);
    const width = `${Math.round(used * 100)}%`;
    if (this.#exposure.style.width !== width) this.#exposure.style.width = width;
    this.#exposure.classList.toggle("bl-full", used > 0.9);
  }
}
