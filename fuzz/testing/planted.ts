// A target that fails on one word, for the test of the engine.
import { check, type Target } from "../target.ts";

const target: Target = {
  name: "planted",
  what: "inputs do not hold the word",
  maxBytes: 64,
  seeds: ["begin"],
  dictionary: [],
  run(input) {
    // A branch for each letter, as a parser would have.
    for (let i = 0; i + 4 <= input.length; i++)
      if (input[i] === 0x42) if (input[i + 1] === 0x55) if (input[i + 2] === 0x47) check(input[i + 3] !== 0x21, "the word is there");
  },
};
export default target;
