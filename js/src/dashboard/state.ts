/** The last known state of the kernel: a whole state, and changes of it in an unbroken sequence. */

import type { DashboardChanges, DashboardState, DashboardTable, Snapshot } from "./schema";

/** Whether a message was applied, is older than the state, or follows one that was missed. */
export type Fit = "applied" | "old" | "gap";

export class Mirror {
  state: DashboardState;
  seq: number;

  constructor(snapshot: Snapshot) {
    this.seq = snapshot.seq;
    this.state = snapshot.state;
  }

  /** Replace the state, unless the new one is older. */
  whole(seq: number, state: DashboardState): Fit {
    if (seq < this.seq) return "old";
    this.seq = seq;
    this.state = state;
    return "applied";
  }

  /** Apply changes, if they follow the state directly. */
  delta(seq: number, changes: DashboardChanges): Fit {
    if (seq <= this.seq) return "old";
    if (seq !== this.seq + 1) return "gap";
    this.seq = seq;
    const state = this.state;
    this.state = {
      head: merged(state.head, changes.head),
      account: merged(state.account, changes.account),
      curve: merged(state.curve, changes.curve),
      risk: merged(state.risk, changes.risk),
      loop: merged(state.loop, changes.loop),
      tasks: changed(state.tasks, changes.tasks),
      strategies: changed(state.strategies, changes.strategies),
      positions: changed(state.positions, changes.positions),
      books: changed(state.books, changes.books),
      holds: changed(state.holds, changes.holds),
      orders: changed(state.orders, changes.orders),
      fills: changed(state.fills, changes.fills),
      feeds: changed(state.feeds, changes.feeds),
      log: changed(state.log, changes.log),
    };
    return "applied";
  }
}

function merged<Section>(section: Section, change: Partial<Section> | undefined): Section {
  return change === undefined ? section : { ...section, ...change };
}

/** Rows that did not change stay the same objects, so that they need not be drawn again. */
function changed<Row>(
  table: DashboardTable<Row>,
  change: { order?: string[]; rows?: Record<string, Partial<Row>> } | undefined,
): DashboardTable<Row> {
  if (change === undefined) return table;
  const order = change.order ?? table.order;
  const rows: Record<string, Row> = {};
  for (const key of order) {
    const before = table.rows[key];
    const patch = change.rows?.[key];
    // A row that was not known arrives with every column.
    const row = patch === undefined ? before : ({ ...before, ...patch } as Row);
    if (row !== undefined) rows[key] = row;
  }
  return { order, rows };
}
