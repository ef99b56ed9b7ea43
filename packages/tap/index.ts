// Taps without a process: the wire tables of the tap service and its match language. Contract of #tap.
export { observe, observeRequest, tapEvent } from "./api.ts";
export { compileMatch, InvalidMatch, type Match, METHODS, SCHEMES, type TapRequest } from "./match.ts";
