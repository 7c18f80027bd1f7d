/** The panels of the dashboard: one table per section of the state, and where they are. */

import type { Actions } from "./actions";
import { BOOKS, FEEDS, FILLS, HOLDS, LOG, ORDERS, POSITIONS, STRATEGIES, TASKS } from "./columns";
import { make } from "./patch";
import { strategyButtons, taskButtons } from "./row_buttons";
import type { DashboardState, DashboardTable } from "./schema";
import { TableView } from "./table";

/** One view per section of the state that is a table. */
type Tables = {
  [Name in keyof DashboardState as DashboardState[Name] extends DashboardTable<unknown>
    ? Name
    : never]: DashboardState[Name] extends DashboardTable<infer Row> ? TableView<Row> : never;
};

export class Panels {
  readonly element = make("div", "bl-body");
  readonly #tables: Tables;

  /** `showError` shows the error of a task or a strategy. */
  constructor(
    actions: Actions,
    trace: HTMLElement,
    showError: (action: "error" | "strategy_error", name: string) => void,
  ) {
    this.#tables = {
      positions: new TableView("Positions", POSITIONS, {
        attribute: "data-position",
        empty: "flat",
      }),
      strategies: new TableView("Strategies", STRATEGIES, {
        attribute: "data-strategy",
        empty: "none",
        extra: (name) => strategyButtons(name, actions, () => showError("strategy_error", name)),
      }),
      books: new TableView("Books", BOOKS, { attribute: "data-book" }),
      holds: new TableView("Halts", HOLDS, { attribute: "data-hold" }),
      orders: new TableView("Orders", ORDERS, {
        attribute: "data-order",
        empty: "none so far",
        most: 8,
      }),
      fills: new TableView("Fills", FILLS, {
        attribute: "data-fill",
        empty: "none so far",
        most: 6,
      }),
      log: new TableView("Log", LOG, { attribute: "data-log", empty: "quiet so far", most: 8 }),
      feeds: new TableView("Feeds", FEEDS, {
        attribute: "data-feed",
        empty: "nothing streams",
        most: 8,
      }),
      tasks: new TableView("Tasks", TASKS, {
        attribute: "data-task",
        empty: "no task is registered",
        extra: (name) => taskButtons(name, actions, () => showError("error", name)),
      }),
    };
    const { positions, strategies, books, holds, orders, fills, log, feeds, tasks } = this.#tables;
    const left = make("div", "bl-column");
    const right = make("div", "bl-column");
    for (const table of [holds, positions, strategies, books, orders, fills]) {
      left.append(table.element);
    }
    right.append(log.element, trace, feeds.element, tasks.element);
    this.element.append(left, right);
  }

  update(state: DashboardState): void {
    const { now } = state.head;
    for (const name of Object.keys(this.#tables) as (keyof Tables)[]) {
      // The type of the rows is lost here: a table and its section have the same.
      const table = this.#tables[name] as TableView<unknown>;
      table.update(state[name] as DashboardTable<unknown>, now);
    }
  }

  /** Update the state of the buttons in the rows. */
  refresh(): void {
    for (const table of Object.values(this.#tables)) table.refresh();
  }
}
