// Charts: a renderer of the subset of Helm's templates that the project's charts use, and the control plane's own chart.
// Contract of #chart.
//
//   const { yaml } = await renderControlPlane({ values: readValues({ set: ["controllerReplicas=2"] }), ha: true, identity });
//
// - `readValues` reads `--values`, `--set`, `--set-string`, `--set-file`; `overlay(flags, sets)` puts the second upon the first.
// - `renderControlPlane` renders charts/fairlead-control-plane as it is embedded in the executable; `identity` comes from `generateAuthority` of #identity.
// - Errors: `ValuesError` (flag or file, and key), `TemplateError` (template, line, value), `ChartError`.
// - `Chart` renders any other chart from a map of its files; a test holds its output equal to `helm template`.
export {
  type ControlPlane,
  type ControlPlaneOptions,
  controlPlaneChart,
  controlPlaneDefaults,
  copyValues,
  highAvailabilityValues,
  renderControlPlane,
  type Stage,
} from "./control-plane.ts";
export { Chart, ChartError, type ChartFiles, type Manifest, printManifests, type RenderOptions } from "./render.ts";
export { TemplateError } from "./template/errors.ts";
export { fromYaml } from "./template/functions.ts";
export { toYaml } from "./template/go-yaml.ts";
export { applySet, differenceOf, mergeValues, overlay, readValues, type ValueSources, type Values, ValuesError } from "./values.ts";
