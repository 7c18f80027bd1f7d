/** The entry point of a chart's page. */

import "./base.css";
import "./chart/chart.css";
import { ChartView } from "./chart/view";
import { KernelLink } from "./kernel";
import type { InitializeProps, RenderProps } from "./model";
import { hideStills } from "./still";

export default {
  initialize({ model }: InitializeProps): () => void {
    const kernel = KernelLink.of(model);
    return () => kernel.close();
  },
  render({ model, el }: RenderProps): () => void {
    const show = hideStills(model, el.ownerDocument);
    const view = new ChartView(model, el);
    return () => {
      view.remove();
      show();
    };
  },
};
