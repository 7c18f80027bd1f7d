/** The end of a task's row: its failures, and the buttons for its actions. */

import { count } from "../format";
import type { Actions } from "./actions";
import { ActionButton } from "./button";
import { Cell, make, toggle } from "./patch";
import type { TaskRow } from "./schema";
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
): Extra<TaskRow> {
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
    update(row: TaskRow): void {
      toggle(failures, row.failures > 0);
      failed.write(`${count(row.failures)} failed`, "", row.error);
      for (const { action, button } of buttons) button.update(row.can.includes(action));
    },
  };
}
