/** The entry point of a dashboard's page. */

import "./base.css";
import "./dashboard/dashboard.css";
import { writes } from "./dashboard/patch";
import { DashboardView } from "./dashboard/view";
import { KernelLink } from "./kernel";
import type { InitializeProps, RenderProps } from "./model";
import { hideStills } from "./still";

/** The property by which tests and measurements find the views. */
interface Found {
  __botlib?: unknown;
}

export default {
  initialize({ model }: InitializeProps): () => void {
    const kernel = KernelLink.of(model);
    return () => kernel.close();
  },
  render({ model, el }: RenderProps): () => void {
    const show = hideStills(model, el.ownerDocument);
    const root = document.createElement("div");
    el.append(root);
    const view = new DashboardView(model, root);
    const found = { root, stats: view.stats, writes };
    (root as Found).__botlib = found;
    const page = globalThis as { __botlibDashboards?: unknown[] };
    page.__botlibDashboards = [...(page.__botlibDashboards ?? []), found];
    return () => {
      page.__botlibDashboards = page.__botlibDashboards?.filter((one) => one !== found) ?? [];
      view.remove();
      root.remove();
      show();
    };
  },
};
