// The cluster's DNS: A, SRV and PTR of services and pods, nothing from outside.
export { maxQueryBytes, maxTcpBytes, respond } from "./message.ts";
export { type Answer, type RecordData, recordTtl, Zone } from "./records.ts";
export { type DnsServer, type DnsServerOptions, startDnsServer } from "./server.ts";
