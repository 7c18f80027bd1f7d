/** The entry point of a chart's page. */

import "./base.css";
import "./chart/chart.css";
import { ChartView } from "./chart/view";
import type { RenderProps } from "./model";

export default {
  render({ model, el }: RenderProps): () => void {
    const view = new ChartView(model, el);
    return () => view.remove();
  },
};
