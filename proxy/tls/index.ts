// Contract of mesh TLS: contexts from a certificate, termination of accepted connections.
export { createAnonymousClientContext, createContexts, type TlsContexts } from "./context.ts";
export { type DetectTlsOptions, detectTls, type TlsDetected } from "./detect.ts";
export { alpnWire, firstDnsName, type TerminateOptions, terminateTls } from "./server.ts";
export { TlsStore } from "./store.ts";
