/** What the kernel said last: a whole state, and changes of it in an unbroken sequence. */

export type Plain = string | number | boolean | null | readonly Plain[] | { [key: string]: Plain };
export type Row = { [column: string]: Plain };
export interface Table {
  order: string[];
  rows: Record<string, Row>;
}

/** Sections that are tables; every other one is a row of values. */
export const TABLES = ["tasks", "positions", "orders", "fills", "feeds", "log"] as const;
export type TableName = (typeof TABLES)[number];
export const VALUES = ["head", "account", "curve", "risk", "loop"] as const;
export type ValuesName = (typeof VALUES)[number];

export type State = Record<ValuesName, Row> & Record<TableName, Table>;
export type Changes = Partial<Record<ValuesName, Row>> &
  Partial<Record<TableName, { order?: string[]; rows?: Record<string, Row> }>>;

/** How a message fitted in. */
export type Fit = "applied" | "old" | "gap";

export class Mirror {
  state: State;
  seq: number;

  constructor(snapshot: { seq: number; state: State }) {
    this.seq = snapshot.seq;
    this.state = snapshot.state;
  }

  /** Take a whole state; one that is older than what is known is left alone. */
  whole(seq: number, state: State): Fit {
    if (seq < this.seq) return "old";
    this.seq = seq;
    this.state = state;
    return "applied";
  }

  /** Take changes; they apply only to the state right before them. */
  delta(seq: number, changes: Changes): Fit {
    if (seq <= this.seq) return "old";
    if (seq !== this.seq + 1) return "gap";
    this.seq = seq;
    const next = { ...this.state };
    for (const name of VALUES) {
      const change = changes[name];
      if (change !== undefined) next[name] = { ...next[name], ...change };
    }
    for (const name of TABLES) {
      const change = changes[name];
      if (change !== undefined) next[name] = changed(next[name], change);
    }
    this.state = next;
    return "applied";
  }
}

/** Rows that did not change stay the same objects, so that they need not be looked at again. */
function changed(table: Table, change: { order?: string[]; rows?: Record<string, Row> }): Table {
  const order = change.order ?? table.order;
  const rows: Record<string, Row> = {};
  for (const key of order) {
    const before = table.rows[key];
    const patch = change.rows?.[key];
    const row = patch === undefined ? before : { ...before, ...patch };
    if (row !== undefined) rows[key] = row;
  }
  return { order, rows };
}
