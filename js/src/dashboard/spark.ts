/** A sparkline. */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 220;
const HEIGHT = 40;

/** Return the points of a polyline through values, and the y coordinate of a level. */
export function layout(values: readonly number[], level: number): { points: string; base: number } {
  const low = Math.min(level, ...values);
  const high = Math.max(level, ...values);
  const scale = high > low ? (HEIGHT - 6) / (high - low) : 0;
  const y = (value: number) => (scale === 0 ? HEIGHT / 2 : HEIGHT - 3 - (value - low) * scale);
  const step = values.length > 1 ? WIDTH / (values.length - 1) : 0;
  const points = values.map(
    (value, index) => `${(index * step).toFixed(1)},${y(value).toFixed(1)}`,
  );
  return { points: points.join(" "), base: y(level) };
}

export class Spark {
  readonly element = document.createElementNS(SVG, "svg");
  #line = document.createElementNS(SVG, "polyline");
  #base = document.createElementNS(SVG, "line");
  #points = "";

  constructor() {
    this.element.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.element.setAttribute("class", "bl-spark");
    this.element.setAttribute("preserveAspectRatio", "none");
    this.element.setAttribute("role", "img");
    this.element.setAttribute("aria-label", "equity over this run");
    this.#base.setAttribute("class", "bl-spark-base");
    this.#base.setAttribute("x2", String(WIDTH));
    this.#line.setAttribute("class", "bl-spark-line");
    this.element.append(this.#base, this.#line);
  }

  /** Draw values, coloured by whether the last one is above the level. */
  update(values: readonly number[], level: number): void {
    const last = values.at(-1);
    if (last === undefined || values.length < 2) return;
    const { points, base } = layout(values, level);
    if (points === this.#points) return;
    this.#points = points;
    this.#line.setAttribute("points", points);
    this.#base.setAttribute("y1", base.toFixed(1));
    this.#base.setAttribute("y2", base.toFixed(1));
    this.element.classList.toggle("bl-up", last >= level);
    this.element.classList.toggle("bl-down", last < level);
  }
}
