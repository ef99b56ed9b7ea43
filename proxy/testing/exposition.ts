// The text exposition of a proxy as values one can add up.

export type Samples = {
  /** The sum over the series of a name whose labels contain these. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number;
  /** Series of a name, or of all. */
  series(name?: string): number;
};

export function parseExposition(text: string): Samples {
  const samples = [...text.matchAll(/^([a-zA-Z_:]+)(?:\{(.*)\})? (\S+)$/gm)].map(([, name, labels, value]) => ({
    name: name as string,
    labels: new Map([...(labels ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key as string, text as string])),
    value: Number(value),
  }));
  return {
    sum: (name, labels = {}) =>
      samples
        .filter((sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels.get(key) === value))
        .reduce((total, { value }) => total + value, 0),
    series: (name) => samples.filter((sample) => name === undefined || sample.name === name).length,
  };
}
