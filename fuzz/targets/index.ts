// Every target. Each is a file of the same name.
import type { Target } from "../target.ts";
import detect from "./detect.ts";
import hpack from "./hpack.ts";
import http1Request from "./http1-request.ts";

export const targets: readonly Target[] = [detect, hpack, http1Request];
