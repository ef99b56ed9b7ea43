// The servers of the interop cases, for a scene of two pods.
import { join } from "node:path";
import type { Cast } from "../targets/pods.ts";
import { build, type Programs } from "./install.ts";

export const BAD_SERVER_CASES = [
  "goaway",
  "rst_after_header",
  "rst_during_data",
  "rst_after_data",
  "ping",
  "max_streams",
  "data_frame_padding",
] as const;

/** Ports of the servers in the server's pod. `grpc-go-2` is what endpoints change to. */
export const PORTS = {
  "grpc-go": 9001,
  "grpc-go-2": 9002,
  "grpc-js": 9003,
  grpcio: 9004,
  raw: 9005,
  ...(Object.fromEntries(BAD_SERVER_CASES.map((name, i) => [name, 9010 + i])) as Record<(typeof BAD_SERVER_CASES)[number], number>),
} as const;
export type ServerName = keyof typeof PORTS;

export function cast(programs: Programs, binary: string): Cast {
  const { node, python, pythonPath, goServer } = programs;
  return {
    binary,
    ports: Object.values(PORTS),
    twins: [PORTS["grpc-go"], PORTS["grpc-go-2"]],
    env: { GRPC_GO_LOG_SEVERITY_LEVEL: "error", PYTHONPATH: pythonPath },
    build: (directory) => build(programs, directory),
    servers(directory) {
      const file = (name: string): string => join(directory, name);
      const port = (name: ServerName): string => String(PORTS[name]);
      return [
        ...(["grpc-go", "grpc-go-2"] as const).map((name) => ({ name, argv: [goServer, `--port=${port(name)}`], listens: PORTS[name] })),
        { name: "grpc-js", argv: [node, file("grpc-js-server.mjs"), port("grpc-js")], listens: "says so" },
        {
          name: "grpcio",
          argv: ["env", `PYTHONPATH=${pythonPath}`, python, file("interop_server.py"), port("grpcio")],
          listens: "says so",
        },
        { name: "raw", argv: [node, file("servers-raw-server.mjs"), port("raw")], listens: "says so" },
        {
          name: "bad-server",
          argv: [node, file("servers-bad-server.mjs"), ...BAD_SERVER_CASES.map((name) => `${name}=${PORTS[name]}`)],
          listens: "says so",
        },
      ];
    },
  };
}
