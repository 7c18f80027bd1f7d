/** Buttons that show the progress of their requests. */

import type { Actions } from "./actions";
import { Cell, make, toggle } from "./patch";
import type { Action } from "./schema";

export const WAITING = "waiting for the running cell…";
export const SILENT = "no answer: press again";

/** Milliseconds for which a button waits for the second press that confirms the first. */
const CONFIRM = 5000;

export class ActionButton {
  readonly element: HTMLButtonElement;
  #label: Cell;
  #possible = true;
  #confirming: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly actions: Actions,
    private readonly action: Action,
    private readonly target: string,
    private readonly label: string,
    private readonly options: { className?: string; title?: string; confirm?: string } = {},
  ) {
    this.element = make("button", `bl-button ${options.className ?? ""}`.trim());
    this.element.type = "button";
    this.element.dataset.action = action;
    if (options.title !== undefined) this.element.setAttribute("aria-label", options.title);
    this.#label = new Cell(this.element);
    this.element.addEventListener("click", () => this.#pressed());
    this.update(true);
  }

  /** Update label and state; a button whose action is not possible now is hidden. */
  update(possible: boolean): void {
    this.#possible = possible;
    const stage = this.actions.stage(this.action, this.target);
    toggle(this.element, possible || stage !== undefined);
    this.element.disabled = !this.actions.open || stage === "sent" || stage === "working";
    if (stage === undefined) delete this.element.dataset.stage;
    else this.element.dataset.stage = stage;
    if (stage === "waiting") this.#label.write(WAITING, "", WAITING);
    else if (stage === "silent") this.#label.write(SILENT, "", SILENT);
    else if (stage === "working") this.#label.write(`${this.label}…`);
    else if (this.#confirming !== undefined) this.#label.write(this.options.confirm ?? "");
    else this.#label.write(this.label);
    this.element.classList.toggle("bl-confirm", this.#confirming !== undefined);
  }

  #pressed(): void {
    const { confirm } = this.options;
    const asked = this.actions.stage(this.action, this.target) !== undefined;
    if (confirm === undefined || asked || this.#confirming !== undefined) {
      this.#forget();
      this.actions.ask(this.action, this.target);
      return;
    }
    this.#confirming = setTimeout(() => {
      this.#forget();
      this.update(this.#possible);
    }, CONFIRM);
    this.update(this.#possible);
  }

  #forget(): void {
    clearTimeout(this.#confirming);
    this.#confirming = undefined;
  }
}
