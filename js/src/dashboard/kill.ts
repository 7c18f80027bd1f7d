/** The kill switch: a button, a confirmation that explains the effect, and re-arming. */

import { clock } from "../format";
import type { Actions } from "./actions";
import { ActionButton } from "./button";
import { Cell, make, toggle } from "./patch";
import type { HeadSection, RiskSection } from "./schema";

export class KillSwitch {
  readonly button = make("button", "bl-button bl-kill", "KILL SWITCH");
  readonly element = make("div", "bl-kill-box");
  #alarm = make("div", "bl-alarm");
  #why = new Cell(make("span", "bl-alarm-text"));
  #dialog = make("div", "bl-dialog");
  #file = new Cell(make("code"));
  #post = new Cell(make("code"));
  #buttons: ActionButton[] = [];
  #rearm: ActionButton;
  #running = false;

  constructor(private readonly actions: Actions) {
    this.button.type = "button";
    this.button.dataset.action = "kill-open";
    this.button.addEventListener("click", () => this.#open(true));
    this.#rearm = new ActionButton(actions, "rearm", "", "Re-arm", {
      title: "Allow entries again",
    });
    this.#alarm.setAttribute("role", "alert");
    this.#alarm.append(this.#why.element, this.#rearm.element);
    this.#fill();
    this.element.append(this.#alarm, this.#dialog);
    toggle(this.#dialog, false);
    toggle(this.#alarm, false);
  }

  update(risk: RiskSection, head: HeadSection): void {
    this.#running = head.running;
    const halted = risk.halted ?? "";
    toggle(this.#alarm, halted !== "");
    // A bot that only watches orders nothing that could be stopped.
    toggle(this.button, risk.killed === null && head.mode !== "watch");
    this.#why.write(halted === "" ? "" : reason(halted, risk));
    if (risk.killed) this.#open(false);
    this.#writeOtherWays(risk, head.url);
    this.refresh();
  }

  /** Update the buttons. */
  refresh(): void {
    this.button.disabled = !this.#running || !this.actions.open;
    if (!this.actions.open) this.#open(false);
    for (const button of this.#buttons) button.update(true);
    this.#rearm.update(this.#running);
  }

  #fill(): void {
    this.#dialog.setAttribute("role", "alertdialog");
    this.#dialog.setAttribute("aria-label", "kill switch");
    const what = make("p");
    what.append(
      make("b", "", "Stop every entry, in every strategy, now. "),
      "It stays so through restarts, until a person re-arms it. Exits go on, and protective " +
        "stops stay at the exchange. What is held stays held, unless you sell it here.",
    );
    const stop = new ActionButton(this.actions, "kill", "", "Stop entries", {
      className: "bl-danger",
    });
    const sell = new ActionButton(
      this.actions,
      "kill_and_sell",
      "",
      "Stop entries and sell everything",
      { className: "bl-danger" },
    );
    this.#buttons = [stop, sell];
    const cancel = make("button", "bl-button", "Cancel");
    cancel.type = "button";
    cancel.dataset.action = "kill-cancel";
    cancel.addEventListener("click", () => this.#open(false));
    this.#dialog.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#open(false);
    });
    const row = make("div", "bl-dialog-buttons");
    row.append(stop.element, sell.element, cancel);
    const blocked = make("p", "bl-muted");
    blocked.append(
      "While a cell blocks, these buttons wait for it. What does not wait, in a terminal:",
      this.#file.element,
      this.#post.element,
    );
    this.#dialog.append(what, blocked, row);
  }

  #open(shown: boolean): void {
    toggle(this.#dialog, shown);
    if (shown) this.#buttons[0]?.element.focus();
  }

  #writeOtherWays({ stop_file: file, token_file: token }: RiskSection, url: string): void {
    this.#file.write(file === "" ? "" : `touch ${file}`);
    this.#post.write(
      url === "" || token === ""
        ? ""
        : `curl -X POST -H "X-Botlib-Token: $(cat ${token})" ${url}/api/v1/kill`,
    );
  }
}

function reason(halted: string, { killed }: RiskSection): string {
  if (killed === null) return `ENTRIES STOPPED · ${halted}`;
  const at = clock(killed.at);
  return `KILLED · ${killed.reason} · by ${killed.by} at ${at} UTC · entries stay stopped`;
}
