// Before every test file: properties are tried with the same values each time, so that a run says the same twice. A number in
// FAIRLEAD_SEED tries others, and so does `FAIRLEAD_SEED=random`.
import fc from "fast-check";

const wanted = process.env["FAIRLEAD_SEED"] ?? "2111";
if (wanted !== "random") {
  const seed = Number(wanted);
  if (!Number.isInteger(seed)) throw new Error(`FAIRLEAD_SEED: "${wanted}" is neither a whole number nor "random"`);
  fc.configureGlobal({ seed });
}
