/** Buttons that show the progress of their requests. */

import type { Actions } from "./actions";
import { Cell, make, toggle } from "./patch";
import type { Action } from "./schema";

export const WAITING = "waiting for the running cell…";
export const SILENT = "no answer: press again";

export class ActionButton {
  readonly element: HTMLButtonElement;
  #label: Cell;

  constructor(
    private readonly actions: Actions,
    private readonly action: Action,
    private readonly target: string,
    private readonly label: string,
    options: { className?: string; title?: string; ask?: () => void } = {},
  ) {
    this.element = make("button", `bl-button ${options.className ?? ""}`.trim());
    this.element.type = "button";
    this.element.dataset.action = action;
    if (options.title !== undefined) this.element.setAttribute("aria-label", options.title);
    this.#label = new Cell(this.element);
    this.element.addEventListener("click", options.ask ?? (() => actions.ask(action, target)));
    this.update(true);
  }

  /** Update label and state; a button whose action is not possible now is hidden. */
  update(possible: boolean): void {
    const stage = this.actions.stage(this.action, this.target);
    toggle(this.element, possible || stage !== undefined);
    this.element.disabled = !this.actions.open || stage === "sent" || stage === "working";
    if (stage === undefined) delete this.element.dataset.stage;
    else this.element.dataset.stage = stage;
    if (stage === "waiting") this.#label.write(WAITING, "", WAITING);
    else if (stage === "silent") this.#label.write(SILENT, "", SILENT);
    else if (stage === "working") this.#label.write(`${this.label}…`);
    else this.#label.write(this.label);
  }
}
