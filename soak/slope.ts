// Does memory grow? A line through samples, with how sure one can be of it.

export type Slope = {
  /** Units of y per unit of x. */
  readonly slope: number;
  /** Half the width of the 95 % confidence interval of the slope. */
  readonly margin: number;
  readonly mean: number;
};

/**
 * Ordinary least squares. Samples of a process's memory depend on the ones before, which would make the plain interval too narrow: it
 * is widened by the first-order autocorrelation of the residuals (the effective sample size n(1−r)/(1+r)). NaN of fewer than 3 points.
 */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): Slope {
  const n = points.length;
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  if (n < 3) return { slope: Number.NaN, margin: Number.NaN, mean: my };
  const sxx = points.reduce((total, [x]) => total + (x - mx) ** 2, 0);
  const slope = points.reduce((total, [x, y]) => total + (x - mx) * (y - my), 0) / sxx;
  const residuals = points.map(([x, y]) => y - my - slope * (x - mx));
  const squares = residuals.reduce((total, e) => total + e * e, 0);
  const lagged = residuals.slice(1).reduce((total, e, i) => total + e * (residuals[i] as number), 0);
  const correlation = squares === 0 ? 0 : Math.max(0, Math.min(0.99, lagged / squares));
  const effective = Math.max(3, (n * (1 - correlation)) / (1 + correlation));
  const error = Math.sqrt(squares / (n - 2) / sxx) * Math.sqrt(n / effective);
  return { slope, margin: studentT975(effective - 2) * error, mean: my };
}

/** The 97.5 % quantile of Student's t, by Hill's expansion around the normal one; within 1 % from 3 degrees of freedom on. */
function studentT975(degrees: number): number {
  const z = 1.959964;
  const d = Math.max(1, degrees);
  if (d < 3) return d < 2 ? 12.71 : 4.303;
  return (
    z +
    (z ** 3 + z) / (4 * d) +
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * d * d) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * d ** 3)
  );
}
