// Counters for a hot path and their text form. A series is found once, by its labels, and then is a place in a typed array:
// counting is one addition. Labels are text made by the caller in the order they are to be printed (spec proxy §9.1).

export { CounterFamily, type Family, GaugeFamily, HistogramFamily, MAX_HISTOGRAM_SERIES, MAX_SERIES, type Retention } from "./family.ts";
export { formatLabels, joinLabels, type LabelPairs } from "./labels.ts";
export { Registry } from "./registry.ts";
export { Counter, Gauge, Histogram, type Holder, LATENCY_BOUNDS_MS } from "./series.ts";
