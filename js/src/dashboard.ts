import "./base.css";
import type { RenderProps } from "./model";

export default {
  render({ el }: RenderProps): void {
    el.className = "botlib";
  },
};
