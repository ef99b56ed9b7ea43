// Cases that a target is right not to pass, each with its reason.
import type { Exception } from "../suite.ts";

export const exceptions: readonly Exception[] = [];
