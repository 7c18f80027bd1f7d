/** What stands at the end of a task's row: its failures, and the buttons that act on it. */

import type { Actions } from "./actions";
import { ActionButton } from "./button";
import { count } from "./format";
import { Cell, make, toggle } from "./patch";
import type { Row } from "./state";
import type { Extra } from "./table";

const LABELS = [
  ["run", "Run now"],
  ["start", "Start"],
  ["stop", "Stop"],
] as const;

export function taskButtons(
  name: string,
  actions: Actions,
  showError: (name: string) => void,
): Extra {
  const element = make("span", "bl-row-buttons");
  const failures = make("button", "bl-button bl-failures");
  failures.type = "button";
  failures.dataset.action = "error";
  failures.addEventListener("click", () => showError(name));
  const failed = new Cell(failures);
  element.append(failures);
  const buttons = LABELS.map(([action, label]) => {
    const button = new ActionButton(actions, action, name, label, { title: `${label}: ${name}` });
    element.append(button.element);
    return { action, button };
  });
  return {
    element,
    update(row: Row): void {
      const number = typeof row.failures === "number" ? row.failures : 0;
      toggle(failures, number > 0);
      failed.write(`${count(number)} failed`, "", String(row.error ?? ""));
      const can = Array.isArray(row.can) ? row.can : [];
      for (const { action, button } of buttons) button.update(can.includes(action));
    },
  };
}
