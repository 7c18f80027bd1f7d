/** The end of a row: the failures of a task or a strategy, and the buttons for its actions. */

import { count } from "../format";
import type { Actions } from "./actions";
import { ActionButton } from "./button";
import { Cell, make, toggle } from "./patch";
import type { Action, StrategyRow, TaskRow } from "./schema";
import type { Extra } from "./table";

interface Labelled {
  action: Action;
  label: string;
  /** What the button says until it is pressed again; without it one press suffices. */
  confirm?: string;
}

const TASK: readonly Labelled[] = [
  { action: "run", label: "Run now" },
  { action: "start", label: "Start" },
  { action: "stop", label: "Stop" },
];
const STRATEGY: readonly Labelled[] = [
  { action: "strategy_on", label: "On" },
  { action: "strategy_off", label: "Off" },
  { action: "flatten", label: "Flatten", confirm: "Sell all now?" },
];

export function taskButtons(name: string, actions: Actions, showError: () => void): Extra<TaskRow> {
  const failures = failuresButton("error", showError);
  return made(TASK, name, actions, failures.button, (row: TaskRow) => {
    failures.update(row.failures > 0, `${count(row.failures)} failed`, row.error);
    return row.can;
  });
}

export function strategyButtons(
  name: string,
  actions: Actions,
  showError: () => void,
): Extra<StrategyRow> {
  const failures = failuresButton("strategy_error", showError);
  return made(STRATEGY, name, actions, failures.button, (row: StrategyRow) => {
    failures.update(row.can.includes("strategy_error"), `${count(row.errors)} failed`, row.detail);
    return row.can;
  });
}

function made<Row>(
  labels: readonly Labelled[],
  name: string,
  actions: Actions,
  failures: HTMLElement,
  possible: (row: Row) => readonly Action[],
): Extra<Row> {
  const element = make("span", "bl-row-buttons");
  element.append(failures);
  const buttons = labels.map(({ action, label, confirm }) => {
    const options = { title: `${label}: ${name}`, ...(confirm === undefined ? {} : { confirm }) };
    const button = new ActionButton(actions, action, name, label, options);
    element.append(button.element);
    return { action, button };
  });
  return {
    element,
    update(row: Row): void {
      const can = possible(row);
      for (const { action, button } of buttons) button.update(can.includes(action));
    },
  };
}

function failuresButton(action: Action, showError: () => void) {
  const button = make("button", "bl-button bl-failures");
  button.type = "button";
  button.dataset.action = action;
  button.addEventListener("click", showError);
  const said = new Cell(button);
  return {
    button,
    update(any: boolean, text: string, error: string): void {
      toggle(button, any);
      said.write(text, "", error);
    },
  };
}
