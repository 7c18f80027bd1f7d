/** A table of rows with keys, in which only changed cells are written. */

import { decimalsOfTexts } from "../format";
import { Cell, make, reorder, toggle } from "./patch";
import type { DashboardTable } from "./schema";

/** The least width of the column that takes the remaining width, in pixels. */
const REST = 84;

export interface Shown {
  text: string;
  tone?: string;
  title?: string;
}

export interface Column<Row> {
  readonly title: string;
  /** A tooltip of the title. */
  readonly hint?: string;
  /** `num`: right-aligned. */
  readonly kind?: "num";
  /** Whether it depends on the current time. */
  readonly timed?: boolean;
  /** A decimal, if all cells of the column are to have the same decimals. */
  figure?(row: Row): string;
  show(row: Row, now: number, decimals: number): Shown | string;
}

/** The content of a row after its columns, such as buttons. */
export interface Extra<Row> {
  element: HTMLElement;
  update(row: Row): void;
}

interface Line<Row> {
  element: HTMLTableRowElement;
  cells: Cell[];
  row: Row | undefined;
  extra: Extra<Row> | undefined;
}

export class TableView<Row> {
  readonly element = make("section", "bl-panel");
  #body = make("tbody");
  #count = new Cell(make("span", "bl-count"));
  #empty: HTMLElement;
  #table = make("table");
  #lines = new Map<string, Line<Row>>();
  #now = 0;
  #shown: DashboardTable<Row> | undefined;
  readonly #decimals: number[] = [];

  constructor(
    title: string,
    private readonly columns: readonly Column<Row>[],
    private readonly options: {
      attribute: string;
      empty: string;
      extra?: (key: string) => Extra<Row>;
      widths: readonly number[];
    },
  ) {
    this.element.dataset.panel = title.toLowerCase();
    const head = make("header", "bl-panel-head");
    head.append(make("h4", "", title), this.#count.element);
    const heads = make("tr");
    for (const column of columns) {
      const head = make("th", column.kind ?? "", column.title);
      if (column.hint !== undefined) head.title = column.hint;
      heads.append(head);
    }
    if (options.extra !== undefined) heads.append(make("th"));
    const thead = make("thead");
    thead.append(heads);
    const widths = make("colgroup");
    for (const width of options.widths) {
      const column = make("col");
      if (width > 0) column.style.width = `${width}px`;
      widths.append(column);
    }
    const fixed = options.widths.reduce((sum, width) => sum + width, 0);
    this.#table.style.setProperty("--bl-least", `${fixed + REST}px`);
    this.#table.append(widths, thead, this.#body);
    this.#empty = make("div", "bl-empty bl-muted", options.empty);
    const scroll = make("div", "bl-scroll");
    scroll.append(this.#table, this.#empty);
    this.element.append(head, scroll);
  }

  update(table: DashboardTable<Row>, now: number): void {
    const timed = now !== this.#now;
    this.#now = now;
    const widened = table === this.#shown ? [] : this.#align(table);
    this.#shown = table;
    for (const key of [...this.#lines.keys()]) {
      if (table.rows[key] === undefined) {
        this.#lines.get(key)?.element.remove();
        this.#lines.delete(key);
      }
    }
    const wanted: HTMLElement[] = [];
    for (const key of table.order) {
      const row = table.rows[key];
      if (row === undefined) continue;
      const line = this.#lines.get(key) ?? this.#add(key);
      this.#write(line, row, now, timed, widened);
      wanted.push(line.element);
    }
    reorder(this.#body, wanted);
    this.#count.write(wanted.length === 0 ? "" : String(wanted.length));
    toggle(this.#empty, wanted.length === 0);
    toggle(this.#table, wanted.length > 0);
  }

  /** Update the contents after the columns, such as the state of buttons. */
  refresh(): void {
    for (const line of this.#lines.values()) {
      if (line.row !== undefined) line.extra?.update(line.row);
    }
  }

  #add(key: string): Line<Row> {
    const element = make("tr");
    element.setAttribute(this.options.attribute, key);
    const cells = this.columns.map((column) => {
      const cell = make("td", column.kind ?? "");
      element.append(cell);
      return new Cell(cell);
    });
    const extra = this.options.extra?.(key);
    if (extra !== undefined) {
      const cell = make("td", "bl-buttons");
      cell.append(extra.element);
      element.append(cell);
    }
    const line: Line<Row> = { element, cells, row: undefined, extra };
    this.#lines.set(key, line);
    return line;
  }

  /** Set the decimals of every column of figures, and return the columns in which they changed. */
  #align(table: DashboardTable<Row>): number[] {
    const rows = table.order.flatMap((key) => table.rows[key] ?? []);
    return this.columns.flatMap((column, index) => {
      if (column.figure === undefined) return [];
      const decimals = decimalsOfTexts(rows.map((row) => column.figure?.(row) ?? ""));
      if (decimals === this.#decimals[index]) return [];
      this.#decimals[index] = decimals;
      return [index];
    });
  }

  #write(line: Line<Row>, row: Row, now: number, timed: boolean, widened: number[]): void {
    const same = line.row === row;
    if (same && !timed && widened.length === 0) return;
    line.row = row;
    this.columns.forEach((column, index) => {
      if (same && column.timed !== true && !widened.includes(index)) return;
      const shown = column.show(row, now, this.#decimals[index] ?? 0);
      const cell = line.cells[index];
      if (typeof shown === "string") cell?.write(shown);
      else cell?.write(shown.text, shown.tone ?? "", shown.title ?? "");
    });
    if (!same) line.extra?.update(row);
  }
}
