// Runs one bundled target under Jazzer.js (libFuzzer) on Node: node launch.mjs ADDON BUNDLE TIMEOUT_MS [LIBFUZZER_ARGUMENT ...]
//
// Jazzer reports each comparison with a literal to libFuzzer by a native call, equal or not, which makes loops over bytes some
// ten times slower. A comparison that holds teaches libFuzzer nothing, so those calls are left out.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname } from "node:path";

const require = createRequire(import.meta.url);
const [addonFile, bundle, timeoutMs, ...rest] = process.argv.slice(2);
// See addon.ts.
require.extensions[".node"] = (module) => process.dlopen(module, addonFile);
const { OptionsManager, OptionSource, startFuzzing } = require("@jazzer.js/core");
const { fuzzer } = require("@jazzer.js/fuzzer");
const { addon } = require("@jazzer.js/fuzzer/dist/addon.js");

// libFuzzer starts the parts of a merge through Jazzer's wrapper, which puts `--id_sync_file FILE --` before its arguments.
const fuzzerOptions = rest[0] === "--id_sync_file" ? rest.slice(rest.indexOf("--") + 1) : rest;

const { traceIntegerCompare } = addon;
const slots = new Uint32Array(512);

fuzzer.tracer.traceNumberCmp = (a, b, operator, id) => {
  if (a !== b && (slots[id]++ & 7) === 0 && Number.isInteger(a) && Number.isInteger(b)) traceIntegerCompare(id, a, b);
  switch (operator) {
    case "==":
    case "===":
      return a === b;
    case "!=":
    case "!==":
      return a !== b;
    case ">":
      return a > b;
    case ">=":
      return a >= b;
    case "<":
      return a < b;
    default:
      return a <= b;
  }
};

/** Told by the text of the bundle: it must not be loaded before Jazzer watches. */
async function isAsync(path) {
  return /\basync run\(input\)/.test(await readFile(path, "utf8"));
}

const options = new OptionsManager(OptionSource.DefaultCLIOptions).merge(
  {
    fuzzTarget: bundle,
    includes: [dirname(bundle)],
    excludes: ["node_modules"],
    // They watch files, processes and eval, which no target uses; pollution of prototypes is looked for by the bundle itself.
    disableBugDetectors: [".*"],
    // Whole bundles are synchronous or not.
    sync: !(await isAsync(bundle)),
    timeout: Number(timeoutMs),
    fuzzerOptions,
  },
  OptionSource.CommandLineArguments,
);
const { returnCode } = await startFuzzing(options);
process.exit(returnCode);
