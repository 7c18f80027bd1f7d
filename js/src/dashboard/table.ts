/** A table of rows with keys, in which only changed cells are written. */

import { count, decimalsOfTexts } from "../format";
import { Cell, make, reorder, toggle } from "./patch";
import type { DashboardTable } from "./schema";

export interface Shown {
  text: string;
  tone?: string;
  title?: string;
}

export interface Column<Row> {
  readonly title: string;
  /** `num`: right-aligned. */
  readonly kind?: "num";
  /** Its least width in pixels, so that a changed text seldom moves the others. */
  readonly least?: number;
  /** It takes the remaining width, and its texts are cut. */
  readonly rest?: boolean;
  /** Its texts have as many lines as they need. */
  readonly wraps?: boolean;
  /** Below which width of the dashboard it is left out: 1 narrow, 2 very narrow. */
  readonly spare?: 1 | 2;
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

export interface TableOptions<Row> {
  /** The attribute of a row that holds its key. */
  attribute: string;
  /** What is shown in place of an empty table; without it an empty one is left out. */
  empty?: string;
  /** Most rows that are shown until the reader asks for all. */
  most?: number;
  extra?: (key: string) => Extra<Row>;
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
  #more = new Cell(make("button", "bl-button bl-more"));
  #empty: HTMLElement;
  #table = make("table");
  #lines = new Map<string, Line<Row>>();
  #now = 0;
  #all = false;
  #shown: DashboardTable<Row> | undefined;
  readonly #decimals: number[] = [];

  constructor(
    title: string,
    private readonly columns: readonly Column<Row>[],
    private readonly options: TableOptions<Row>,
  ) {
    this.element.dataset.panel = title.toLowerCase();
    const head = make("header", "bl-panel-head");
    head.append(make("h4", "", title), this.#count.element, this.#more.element);
    this.#more.element.addEventListener("click", () => {
      this.#all = !this.#all;
      const shown = this.#shown;
      this.#shown = undefined;
      if (shown !== undefined) this.update(shown, this.#now);
    });
    const heads = make("tr");
    for (const column of columns) {
      const head = make("th", classOf(column), column.title);
      if (column.least !== undefined) head.style.minWidth = `${column.least}px`;
      heads.append(head);
    }
    if (options.extra !== undefined) heads.append(make("th"));
    const thead = make("thead");
    thead.append(heads);
    this.#table.classList.toggle(
      "bl-wide",
      columns.some((column) => column.rest),
    );
    this.#table.append(thead, this.#body);
    this.#empty = make("div", "bl-empty bl-muted", options.empty);
    this.element.append(head, this.#table, this.#empty);
  }

  update(table: DashboardTable<Row>, now: number): void {
    const timed = now !== this.#now;
    if (table === this.#shown && !timed) return;
    this.#now = now;
    const { order } = table;
    const most = this.#all ? order.length : (this.options.most ?? order.length);
    const keys = order.slice(0, most).filter((key) => table.rows[key] !== undefined);
    const rows = keys.map((key) => table.rows[key] as Row);
    const widened = table === this.#shown ? [] : this.#align(rows);
    this.#shown = table;
    const wanted = new Set(keys);
    for (const [key, line] of [...this.#lines]) {
      if (wanted.has(key)) continue;
      line.element.remove();
      this.#lines.delete(key);
    }
    const elements = keys.map((key, index) => {
      const line = this.#lines.get(key) ?? this.#add(key);
      this.#write(line, rows[index] as Row, now, timed, widened);
      return line.element;
    });
    reorder(this.#body, elements);
    this.#tell(order.length, keys.length);
  }

  /** Update the contents after the columns, such as the state of buttons. */
  refresh(): void {
    for (const line of this.#lines.values()) {
      if (line.row !== undefined) line.extra?.update(line.row);
    }
  }

  /** Show how many rows there are, and the button for those that are left out. */
  #tell(all: number, shown: number): void {
    this.#count.write(all === 0 ? "" : count(all));
    const hidden = all - shown;
    toggle(this.#more.element, hidden > 0 || (this.#all && this.options.most !== undefined));
    this.#more.write(hidden > 0 ? `${count(hidden)} more` : "fewer");
    toggle(this.#empty, all === 0);
    toggle(this.#table, all > 0);
    toggle(this.element, all > 0 || this.options.empty !== undefined);
  }

  #add(key: string): Line<Row> {
    const element = make("tr");
    element.setAttribute(this.options.attribute, key);
    const cells = this.columns.map((column) => {
      const cell = make("td", classOf(column));
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
  #align(rows: readonly Row[]): number[] {
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
      if (same && !(timed && column.timed === true) && !widened.includes(index)) return;
      const shown = column.show(row, now, this.#decimals[index] ?? 0);
      const cell = line.cells[index];
      if (typeof shown === "string") cell?.write(shown);
      else cell?.write(shown.text, shown.tone ?? "", shown.title ?? "");
    });
    if (!same) line.extra?.update(row);
  }
}

function classOf(column: Pick<Column<unknown>, "kind" | "rest" | "wraps" | "spare">): string {
  const names = [
    column.kind,
    column.rest && "bl-rest",
    column.wraps && "bl-wraps",
    column.spare && `bl-spare-${column.spare}`,
  ];
  return names.filter(Boolean).join(" ");
}
